"""The history of a label, of any length.

The list of records and replay's verdict on each are read at one moment, in a few bytes a record. The bodies never
change, so they follow in pages. The answer is therefore consistent while records are committed, and memory stays flat.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from node.http_api.answers.answer_room import open_answer
from node.http_api.answers.paged_answer import Form, answer_pages
from node.http_api.answers.pages import stored_pages
from node.http_api.handlers.domains import check_domain_known
from node.http_api.handlers.read import can_be_held, unknown_label
from node.http_api.handlers.walk import WalkView, view_of
from node.http_api.requests.accept import JSON_TYPE
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import required
from node.store.contract import Outline, Store, StoredRecord
from node.store.removals import Erasure
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import Verdict
from protocol.sets.index import ID_BYTES
from protocol.witness.policy import Policy
from protocol.witness.testimony import SILENCE, Evidence

_OUTLINE_ENTRY_BYTES: Final = ID_BYTES + 8
"""Bytes of an outline for each record: its id, and a pointer to its verdict."""

_PAGE_RECORDS: Final = 100
"""Records of a page. What witnesses said of each takes 25 us to spell, and nobody else is answered meanwhile."""


class Entry(msgspec.Struct, frozen=True):
    """One record of a history, and what witnesses said of it. If it is erased, the answer shows its skeleton, and
    `erasure` says why.
    """

    stored: StoredRecord
    erasure: Erasure | None
    said: Evidence


async def get_history(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return await _answer(parts, request, request.match_info["domain"], request.match_info["label"])


async def find_history(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """The same, for labels that a path cannot carry: URL parsers drop `.` and `..`, and some proxies decode slashes."""
    return await _answer(parts, request, required(request, "domain"), required(request, "label"))


async def _answer(parts: ApiParts, request: web.Request, domain: str, label: str) -> web.StreamResponse:
    check_domain_known(parts, domain)
    view = await view_of(parts, domain, label) if is_witnessed(domain) else None
    outline = await parts.store.outline(domain, label) if can_be_held(parts, domain, label) else None
    if outline is None or not outline.verdicts:
        raise await unknown_label(parts, domain, label)
    head = await _read_head(parts.store, outline) if view is None else None
    facts: dict[str, object] = {
        "domain": domain,
        "label": label,
        "owner": head.signedby if head else None,
        "head": head.id if head else None,
        "contested": Verdict.RIVAL in outline.verdicts,
    } | ({} if view is None else view.facts)
    opening = msgspec.json.encode(facts).removesuffix(b"}") + b',"records":['
    form = Form(JSON_TYPE, opening, b",", b"]}", partial(_spell_entry, view))
    room = open_answer(parts, request)
    room.extra_bytes = _OUTLINE_ENTRY_BYTES * len(outline.verdicts)
    policy = None if view is None or label.startswith("@") else view.policy
    return await answer_pages(request, _entry_pages(parts, outline, domain, policy, room.address), form, room)


async def _read_head(store: Store, outline: Outline) -> Record | None:
    """The last record that replay accepted at the moment of the outline."""
    ranks = reversed(range(len(outline.verdicts)))
    rank = next((rank for rank in ranks if outline.verdicts[rank].is_accepted), None)
    if rank is None:
        return None
    head_id = _id_at(outline, rank)
    return (await store.records([head_id]))[head_id].signed.record


async def _entry_pages(
    parts: ApiParts, outline: Outline, domain: str, policy: Policy | None, address: str | None
) -> AsyncGenerator[list[Entry], None]:
    """The records of the outline; with those that are erased, why. `policy`: its witnesses spoke of the records, None:
    no witnesses did. `address` is that of the caller.
    """
    async with aclosing(history_pages(parts.store, outline)) as pages:
        async for page in pages:
            ids = [it.signed.record.id for it in page]
            erased = await parts.erased.among([it.signed.record.id for it in page if it.signed.record.is_erased])
            said = {} if policy is None else await parts.walks.last_said(domain, policy, ids, address)
            yield [Entry(it, erased.get(each), said.get(each, SILENCE)) for each, it in zip(ids, page, strict=True)]


async def history_pages(store: Store, outline: Outline) -> AsyncGenerator[list[StoredRecord], None]:
    """The records with the verdicts of the outline, because the verdicts in the store may be newer by now."""
    ids = (_id_at(outline, rank) for rank in range(len(outline.verdicts)))
    verdicts = iter(outline.verdicts)
    async with aclosing(stored_pages(store, ids, _PAGE_RECORDS)) as pages:
        async for page in pages:
            yield [StoredRecord(it.signed, verdict, it.received) for it, verdict in zip(page, verdicts, strict=False)]


def _id_at(outline: Outline, rank: int) -> str:
    return outline.ids[rank * ID_BYTES : (rank + 1) * ID_BYTES].hex()


def _spell_entry(view: WalkView | None, entry: Entry) -> bytes:
    stored = entry.stored
    marks = {} if view is None else view.marks(entry.said)
    if entry.erasure is not None:
        marks |= {"erased": {"time": entry.erasure.time, "reason": entry.erasure.reason}}
    return msgspec.json.encode(
        marks
        | {
            "id": stored.signed.record.id,
            "signature": stored.signed.signature,
            "verdict": stored.verdict,
            "received": stored.received,
            "record": msgspec.Raw(stored.signed.record.canonical.rstrip()),
        }
    )
