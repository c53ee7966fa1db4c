"""Collections: the heads, or every record, of one domain or of all; whole, or in pages.

Heads come in the order of their names, from the store. Records come by order key, and that order is the index's: what
is to be sent is picked there, in memory, and only the bodies are fetched. Across domains the indexes are merged. An
index may grow while a reader reads, so each step goes on from the last key shown, never from a number, and ends at what
was the newest key in the beginning.
"""

import heapq
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Final

import msgspec
from aiohttp import web

from node.http_api import cursor, streaming
from node.http_api.answers import LINES_TYPE
from node.http_api.domains import check_domain_known, known_domains
from node.http_api.pages import PAGE_RECORDS_MAX, next_size, stored_pages
from node.http_api.parts import ApiParts
from node.http_api.query import LIMIT_MAX, flag, integer
from node.store.contract import LabelKey
from protocol.errors import Code, ProtocolError
from protocol.records.record import SignedRecord, is_label
from protocol.sets.index import ID_BYTES, Index, key_id, pack_key

_KEYS_AT_ONCE: Final = 20_000
"""Keys held while merging, of all domains together: 2 MB."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: `domain` None, all domains; `limit` None, everything."""

    domain: str | None
    limit: int | None
    after: str | None
    prefix: str
    since: int
    wants_history: bool
    wants_ids: bool
    wants_lines: bool


