"""Listings: the heads, or every record, of one domain or of all domains; whole, or in pages.

Heads come from the store, ordered by domain and label. Records come by order key. The indexes have that order in
memory, so the keys of an answer are picked there and only the bodies are read from the store. For all domains, the
indexes are merged. An index can grow while a client reads, so each step goes on behind the last key that it gave,
never at a position, and ends at the key that was the newest when the step began.
"""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Final

import msgspec
from aiohttp import web

from node.fairness.read_cost import pace
from node.http_api.answers import paged_answer
from node.http_api.answers.answer_room import open_answer
from node.http_api.answers.paged_answer import Form, answer_pages
from node.http_api.answers.pages import PAGE_BYTES_MAX, PAGE_RECORDS_MAX, signed_pages
from node.http_api.handlers.domains import check_domain_known, known_domains
from node.http_api.handlers.read import answer_head
from node.http_api.requests import cursor
from node.http_api.requests.accept import wants_lines
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import LIMIT_MAX, flag, integer
from node.store.contract import LabelKey, Store
from protocol.errors import Code, ProtocolError
from protocol.records.record import Record, SignedRecord, is_label, is_witnessed
from protocol.records.replay import State
from protocol.sets.index import ID_BYTES, Index, key_id, pack_key
from protocol.signing import is_key
from protocol.witness.walk import Certainty

_KEYS_AT_ONCE: Final = 2_000
"""Keys in memory while indexes are merged, of all domains together: 200 kB."""

_KEYS_IN_A_PIECE: Final = 500
_DOMAINS_IN_A_PIECE: Final = 250
"""Keys, and beginnings of domains, that are looked up without a pause: about 3 ms."""

