"""The table of the API's routes. The router and the OpenAPI document are both made from it, so they cannot differ.

A route names its handler and what a caller has to know. Refusals that every route can give (for a wrong parameter, for
example) are added when the document is made.
"""

from typing import Final

from node.http_api import openapi
from node.http_api.handlers import (
    event_stream,
    gossip,
    history,
    listing,
    operate,
    read,
    removals,
    usage,
    walk,
    witnesses,
    write,
)
from node.http_api.requests.accept import LINES_TYPE
from node.http_api.requests.query import LIMIT_MAX, RECORD_IDS_MAX, Parameter
from node.http_api.route import Callers, Route
from node.http_api.schemas import BOOLEAN, COUNT, DOMAIN, HEX_64, LABEL, STRING
from protocol.errors import Code
from protocol.limits import SAFE_INTEGER_MAX

_DOMAIN = Parameter("domain", STRING, "A sync domain.")
_LABEL = Parameter("label", STRING, "A label, percent-encoded, slashes too.")
_NAME = Parameter("name", STRING, "To read: a domain. To write: the signature, 128 lower-case hex digits.")
_RECORD_ID = Parameter("id", STRING, "A record id, 64 lower-case hex digits.")
_READ_CONDITIONS = (
    Parameter("If-None-Match", STRING, "ETags seen before: 304 if the head has one of them still."),
    Parameter("If-Match", STRING, "ETags: 412 if the head has none of them."),
)
_SINGLE_CONDITIONS = (
    Parameter("If-Match", STRING, "ETags of which the label's head must have one, or `*`: there must be a head."),
    Parameter("If-None-Match", STRING, "ETags of which the head must have none, or `*`: there must be no head."),
)
_PREFER = Parameter(
    "Prefer",
    STRING,
    "`wait=SECONDS` (RFC 7240), 30 at most: in a witnessed domain, answer when the record is final or lost.",
)
_PUSH = Parameter("Dnarc-Push", STRING, "Signed by a peer: admits the records in the peer class.")

_COLLECTION = (
    Parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
        "Items of a page; without it, all are streamed. The `Link` header leads to the next page.",
    ),
    Parameter("after", STRING, "Where the page begins: from the `Link` of the page before."),
    Parameter(
        "since",
        {"type": "integer", "minimum": 0, "maximum": SAFE_INTEGER_MAX},
        "Only records with a timestamp from this one on, in seconds since the Unix epoch.",
    ),
    Parameter("history", BOOLEAN, "Every record by order key, accepted or not, instead of heads."),
    Parameter("ids", BOOLEAN, "With `history`: `[timestamp, id]` instead of the records."),
)
_LABEL_IN_QUERY = Parameter(
    "label", STRING, "Only the head of this label, as in the path. For labels that URL parsers and proxies change."
)
_SIGNEDBY = Parameter("signedby", HEX_64, "Only heads that this key signed: the labels that it owns.")
_PREFIX = Parameter("prefix", LABEL, "Only labels that begin with this; not with `history`.")
_NAMED_LABEL = (
    Parameter("domain", STRING, "A sync domain.", is_required=True),
    Parameter("label", STRING, "A label.", is_required=True),
)
_REASON = Parameter("reason", STRING, "Why: those who ask for the record are told.")
_BY = Parameter("by", STRING, "Who decided it, for the operator's list.")
_FINAL = Parameter("final", BOOLEAN, "Only what the witnesses of the domain decided: the newest final record.")
_SYNC = (
    Parameter("peer", STRING, "Only with the peer of this URL."),
    Parameter("domain", DOMAIN, "Only this domain."),
)
_NAMES = {"type": "array", "maxItems": event_stream.NAMES_MAX}
_STREAM = (
    Parameter("domain", {**_NAMES, "items": DOMAIN}, "Only events of this domain, or of these.", is_repeatable=True),
    Parameter("label", {**_NAMES, "items": LABEL}, "Only events of this label, or of these.", is_repeatable=True),
    Parameter("since", STRING, "The cursor of an earlier event, or 0: from the beginning. Without it: from now."),
    Parameter(
        "certainty",
        {"type": "string", "enum": ["final"]},
        "Only events of type `final`: what the witnesses of a domain decided. Without it: events of every type.",
    ),
)
_STREAMING = (Code.CURSOR_UNKNOWN, Code.RATE_LIMITED, Code.OVERLOADED)
_TAKING = (Code.RATE_LIMITED, Code.OVERLOADED, Code.STORAGE_FULL)

