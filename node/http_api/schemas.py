"""The shapes of requests and answers, by name: JSON Schema, draft 2020-12, as OpenAPI 3.1 uses it."""

from typing import Final

from node.peer_state import Condition
from node.store.removals import BY_CHARACTERS_MAX, IDS_MAX, REASON_CHARACTERS_MAX, RemovalKind
from protocol.errors import Code
from protocol.limits import SAFE_INTEGER_MAX
from protocol.records.change import EventType
from protocol.records.replay import Verdict

Schema = dict[str, object]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def dict_of(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def exactly(**properties: Schema) -> Schema:
    """An object that has all of these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def and_maybe(schema: Schema, properties: dict[str, Schema]) -> Schema:
    """This object, which may have further properties."""
    held = schema["properties"]
    assert isinstance(held, dict), "made by `exactly`"
    return schema | {"properties": held | properties}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


STRING: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TIMESTAMP: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": SAFE_INTEGER_MAX}
HEX_64: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
SIGNATURE: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{128}$"}
DOMAIN: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 253}
LABEL: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 255}

RECORD: Final[Schema] = {
    "type": "object",
    "description": "One signed JSON object. Whatever else it holds is the claim itself.",
    "properties": {
        "domain": DOMAIN,
        "label": LABEL,
        "signedby": HEX_64,
        "timestamp": TIMESTAMP,
        "newowner": HEX_64,
        "prev": HEX_64,
    },
    "required": ["domain", "label", "signedby", "timestamp"],
}

VERDICT: Final[Schema] = {"enum": [str(verdict) for verdict in Verdict]}

OUTCOME: Final[Schema] = {
    "type": "object",
    "description": "What became of one record. Refusals carry facts that help to do better, such as the head.",
    "properties": {
        "status": {"enum": ["accepted", "known", "refused"]},
        "id": HEX_64,
        "verdict": VERDICT,
        "certainty": {"enum": ["pending", "ordered", "final"]},
        "code": {"enum": [str(code) for code in Code]},
        "detail": STRING,
    },
    "required": ["status"],
}

PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; other members are facts.",
    "properties": {
        "type": {"const": "about:blank"},
        "title": STRING,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"enum": [*(str(code) for code in Code), "internal"]},
        "detail": STRING,
    },
    "required": ["type", "title", "status", "code", "detail"],
}

_MARKS: Final[dict[str, Schema]] = {
    "seen": dict_of(COUNT),
    "ordered": or_null(COUNT),
    "decided": BOOLEAN,
    "votes": dict_of(COUNT),
    "commits": dict_of(COUNT),
}
"""What the history of a witnessed label says of each record: times in ms since the Unix epoch, and rounds."""

HISTORY: Final = and_maybe(
    exactly(
        domain=DOMAIN,
        label=LABEL,
        owner=or_null(HEX_64),
        head=or_null(HEX_64),
        contested=BOOLEAN,
        records=list_of(
            and_maybe(
                exactly(id=HEX_64, signature=SIGNATURE, verdict=VERDICT, received=COUNT, record=ref("Record")),
                {**_MARKS, "erased": exactly(time=COUNT, reason=STRING)},
            ),
        ),
    ),
    {"certainty": or_null({"enum": ["ordered", "final"]}), "final": or_null(HEX_64)},
)

_FLEET: Final = {
    "fleet": and_maybe(
        exactly(
            role={"enum": ["writer", "follower"]}, term=COUNT, commit=COUNT, lag_s={"type": "number", "minimum": 0}
        ),
        {"writer": or_null(STRING)},
    )
}

NODE: Final = and_maybe(
    exactly(
        version=STRING,
        node=HEX_64,
        epoch={"type": "string", "pattern": "^[0-9a-f]{32}$"},
        instance={"type": "string", "pattern": "^[0-9a-f]{32}$"},
        started=COUNT,
        time=COUNT,
        features=list_of(STRING),
        domains=dict_of(
            exactly(count=COUNT, fingerprint={"type": "string", "pattern": "^[0-9a-f]{32}$"}, newest=or_null(TIMESTAMP))
        ),
        limits=dict_of(or_null(COUNT)),
    ),
    _FLEET,
)

EVENT: Final[Schema] = {
    "type": "object",
    "description": "The head of a label moved to this record. By WebSocket there is a third type, `progress`, with a "
    "cursor and nothing else, for who wants little of what happens.",
    "properties": {
        "seq": {"type": "integer", "minimum": 1},
        "cursor": STRING,
        "type": {"enum": [str(event_type) for event_type in EventType]},
        "domain": DOMAIN,
        "label": LABEL,
        "id": HEX_64,
        "signature": SIGNATURE,
        "previous": HEX_64,
        "reason": STRING,
        "record": ref("Record"),
    },
    "required": ["seq", "cursor", "type", "domain", "label", "id", "signature", "record"],
}

_TARGET: Final[Schema] = {
    "type": "object",
    "properties": {"ids": {**list_of(HEX_64), "maxItems": IDS_MAX}, "domain": DOMAIN, "label": LABEL, "key": HEX_64},
    "additionalProperties": False,
}
_KIND: Final[Schema] = {"enum": [str(kind) for kind in RemovalKind]}

REMOVAL: Final = exactly(
    number=COUNT,
    kind=_KIND,
    target=_TARGET,
    by=STRING,
    reason=STRING,
    time=COUNT,
    done=BOOLEAN,
    records=COUNT,
    size_bytes=COUNT,
    position=COUNT,
    total=COUNT,
    bodies_gone=BOOLEAN,
)
"""One removal. `records` and `size_bytes` are removed so far; `position` of `total` is how far the work is."""

REMOVAL_BODY: Final[Schema] = {
    "type": "object",
    "properties": {
        "kind": _KIND,
        "ids": {**list_of(HEX_64), "minItems": 1, "maxItems": IDS_MAX},
        "domain": DOMAIN,
        "label": LABEL,
        "key": HEX_64,
        "reason": {"type": "string", "maxLength": REASON_CHARACTERS_MAX},
        "by": {"type": "string", "maxLength": BY_CHARACTERS_MAX},
        "dry_run": BOOLEAN,
    },
    "anyOf": [{"required": ["ids"]}, {"required": ["domain"]}, {"required": ["key"]}],
    "additionalProperties": False,
}

WITNESSES: Final = exactly(
    domain=DOMAIN,
    faulty=or_null(COUNT),
    quorum=or_null(COUNT),
    undecided=COUNT,
    doubly_decided=COUNT,
    witnesses=list_of(
        exactly(
            key=HEX_64,
            at=or_null(COUNT),
            lag_s=or_null({"type": "number", "minimum": 0}),
            forks=list_of(list_of(HEX_64)),
            fork_count=COUNT,
        )
    ),
    own=or_null(
        exactly(
            silence=or_null(STRING),
            open=list_of(exactly(label=LABEL, prev=or_null(HEX_64), candidates=list_of(HEX_64), round=COUNT)),
            open_count=COUNT,
        )
    ),
)

_PEER: Final[dict[str, Schema]] = {
    "url": or_null(STRING),
    "push": BOOLEAN,
    "pull": BOOLEAN,
    "accept": BOOLEAN,
    "key": or_null(HEX_64),
}
_LINK: Final = exactly(
    state={"enum": ["down", "catching_up", "live", "behind"]},
    direction=or_null({"enum": ["dialled", "accepted"]}),
    agent=or_null(STRING),
    seconds=or_null({"type": "number", "minimum": 0}),
    done=or_null(COUNT),
    total=or_null(COUNT),
    error=or_null(STRING),
    is_eager=or_null(BOOLEAN),
    sent=or_null(COUNT),
    received=or_null(COUNT),
    queued=or_null(COUNT),
    bytes_out=or_null(COUNT),
    bytes_in=or_null(COUNT),
    round_trip_s=or_null({"type": "number", "minimum": 0}),
    differing=or_null(COUNT),
)
_LAG: Final = or_null({"type": "number", "minimum": 0})
_REFUSALS: Final = exactly(push=dict_of(COUNT), pull=dict_of(COUNT))
_STEPS: Final = dict_of({"enum": ["identical", "differs", "unknown"]})

USAGE: Final = exactly(
    store=exactly(bytes=COUNT, soft=or_null(COUNT)),
    disk=exactly(free=COUNT, soft=COUNT, min=COUNT),
    quotas=dict_of(or_null(COUNT)),
    records=COUNT,
    bytes=COUNT,
    domains=list_of(exactly(domain=DOMAIN, records=COUNT, bytes=COUNT)),
    keys=list_of(exactly(key=HEX_64, records=COUNT, bytes=COUNT)),
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Record": RECORD,
    "Claims": {**dict_of(ref("Record")), "propertyNames": SIGNATURE},
    "Batch": {**dict_of(ref("Record")), "propertyNames": SIGNATURE, "maxProperties": 1_000},
    "Keys": list_of({"type": "array", "prefixItems": [TIMESTAMP, HEX_64], "minItems": 2, "maxItems": 2}),
    "Line": and_maybe(
        exactly(id=HEX_64, signature=SIGNATURE, record=ref("Record")), {"certainty": {"enum": ["ordered", "final"]}}
    ),
    "History": HISTORY,
    "Outcomes": dict_of(OUTCOME),
    "Problem": PROBLEM,
    "Event": EVENT,
    "Domains": list_of(DOMAIN),
    "Node": NODE,
    "Witnesses": WITNESSES,
    "Usage": USAGE,
    "Removal": REMOVAL,
    "RemovalBody": REMOVAL_BODY,
    "RemovalAnswer": {
        "anyOf": [REMOVAL, exactly(records=COUNT, size_bytes=COUNT, heads=COUNT, of_witnesses=COUNT)],
    },
    "Removals": exactly(removals=list_of(REMOVAL), dropped=list_of(DOMAIN)),
    "Dropped": exactly(domain=DOMAIN, dropped=BOOLEAN),
    "Peer": exactly(**_PEER),
    "Peers": list_of(
        exactly(
            **_PEER,
            state={"enum": [str(state) for state in Condition]},
            error=or_null(STRING),
            since=or_null(COUNT),
            remedy=or_null(STRING),
            domains=_STEPS,
            refusals=_REFUSALS,
            clock_ahead_s=or_null({"type": "number"}),
            link=or_null(_LINK),
            lag_s=_LAG,
        )
    ),
    "PeerBody": {
        "type": "object",
        "properties": {**_PEER, "accept": or_null(BOOLEAN)},
        "anyOf": [
            {"required": ["url"], "properties": {"url": {"type": "string", "pattern": "^(http|ws)s?://[a-z0-9.-]+"}}},
            {"required": ["key"], "properties": {"key": HEX_64}},
        ],
        "additionalProperties": False,
    },
    "Frame": {
        "type": "object",
        "description": "What one node says to another. Ignore types and fields that are not known.",
        "properties": {"type": STRING},
        "required": ["type"],
    },
    "Report": dict_of({"type": "object"}),
    "Health": and_maybe(
        exactly(status={"enum": ["ok", "failing"]}, problems=list_of(STRING), warnings=list_of(STRING)), _FLEET
    ),
    "Pointer": dict_of(STRING),
}
