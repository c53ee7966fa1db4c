"""Reading single things: a head, records by id, the domains, the node itself."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from node.heads import Head
from node.http_api.answers.answer_room import open_answer
from node.http_api.answers.json_answer import CERTAINTY_HEADER, PUBLIC_HEADERS, public
from node.http_api.answers.paged_answer import DICT, LINES, answer_pages
from node.http_api.answers.pages import signed_pages
from node.http_api.handlers.domains import check_domain_known, is_known, known_domains
from node.http_api.handlers.write import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from node.http_api.requests.accept import JSON_TYPE, wants_lines
from node.http_api.requests.conditions import is_unchanged
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import LIMIT_MAX, RECORD_IDS_MAX, flag
from node.removal.erased import ERASED_HEADER, spell_erased
from node.version import VERSION
from protocol.errors import Code, ProtocolError
from protocol.limits import RECORD_BYTES_MAX
from protocol.link.features import FEATURES
from protocol.records.record import is_id, is_label, is_witnessed
from protocol.witness.walk import Certainty

HEAD_HEADERS: Final = {**PUBLIC_HEADERS, "Cache-Control": "no-cache", "Content-Type": JSON_TYPE}

QUOTAS: Final = ("domain_records_max", "domain_bytes_max", "key_records_max", "key_bytes_max")
"""Settings that bound how much this node keeps of a domain or a key."""

_TURN_DOMAINS: Final = 50
"""Fingerprints that are computed before other tasks get a turn: about 2 ms."""

_UNDECIDED: Final = (
    "no record of this label is final yet, because the witnesses have not decided: GET /witnesses shows which of them"
    " this node hears"
)


async def get_head(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    domain, label = request.match_info["domain"], request.match_info["label"]
    if request.query_string and flag(request, "final"):
        return await answer_final_head(parts, request, domain, label)
    return await answer_head(parts, request, domain, label)


async def answer_head(parts: ApiParts, request: web.Request, domain: str, label: str) -> web.StreamResponse:
    """Raises: ProtocolError: as `find_head`, and `precondition_failed`."""
    head = await find_head(parts, domain, label)
    headers = {**HEAD_HEADERS, "ETag": head.etag, CERTAINTY_HEADER: head.certainty}
    if is_unchanged(request, head.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=head.body, headers=headers)


async def find_head(parts: ApiParts, domain: str, label: str) -> Head:
    """The head of a label, which may be shown. The domain is only checked if there is no head.

    Raises:
        ProtocolError: `unknown_domain`, `unknown_label`, `erased`.
    """
    head = await parts.heads.get(domain, label) if can_be_held(parts, domain, label) else None
    if head is None:
        check_domain_known(parts, domain)
        raise await unknown_label(parts, domain, label)
    if head.is_erased:
        raise await erased_head(parts, head.id)
    return head


async def answer_final_head(parts: ApiParts, request: web.Request, domain: str, label: str) -> web.StreamResponse:
    """The newest record of the label that is final. The head may be another one, which the witnesses still decide on.

    Raises:
        ProtocolError: `unknown_domain`, `unknown_label`, `not_final`, `erased`, `precondition_failed`.
    """
    check_domain_known(parts, domain)
    key = (domain, label)
    state = (await parts.store.states([key])).get(key) if can_be_held(parts, domain, label) else None
    if state is None:
        raise await unknown_label(parts, domain, label)
    if state.final is None:
        raise not_final(domain)
    stored = (await parts.store.records([state.final]))[state.final]
    if stored.signed.record.is_erased:
        raise await parts.erased.error(state.final, stored.signed.record.signedby)
    headers = {**HEAD_HEADERS, "ETag": f'"{state.final}"', CERTAINTY_HEADER: str(Certainty.FINAL)}
    if is_unchanged(request, headers["ETag"]):
        return web.Response(status=304, headers=headers)
    return web.Response(body=b"{%s}" % DICT.spell(stored.signed), headers=headers)


async def erased_head(parts: ApiParts, record_id: str) -> ProtocolError:
    """The error in the place of an erased head. It names the owner, which the skeleton still tells."""
    stored = (await parts.store.records([record_id])).get(record_id)
    return await parts.erased.error(record_id, None if stored is None else stored.signed.record.signedby)


def not_final(domain: str) -> ProtocolError:
    """The error where nothing of a label is final."""
    if is_witnessed(domain):
        return ProtocolError(Code.NOT_FINAL, _UNDECIDED)
    detail = "nothing is ever final in this domain, because it has no witnesses: there is no proof; ask without `final`"
    return ProtocolError(Code.NOT_FINAL, detail)


def can_be_held(parts: ApiParts, domain: str, label: str) -> bool:
    """Whether a record can have this domain and label. Other names, such as lone surrogates, never reach the store."""
    return is_known(parts, domain) and (label.isascii() or is_text(label)) and is_label(label)


def is_text(text: str) -> bool:
    """False for lone surrogates: bytes in a path that are not UTF-8 are decoded to these."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def unknown_label(parts: ApiParts, domain: str, label: str) -> ProtocolError:
    """The error where a label has no head. `pending` tells that records of it wait for the witnesses."""
    is_possible = is_witnessed(domain) and not label.startswith("@") and can_be_held(parts, domain, label)
    if is_possible and await parts.store.states([(domain, label)]):
        detail = "the records of this label wait for the witnesses of the domain, so it has no head yet"
        return ProtocolError(Code.UNKNOWN_LABEL, detail, pending=True)
    return ProtocolError(Code.UNKNOWN_LABEL, "this node holds no claim about this label")