ROUTES: Final = (
    Route(
        method="GET",
        path="/claims/{domain}/{label}",
        variables=(_DOMAIN, _LABEL),
        handler=read.get_head,
        summary="The head of a label",
        answers={200: "Claims"},
        parameters=(_FINAL,),
        headers=_READ_CONDITIONS,
        codes=(Code.UNKNOWN_DOMAIN, Code.UNKNOWN_LABEL, Code.NOT_FINAL, Code.ERASED, Code.PRECONDITION_FAILED),
        is_public=True,
    ),
    Route(
        method="GET",
        path="/claims/{domain}/{label}/proof",
        variables=(_DOMAIN, _LABEL),
        handler=walk.get_proof,
        summary="The proof that a record of a witnessed label is final, one signed record a line",
        answers={200: "Line"},
        content_type=LINES_TYPE,
        codes=(Code.UNKNOWN_DOMAIN, Code.UNKNOWN_LABEL, Code.NOT_FINAL, Code.ERASED),
        is_public=True,
    ),
    Route(
        method="GET",
        path="/proof",
        handler=walk.find_proof,
        summary="The same, by the query: for labels that URL parsers and proxies change",
        answers={200: "Line"},
        content_type=LINES_TYPE,
        parameters=_NAMED_LABEL,
        codes=(Code.UNKNOWN_DOMAIN, Code.UNKNOWN_LABEL, Code.NOT_FINAL, Code.ERASED),
        is_public=True,
    ),
    Route(
        method="GET",
        path="/claims/{domain}/{label}/history",
        variables=(_DOMAIN, _LABEL),
        handler=history.get_history,
        summary="Every record of a label, with what replay says of it",
        answers={200: "History"},
        codes=(Code.UNKNOWN_DOMAIN, Code.UNKNOWN_LABEL),
        is_public=True,
    ),
    Route(
        method="GET",
        path="/history",
        handler=history.find_history,
        summary="The same, by the query: for labels that URL parsers and proxies change",
        answers={200: "History"},
        parameters=_NAMED_LABEL,
        codes=(Code.UNKNOWN_DOMAIN, Code.UNKNOWN_LABEL),
        is_public=True,
    ),
    Route(
        method="GET",
        path="/claims/{name}",
        variables=(_NAME,),
        handler=listing.get_domain_claims,
        summary="The heads of all labels of the domain of this name",
        answers={200: "Claims"},
        parameters=(*_COLLECTION, _SIGNEDBY, _PREFIX, _LABEL_IN_QUERY),
        headers=_READ_CONDITIONS,
        codes=(Code.UNKNOWN_DOMAIN, Code.UNKNOWN_LABEL, Code.ERASED, Code.PRECONDITION_FAILED),
        is_public=True,
        has_lines=True,
    ),
    Route(
        method="PUT",
        path="/claims/{name}",
        variables=(_NAME,),
        handler=write.put_claim,
        summary="Make a claim; the name is the record's signature",
        answers={200: "Outcomes", 201: "Outcomes", 202: "Outcomes"},
        headers=(*_SINGLE_CONDITIONS, _PUSH, _PREFER),
        body="Record",
        is_writable=True,
        codes=(Code.UNAUTHORIZED, Code.BAD_SIGNATURE),
        outcomes=(
            Code.MALFORMED,
            Code.TOO_LARGE,
            Code.UNKNOWN_DOMAIN,
            Code.BAD_SIGNATURE,
            Code.NOT_WELCOME,
            Code.PRECONDITION_FAILED,
            Code.TOO_NEW,
            Code.NOT_OWNER,
            Code.STALE,
            Code.QUOTA_EXCEEDED,
            *_TAKING,
        ),
    ),
    Route(
        method="GET",
        path="/claims",
        handler=listing.get_claims,
        summary="The heads of all labels",
        answers={200: "Claims"},
        parameters=(*_COLLECTION, _SIGNEDBY),
        is_public=True,
        has_lines=True,
    ),
    Route(
        method="PUT",
        path="/claims",
        handler=write.put_claims,
        summary="Make up to 1,000 claims, admitted in order-key order",
        answers={200: "Outcomes"},
        headers=(_PUSH,),
        body="Batch",
        is_writable=True,
        codes=(Code.MALFORMED, Code.TOO_LARGE, Code.UNAUTHORIZED, Code.BAD_SIGNATURE, *_TAKING),
    ),
    Route(
        method="GET",
        path="/records/{id}",
        variables=(_RECORD_ID,),
        handler=read.get_record,
        summary="One record by its id, accepted or not",
        answers={200: "Claims"},
        codes=(Code.UNKNOWN_RECORD, Code.ERASED),
        is_public=True,
        has_lines=True,
    ),
    Route(
        method="DELETE",
        path="/records/{id}",
        variables=(_RECORD_ID,),
        handler=removals.delete_record,
        summary="Erase the body of a record on this node, and answer when it is gone",
        answers={200: "Removal"},
        parameters=(_REASON, _BY),
        codes=(Code.UNKNOWN_RECORD, Code.NOT_ERASABLE, Code.OVERLOADED),
        callers=Callers.ADMIN,
    ),
    Route(
        method="GET",
        path="/records",
        handler=read.get_records,
        summary="Some records by their ids, accepted or not; those that are not held are left out",
        answers={200: "Claims"},
        parameters=(
            Parameter(
                "id",
                {"type": "array", "items": HEX_64, "minItems": 1, "maxItems": RECORD_IDS_MAX},
                "A record id",
                is_repeatable=True,
                is_required=True,
            ),
        ),
        codes=(Code.UNKNOWN_RECORD,),
        is_public=True,
        has_lines=True,
    ),
    Route(
        method="GET",
        path="/domains",
        handler=read.get_domains,
        summary="The domains that this node keeps",
        answers={200: "Domains"},
        is_public=True,
    ),
    Route(
        method="GET",
        path="/witnesses",
        handler=witnesses.get_witnesses,
        summary="How the witnesses of a domain are: when each was heard, forks, and what is open",
        answers={200: "Witnesses"},
        parameters=(Parameter("domain", STRING, "A witnessed domain.", is_required=True),),
        codes=(Code.UNKNOWN_DOMAIN,),
        is_public=True,
    ),
    Route(
        method="GET",
        path="/node",
        handler=read.get_node,
        summary="Who this node is, and what it holds",
        answers={200: "Node"},
        is_public=True,
    ),
    Route(
        method="GET",
        path="/stream",
        handler=event_stream.get_stream,
        summary="Events as they happen, by WebSocket: one in each text frame",
        answers={101: "Event"},
        parameters=_STREAM,
        codes=_STREAMING,
        is_public=True,
        is_endless=True,
    ),
    Route(
        method="GET",
        path="/events",
        handler=event_stream.get_events,
        summary="Events as they happen, as Server-Sent Events: one in the `data` of each",
        answers={200: "Event"},
        content_type=event_stream.EVENTS_TYPE,
        parameters=_STREAM,
        headers=(Parameter("Last-Event-ID", STRING, "A cursor, which counts before `since`: browsers send it."),),
        codes=_STREAMING,
        is_public=True,
        is_endless=True,
    ),
    Route(
        method="GET",
        path="/gossip",
        handler=gossip.get_gossip,
        summary="Links between nodes, by WebSocket: the subprotocol is `dnarc.v1`",
        answers={101: "Frame"},
        codes=(Code.RATE_LIMITED, Code.OVERLOADED),
        is_endless=True,
        is_link=True,
    ),
    Route(
        method="POST",
        path="/sync/push",
        handler=operate.post_push,
        summary="Push to peers now, and answer when it is done",
        answers={200: "Report"},
        parameters=_SYNC,
        codes=(Code.UNKNOWN_PEER,),
        callers=Callers.OPERATOR,
    ),
    Route(
        method="POST",
        path="/sync/pull",
        handler=operate.post_pull,
        summary="Pull from peers now, and answer when it is done",
        answers={200: "Report"},
        parameters=_SYNC,
        codes=(Code.UNKNOWN_PEER,),
        callers=Callers.OPERATOR,
    ),
    Route(
        method="GET",
        path="/peers",
        handler=operate.get_peers,
        summary="The peers, and whether they hold the same, by domain",
        answers={200: "Peers"},
        callers=Callers.OPERATOR,
        is_of_writer=True,
    ),
    Route(
        method="PUT",
        path="/peers",
        handler=operate.put_peer,
        summary="Add a peer, or change the one of this URL",
        answers={200: "Peer"},
        body="PeerBody",
        codes=(Code.TOO_LARGE, Code.OVERLOADED),
        callers=Callers.ADMIN,
    ),
    Route(
        method="DELETE",
        path="/peers",
        handler=operate.delete_peer,
        summary="Forget a peer",
        answers={200: "Peer"},
        parameters=(
            Parameter("url", STRING, "The peer's URL, as it is or as it is shown."),
            Parameter("key", STRING, "The key of a peer without URL."),
        ),
        codes=(Code.UNKNOWN_PEER,),
        callers=Callers.ADMIN,
    ),
    Route(
        method="POST",
        path="/removals",
        handler=removals.post_removal,
        summary="Erase records or drop a domain on this node, or count what that would do; 202: it goes on",
        answers={200: "RemovalAnswer", 202: "Removal"},
        body="RemovalBody",
        codes=(Code.TOO_LARGE, Code.UNKNOWN_RECORD, Code.NOT_ERASABLE, Code.OVERLOADED),
        callers=Callers.ADMIN,
    ),
    Route(
        method="GET",
        path="/removals",
        handler=removals.get_removals,
        summary="What was removed on this node, by whom, when and why, newest first; and the dropped domains",
        answers={200: "Removals"},
        parameters=(
            Parameter("before", COUNT, "Only removals with smaller numbers."),
            Parameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}, "Removals of a page."),
        ),
        callers=Callers.OPERATOR,
    ),
    Route(
        method="GET",
        path="/removals/{number}",
        variables=(Parameter("number", STRING, "The number of a removal."),),
        handler=removals.get_removal,
        summary="One removal, when it is done or after some seconds; 202: it goes on",
        answers={200: "Removal", 202: "Removal"},
        parameters=(
            Parameter("wait", {"type": "integer", "minimum": 0, "maximum": removals.WAIT_S_MAX}, "Seconds to wait."),
        ),
        codes=(Code.UNKNOWN_RECORD,),
        callers=Callers.OPERATOR,
        is_of_writer=True,
    ),
    Route(
        method="DELETE",
        path="/dropped",
        handler=removals.delete_dropped,
        summary="Keep a dropped domain again",
        answers={200: "Dropped"},
        parameters=(Parameter("domain", DOMAIN, "A dropped domain.", is_required=True),),
        codes=(Code.UNKNOWN_DOMAIN, Code.PRECONDITION_FAILED),
        callers=Callers.ADMIN,
    ),
    Route(
        method="GET",
        path="/usage",
        handler=usage.get_usage,
        summary="What fills the store: the largest domains and keys, beside the quotas",
        answers={200: "Usage"},
        parameters=(
            Parameter("domain", DOMAIN, "Only keys of this domain, and what they have there."),
            Parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
                f"How many domains and keys; {usage.ITEMS_SHOWN} without it.",
            ),
        ),
        callers=Callers.OPERATOR,
        is_of_writer=True,
    ),
    Route(
        method="GET",
        path="/health",
        handler=operate.get_health,
        summary="Whether this node is well, and why not",
        answers={200: "Health", 503: "Health"},
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=operate.get_metrics,
        summary="Figures for Prometheus; for everybody if the setting metrics_public is true",
        answers={200: "Text"},
        callers=Callers.OPERATOR,
        content_type="text/plain",
    ),
    Route(
        method="GET",
        path="/openapi.json",
        handler=openapi.get_document,
        summary="This description",
        answers={200: "Document"},
        is_public=True,
    ),
)