async def get_claims(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return await _answer(parts, request, None)


async def get_domain_claims(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    domain = request.match_info["name"]
    check_domain_known(parts, domain)
    return await _answer(parts, request, domain)


async def _answer(parts: ApiParts, request: web.Request, domain: str | None) -> web.StreamResponse:
    question = Question(
        domain=domain,
        limit=integer(request, "limit", 1, LIMIT_MAX),
        after=request.query.get("after"),
        prefix=_prefix(request),
        since=integer(request, "since", 0) or 0,
        wants_history=flag(request, "history"),
        wants_ids=flag(request, "ids"),
        wants_lines=LINES_TYPE in request.headers.get("Accept", ""),
    )
    if question.prefix and question.wants_history:
        raise ProtocolError(Code.MALFORMED, "`prefix` goes with heads, not with `history`", parameter="prefix")
    if question.wants_history:
        return await _answer_history(parts, request, question)
    if question.wants_ids:
        raise ProtocolError(Code.MALFORMED, "`ids=true` goes with `history=true`", parameter="ids")
    return await _answer_heads(parts, request, question)


def _prefix(request: web.BaseRequest) -> str:
    """What all labels shall begin with; empty: anything.

    Raises:
        ProtocolError: `malformed` where no label can.
    """
    prefix = request.query.get("prefix", "")
    if prefix and not is_label(prefix):
        raise ProtocolError(Code.MALFORMED, "`prefix` is the beginning of a label", parameter="prefix")
    return prefix


async def _answer_history(parts: ApiParts, request: web.Request, question: Question) -> web.StreamResponse:
    keys = _asked_keys(parts, question)
    headers = {}
    if question.limit is not None:
        page = list(islice(keys, question.limit + 1))
        if len(page) > question.limit:
            headers = _next(request, cursor.of_key(page[question.limit - 1]))
        keys = iter(page[: question.limit])
    if question.wants_ids:
        form = streaming.KEY_LINES if question.wants_lines else streaming.KEYS
        return await streaming.stream(request, _paged(keys), form, headers)
    return await streaming.stream(request, _bodies(parts, keys), _form(question), headers)


async def _answer_heads(parts: ApiParts, request: web.Request, question: Question) -> web.StreamResponse:
    after = None if question.after is None else cursor.to_label(question.after)
    if after is not None and question.domain not in (None, after[0]):
        raise ProtocolError(Code.MALFORMED, "`after` is of a listing of another domain", parameter="after")
    heads = _head_pages(parts, question, after)
    if question.limit is None:
        return await streaming.stream(request, heads, _form(question))
    ids, last, has_more = await _first_heads(heads, question.limit)
    headers = _next(request, cursor.of_label(*last)) if last is not None and has_more else {}
    return await streaming.stream(request, _bodies(parts, iter(ids)), _form(question), headers)


async def _first_heads(
    pages: AsyncGenerator[list[SignedRecord], None], limit: int
) -> tuple[list[bytes], LabelKey | None, bool]:
    """Index keys of the first heads, the last one's label, and whether more follow. The `Link` header has to be sent
    before the bodies, which are many bytes: so these are forgotten, and fetched again as they are sent.
    """
    keys: list[bytes] = []
    last: LabelKey | None = None
    try:
        async for page in pages:
            for signed in page:
                if len(keys) == limit:
                    return keys, last, True
                record = signed.record
                keys.append(pack_key(record.timestamp, bytes.fromhex(record.id)))
                last = (record.domain, record.label)
    finally:
        await pages.aclose()
    return keys, last, False


async def _head_pages(
    parts: ApiParts, question: Question, after: LabelKey | None
) -> AsyncGenerator[list[SignedRecord], None]:
    """Heads by domain and label, in pages that hold few records where these are large."""
    if question.domain is not None:
        domains: Sequence[str | None] = [question.domain]
    elif parts.settings.domains is not None:
        domains = [domain for domain in known_domains(parts) if after is None or domain >= after[0]]
    else:
        domains = [None]
    size = PAGE_RECORDS_MAX if question.limit is None else min(PAGE_RECORDS_MAX, question.limit + 1)
    for domain in domains:
        begin = after if after is not None and domain in (None, after[0]) else None
        while page := await parts.store.heads(domain, begin, question.since, size, question.prefix):
            yield page
            if len(page) < size:
                break
            size = next_size(size, [len(signed.record.canonical) for signed in page])
            begin = (page[-1].record.domain, page[-1].record.label)


async def _bodies(parts: ApiParts, keys: Iterator[bytes]) -> AsyncGenerator[list[SignedRecord], None]:
    """The records of these keys, in their order."""
    async with aclosing(stored_pages(parts.store, (key_id(key).hex() for key in keys))) as pages:
        async for page in pages:
            yield [stored.signed for stored in page]


async def _paged(keys: Iterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    while page := list(islice(keys, 2 * PAGE_RECORDS_MAX)):
        yield page


def _asked_keys(parts: ApiParts, question: Question) -> Iterator[bytes]:
    """The keys of all records asked for, by order key."""
    names = known_domains(parts) if question.domain is None else [question.domain]
    indexes = [index for name in names if (index := parts.indexes.get(name)) is not None]
    begin = pack_key(question.since, bytes(ID_BYTES))
    if question.after is not None:
        begin = max(begin, _successor(cursor.to_key(question.after)))
    at_once = max(16, min(2 * PAGE_RECORDS_MAX, _KEYS_AT_ONCE // max(1, len(indexes))))
    return _merged([_keys_from(index, begin, at_once) for index in indexes])


def _merged(parts: list[Iterator[bytes]]) -> Iterator[bytes]:
    return parts[0] if len(parts) == 1 else iter(heapq.merge(*parts))


def _keys_from(index: Index, begin: bytes, at_once: int) -> Iterator[bytes]:
    """The keys from `begin` to what is now the last one; what is added in between while this runs may come too."""
    if len(index) == 0:
        return
    last = index.key_at(len(index) - 1)
    while begin <= last:
        rank = index.rank(begin)
        keys = index.keys(rank, min(rank + at_once, len(index)))
        yield from keys if not keys or keys[-1] <= last else (key for key in keys if key <= last)
        begin = _successor(keys[-1])


def _successor(key: bytes) -> bytes:
    """What stands right behind this key and before every other."""
    return key + b"\0"


def _form(question: Question) -> "streaming.Form[SignedRecord]":
    return streaming.LINES if question.wants_lines else streaming.DICT


def _next(request: web.BaseRequest, after: str) -> dict[str, str]:
    """The `Link` to the page behind this cursor, relative, so that it holds behind a proxy too (RFC 8288)."""
    return {"Link": f'<{request.rel_url.update_query(after=after)}>; rel="next"'}