async def get_record(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """Raises: ProtocolError: as `_answer_records`, and `erased`."""
    record_id = request.match_info["id"]
    if await parts.erased.among([record_id] if is_id(record_id) else []):
        raise await erased_head(parts, record_id)
    return await _answer_records(parts, request, [record_id])


async def get_records(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    ids = list(dict.fromkeys(request.query.getall("id", [])))
    if not 1 <= len(ids) <= RECORD_IDS_MAX:
        raise ProtocolError(Code.MALFORMED, f"`id` must be given 1 to {RECORD_IDS_MAX} times", parameter="id")
    return await _answer_records(parts, request, ids)


async def _answer_records(parts: ApiParts, request: web.Request, ids: Sequence[str]) -> web.StreamResponse:
    """The records that the node holds, in the order of the ids. A header names those that are erased.

    Raises:
        ProtocolError: `malformed`; `unknown_record` if it holds none of them.
    """
    if not all(map(is_id, ids)):
        raise ProtocolError(Code.MALFORMED, "a record id is 64 lower-case hex digits", parameter="id")
    held = await parts.store.held(ids)
    if not held:
        raise ProtocolError(Code.UNKNOWN_RECORD, "this node holds no such record")
    erased = await parts.erased.among(ids)
    parts.erased.asked += len(erased)
    headers = {ERASED_HEADER: spell_erased(erased)} if erased else {}
    pages = signed_pages(parts.store, [record_id for record_id in ids if record_id in held and record_id not in erased])
    form = LINES if wants_lines(request) else DICT
    return await answer_pages(request, pages, form, open_answer(parts, request), headers)


async def get_domains(parts: ApiParts, _request: web.Request) -> web.StreamResponse:
    return public(known_domains(parts))


async def get_node(parts: ApiParts, _request: web.Request) -> web.StreamResponse:
    return public(
        {
            "version": VERSION,
            "node": parts.key.public,
            "epoch": parts.store.epoch,
            "instance": parts.duplicate_keys.instance,
            "started": int(parts.started_s),
            "time": int(parts.world.now_s()),
            "features": list(FEATURES),
            "domains": await _summarize(parts),
            "limits": _limits(parts),
        }
        | ({} if parts.standing is None else {"fleet": parts.standing.shown(is_operator=False)})
    )


async def _summarize(parts: ApiParts) -> dict[str, dict[str, object]]:
    """The summary of each domain that is shown."""
    summaries: dict[str, dict[str, object]] = {}
    for position, domain in enumerate(known_domains(parts)):
        if position % _TURN_DOMAINS == _TURN_DOMAINS - 1:
            await asyncio.sleep(0)
        summaries[domain] = parts.indexes.summary(domain)
    return summaries


def _limits(parts: ApiParts) -> dict[str, int | None]:
    """The limits that a client must keep to. Units are in the names."""
    return {
        "record_bytes_max": RECORD_BYTES_MAX,
        "batch_records_max": BATCH_RECORDS_MAX,
        "batch_bytes_max": BATCH_BYTES_MAX,
        "record_ids_max": RECORD_IDS_MAX,
        "page_items_max": LIMIT_MAX,
        **{name: getattr(parts.settings, name) for name in QUOTAS},
        "max_age": parts.settings.max_age,
        "max_skew": parts.settings.max_skew,
        "domains_max": parts.settings.domains_max,
    }


async def get_pointer(_parts: ApiParts, _request: web.Request) -> web.StreamResponse:
    """The addresses to go on from, for a client that opens the node's root. They are relative to the root's address."""
    return public({"dnarc": VERSION, "claims": "claims", "domains": "domains", "openapi": "openapi.json"})
