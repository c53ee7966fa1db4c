"""The history of a label, of any length: which records it has and what replay says of each is read at one moment, in a
few bytes a record; the bodies, which never change, follow in pages. So the answer agrees with itself whatever is
committed meanwhile, and memory stays flat.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from aiohttp import web

from node.http_api.answers import JSON_TYPE
from node.http_api.domains import check_domain_known
from node.http_api.pages import stored_pages
from node.http_api.parts import ApiParts
from node.http_api.read import can_be_held, unknown_label
from node.http_api.streaming import Form, stream
from node.store.contract import Outline, Store, StoredRecord
from protocol.records.record import Record
from protocol.records.replay import Verdict
from protocol.sets.index import ID_BYTES


async def get_history(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    domain, label = request.match_info["domain"], request.match_info["label"]
    check_domain_known(parts, domain)
    outline = await parts.store.outline(domain, label) if can_be_held(parts, domain, label) else None
    if outline is None or not outline.verdicts:
        raise unknown_label()
    head = await _head(parts, outline)
    facts = {
        "domain": domain,
        "label": label,
        "owner": head.signedby if head else None,
        "head": head.id if head else None,
        "contested": Verdict.RIVAL in outline.verdicts,
    }
    opening = msgspec.json.encode(facts).removesuffix(b"}") + b',"records":['
    return await stream(request, history_pages(parts.store, outline), Form(JSON_TYPE, opening, b",", b"]}", _entry))


async def _head(parts: ApiParts, outline: Outline) -> Record | None:
    """The last record that replay accepted at that moment."""
    ranks = reversed(range(len(outline.verdicts)))
    rank = next((rank for rank in ranks if outline.verdicts[rank].is_accepted), None)
    if rank is None:
        return None
    head_id = _id(outline, rank)
    return (await parts.store.records([head_id]))[head_id].signed.record


async def history_pages(store: Store, outline: Outline) -> AsyncGenerator[list[StoredRecord], None]:
    """The records with the verdicts of the outline: those stored may be newer."""
    ids = (_id(outline, rank) for rank in range(len(outline.verdicts)))
    verdicts = iter(outline.verdicts)
    async with aclosing(stored_pages(store, ids)) as pages:
        async for page in pages:
            yield [StoredRecord(it.signed, verdict, it.received) for it, verdict in zip(page, verdicts, strict=False)]


def _id(outline: Outline, rank: int) -> str:
    return outline.ids[rank * ID_BYTES : (rank + 1) * ID_BYTES].hex()


def _entry(stored: StoredRecord) -> bytes:
    return msgspec.json.encode(
        {
            "id": stored.signed.record.id,
            "signature": stored.signed.signature,
            "verdict": stored.verdict,
            "received": stored.received,
            "record": msgspec.Raw(stored.signed.record.canonical),
        }
    )