_DOMAIN_BYTES: Final = 1_000
"""Bytes that the merging of one more domain takes, with the two keys that it holds."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """The query of a listing. `domain` None means all domains, `owner` None all owners, `limit` None no pages."""

    domain: str | None
    limit: int | None
    after: str | None
    prefix: str
    owner: str | None
    since: int
    wants_history: bool
    wants_ids: bool
    wants_lines: bool


async def get_claims(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return await _answer(parts, request, None)


async def get_domain_claims(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    domain = request.match_info["name"]
    if "label" in request.query:
        _check_alone(request)
        return await answer_head(parts, request, domain, request.query["label"])
    check_domain_known(parts, domain)
    return await _answer(parts, request, domain)


def _check_alone(request: web.BaseRequest) -> None:
    """Raises: ProtocolError: `malformed` if the query asks for a listing beside the head of one label."""
    for name in request.query:
        if name != "label":
            raise ProtocolError(Code.MALFORMED, f"`label` asks for one head, without `{name}`", parameter=name)


async def _answer(parts: ApiParts, request: web.Request, domain: str | None) -> web.StreamResponse:
    question = _read_question(request, domain)
    if question.prefix and question.wants_history:
        raise ProtocolError(Code.MALFORMED, "`prefix` goes with heads, not with `history`", parameter="prefix")
    if question.owner is not None and (question.prefix or question.wants_history):
        detail = "`signedby` goes with heads, not with `history` or `prefix`"
        raise ProtocolError(Code.MALFORMED, detail, parameter="signedby")
    if question.wants_history:
        return await _answer_history(parts, request, question)
    if question.wants_ids:
        raise ProtocolError(Code.MALFORMED, "`ids=true` goes with `history=true`", parameter="ids")
    return await _answer_heads(parts, request, question)


def _read_question(request: web.BaseRequest, domain: str | None) -> Question:
    """Raises: ProtocolError: `malformed` for a parameter that cannot be read."""
    return Question(
        domain=domain,
        limit=integer(request, "limit", 1, LIMIT_MAX),
        after=request.query.get("after"),
        prefix=_read_prefix(request),
        owner=_read_owner(request),
        since=integer(request, "since", 0) or 0,
        wants_history=flag(request, "history"),
        wants_ids=flag(request, "ids"),
        wants_lines=wants_lines(request),
    )


def _read_prefix(request: web.BaseRequest) -> str:
    """The text that all labels shall begin with; empty if the query has no `prefix`.

    Raises:
        ProtocolError: `malformed` if no label can begin so.
    """
    prefix = request.query.get("prefix", "")
    if prefix and not is_label(prefix):
        raise ProtocolError(Code.MALFORMED, "`prefix` is the beginning of a label", parameter="prefix")
    return prefix


def _read_owner(request: web.BaseRequest) -> str | None:
    """The key whose labels are asked for, None for all labels.

    Raises:
        ProtocolError: `malformed`.
    """
    key = request.query.get("signedby")
    if key is not None and not is_key(key):
        raise ProtocolError(Code.MALFORMED, "`signedby` is a key: 64 lower-case hex digits", parameter="signedby")
    return key


async def _answer_history(parts: ApiParts, request: web.Request, question: Question) -> web.StreamResponse:
    room = open_answer(parts, request)
    if question.domain is None:
        room.extra_bytes = _DOMAIN_BYTES * len(parts.indexes)
    keys = await _wanted_keys(parts, question)
    headers = {}
    if question.limit is not None:
        page = await _first_keys(parts, keys, question.limit + 1, wants_erased=question.wants_ids)
        if len(page) > question.limit:
            headers = _next_link(request, cursor.of_key(page[question.limit - 1]))
        keys = iter(page[: question.limit])
    if question.wants_ids:
        form = paged_answer.KEY_LINES if question.wants_lines else paged_answer.KEYS
        return await answer_pages(request, _key_pages(keys), form, room, headers)
    return await answer_pages(request, _record_pages(parts.store, keys), _record_form(question), room, headers)


async def _first_keys(parts: ApiParts, keys: Iterator[bytes], count: int, *, wants_erased: bool) -> list[bytes]:
    """The first keys, without those of erased records unless these are wanted too."""
    page = await _take(keys, count)
    if wants_erased or not parts.erased.is_any:
        return page
    shown: list[bytes] = []
    while page:
        erased = await parts.erased.among([key_id(key).hex() for key in page])
        shown += [key for key in page if key_id(key).hex() not in erased]
        await pace()
        page = await _take(keys, count - len(shown))
    return shown


async def _take(keys: Iterator[bytes], count: int) -> list[bytes]:
    """The next keys, at most this many."""
    taken: list[bytes] = []
    while piece := list(islice(keys, min(_KEYS_IN_A_PIECE, count - len(taken)))):
        taken += piece
        await _rest()
    return taken


async def _rest() -> None:
    """Give others a turn."""
    await pace()
    await asyncio.sleep(0)


async def _answer_heads(parts: ApiParts, request: web.Request, question: Question) -> web.StreamResponse:
    after = None if question.after is None else cursor.to_label(question.after)
    if after is not None and question.domain not in (None, after[0]):
        raise ProtocolError(Code.MALFORMED, "`after` comes from a listing of another domain", parameter="after")
    room = open_answer(parts, request)
    heads = _shown_pages(_head_pages(parts, question, after))
    headers = {}
    if question.limit is not None:
        keys, last, has_more = await _read_first_heads(heads, question.limit)
        headers = _next_link(request, cursor.of_label(*last)) if last is not None and has_more else {}
        heads = _record_pages(parts.store, keys)
    if question.wants_lines:
        return await answer_pages(request, _with_certainty(parts.store, heads), paged_answer.HEAD_LINES, room, headers)
    return await answer_pages(request, heads, paged_answer.DICT, room, headers)


async def _with_certainty(
    store: Store, pages: AsyncGenerator[list[SignedRecord], None]
) -> AsyncGenerator[list[tuple[SignedRecord, Certainty | None]], None]:
    """The same heads, each with how sure it is; None in ordinary domains."""
    async with aclosing(pages):
        async for page in pages:
            names = [(it.record.domain, it.record.label) for it in page if is_witnessed(it.record.domain)]
            states = await store.states(names) if names else {}
            yield [(signed, _certainty_of(signed.record, states)) for signed in page]


def _certainty_of(head: Record, states: Mapping[LabelKey, State]) -> Certainty | None:
    """How sure a head is. None if its label has no state, or if another record took its place meanwhile."""
    state = states.get((head.domain, head.label))
    if state is None or state.tip is None or state.tip.id != head.id:
        return None
    return Certainty.FINAL if state.final == head.id else Certainty.ORDERED


async def _shown_pages(
    pages: AsyncGenerator[list[SignedRecord], None],
) -> AsyncGenerator[list[SignedRecord], None]:
    """The pages without erased records. No page is empty."""
    async with aclosing(pages):
        async for page in pages:
            if shown := [signed for signed in page if not signed.record.is_erased]:
                yield shown


async def _read_first_heads(
    pages: AsyncGenerator[list[SignedRecord], None], limit: int
) -> tuple[list[bytes], LabelKey | None, bool]:
    """The index keys of the first heads, the label of the last one, and whether more follow.

    The `Link` header goes out before the bodies, which take much memory. So the bodies are dropped here and read again
    when they are sent.
    """
    keys: list[bytes] = []
    last: LabelKey | None = None
    try:
        async for page in pages:
            for signed in page:
                if len(keys) == limit:
                    return keys, last, True
                record = signed.record
                keys.append(record.index_key)
                last = (record.domain, record.label)
    finally:
        await pages.aclose()
    return keys, last, False


async def _head_pages(
    parts: ApiParts, question: Question, after: LabelKey | None
) -> AsyncGenerator[list[SignedRecord], None]:
    """The heads behind `after`, by domain and label. A page of large records has few of them."""
    size = PAGE_RECORDS_MAX if question.limit is None else min(PAGE_RECORDS_MAX, question.limit + 1)
    for domain in _store_domains(parts, question, after):
        begin = after if after is not None and domain in (None, after[0]) else None
        while page := await _read_heads(parts.store, question, domain, begin, size):
            begin = (page[-1].record.domain, page[-1].record.label)
            is_last = len(page) < size and sum(len(signed.record.canonical) for signed in page) < PAGE_BYTES_MAX
            yield page
            if is_last:
                break


async def _read_heads(
    store: Store, question: Question, domain: str | None, after: LabelKey | None, limit: int
) -> list[SignedRecord]:
    if question.owner is not None:
        return await store.heads_of_owner(question.owner, domain, after, question.since, limit, PAGE_BYTES_MAX)
    return await store.heads(domain, after, question.since, limit, question.prefix, PAGE_BYTES_MAX)


def _store_domains(parts: ApiParts, question: Question, after: LabelKey | None) -> Sequence[str | None]:
    """The domains to ask the store for, one after another. None stands for all at once."""
    if question.domain is not None:
        return [question.domain]
    if parts.settings.domains is None:
        return [None]
    return [domain for domain in known_domains(parts) if after is None or domain >= after[0]]


def _record_pages(store: Store, keys: Iterable[bytes]) -> AsyncGenerator[list[SignedRecord], None]:
    """The records of these keys, in their order."""
    return signed_pages(store, (key_id(key).hex() for key in keys))


async def _key_pages(keys: Iterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    while page := await _take(keys, 2 * PAGE_RECORDS_MAX):
        yield page


async def _wanted_keys(parts: ApiParts, question: Question) -> Iterator[bytes]:
    """The keys of all records that the query asks for, by order key."""
    names = known_domains(parts) if question.domain is None else [question.domain]
    indexes = [index for name in names if (index := parts.indexes.get(name)) is not None]
    begin = pack_key(question.since, bytes(ID_BYTES))
    if question.after is not None:
        begin = max(begin, _successor(cursor.to_key(question.after)))
    at_once = max(2, min(2 * PAGE_RECORDS_MAX, _KEYS_AT_ONCE // max(1, len(indexes))))
    if len(indexes) == 1:
        return _keys_from(indexes[0], begin, at_once)
    firsts: list[tuple[bytes, int]] = []
    for piece in range(0, len(indexes), _DOMAINS_IN_A_PIECE):
        for number in range(piece, min(piece + _DOMAINS_IN_A_PIECE, len(indexes))):
            rank = indexes[number].rank(begin)
            if rank < len(indexes[number]):
                firsts.append((indexes[number].key_at(rank), number))
        await _rest()
    return _merge(firsts, indexes, at_once)


def _merge(firsts: list[tuple[bytes, int]], indexes: Sequence[Index], at_once: int) -> Iterator[bytes]:
    """The keys of these indexes from the first key of each on, by order key. `firsts`: keys with the places of their
    indexes. An index is read on when its first key was taken, because most listings end before most indexes begin.
    """
    heapq.heapify(firsts)
    following: dict[int, Iterator[bytes]] = {}
    while firsts:
        key, number = firsts[0]
        yield key
        if number not in following:
            following[number] = _keys_from(indexes[number], _successor(key), at_once)
        after = next(following[number], None)
        if after is None:
            heapq.heappop(firsts)
        else:
            heapq.heapreplace(firsts, (after, number))


def _keys_from(index: Index, begin: bytes, at_once: int) -> Iterator[bytes]:
    """The keys from `begin` to the present last key, read `at_once` at a time. Keys that are added in between while
    this runs can appear too.
    """
    if len(index) == 0:
        return
    last = index.key_at(len(index) - 1)
    while begin <= last:
        rank = index.rank(begin)
        keys = index.keys(rank, min(rank + at_once, len(index)))
        yield from keys if not keys or keys[-1] <= last else (key for key in keys if key <= last)
        begin = _successor(keys[-1])


def _successor(key: bytes) -> bytes:
    """The smallest byte string that is greater than this key."""
    return key + b"\0"


def _record_form(question: Question) -> Form[SignedRecord]:
    return paged_answer.LINES if question.wants_lines else paged_answer.DICT


def _next_link(request: web.BaseRequest, after: str) -> dict[str, str]:
    """The `Link` to the page behind this cursor (RFC 8288).

    It is only a query, so it holds behind a proxy that serves the node under another name or below a path.
    """
    return {"Link": f'<?{request.rel_url.update_query(after=after).raw_query_string}>; rel="next"'}
