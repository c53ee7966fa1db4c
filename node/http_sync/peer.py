"""One peer over plain HTTP, seen from here: every request that a sync makes, and a check of every answer.

A listed peer is trusted to bring valid records and with nothing else: it may be broken, another program, or in other
hands. So bodies are limited and read as they come, redirects are refused, an answer that trickles is given up, `Link`
is only read for its `after` and never followed to wherever it leads, and every listing has to go on in order, so that
none goes round in a circle. Whatever is wrong with a peer is one `ProtocolError`.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import aiohttp
import msgspec
from msgspec import Meta
from yarl import URL

from node.tls import client_context
from protocol.errors import Code, ProtocolError
from protocol.limits import SAFE_INTEGER_MAX, SPELLING_BYTES_MAX
from protocol.records.record import Record, SignedRecord, check_signature_spelling, decode, is_domain, is_id
from protocol.sets.index import pack_key
from protocol.signing import is_key

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 2**20
"""What one `PUT /claims` may hold (contract, section 4), and what is held in memory of an answer at once."""

IDS_PER_REQUEST_MAX: Final = 100
KEYS_PER_PAGE: Final = 10_000
"""Of a listing of ids: 850 kB, some milliseconds of work."""

LISTED_MAX: Final = 10_000_000
"""Records or ids of one listing. A guess: hours of plain HTTP. What is more belongs on a link."""

ANSWER_BYTES_MAX: Final = 16 * 2**20
"""Of `/node` with 10,000 domains of the longest names: 4 MB. Of 100 records: 6.6 MB."""

_LINE_BYTES_MAX = SPELLING_BYTES_MAX + 512
_PROBLEM_BYTES_MAX = 65_536
_DETAIL_CHARACTERS_MAX = 200
_AFTER_CHARACTERS_MAX = 2_000
_BYTES_PER_SECOND_MIN = 1_024
"""A body may take the timeout, and a second for each of these bytes: who sends slower holds a connection on purpose."""
_ATTEMPTS_MAX = 3
_BUSY = (429, 503)

_LINES = {"Accept": "application/x-ndjson"}
_T = TypeVar("_T")


class DomainAnswer(msgspec.Struct, frozen=True):
    """What a peer says it holds of a domain."""

    count: Annotated[int, Meta(ge=0)]
    fingerprint: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class NodeAnswer(msgspec.Struct, frozen=True):
    """Who a peer says it is, and what it holds: the part of `GET /node` that a sync needs."""

    node: str
    domains: dict[str, DomainAnswer]


class PutAnswer(msgspec.Struct, frozen=True):
    """What became of one record that was sent. A code that this version does not know is a refusal for good."""

    status: Annotated[str, Meta(pattern=r"\A(accepted|known|refused)\Z")]
    code: str | None = None


class _Line(msgspec.Struct, frozen=True):
    signature: str
    record: msgspec.Raw


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""


@asynccontextmanager
async def connect(url: str, timeout_s: float, authority: Path | None = None) -> AsyncIterator["HttpPeer"]:
    """A session with one peer. The URL is one that `peers.checked_url` let through; its password goes into a header
    only. `authority` is the file of the one that vouches for `https` peers, None: those the system knows.

    Raises:
        ProtocolError: also from within, whatever is wrong with the peer.
    """
    full = URL(url)
    headers = {"Accept-Encoding": "identity"}  # what is never unpacked cannot be a bomb
    if full.user is not None:
        credentials = f"{full.user}:{full.password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"  # RFC 7617
    limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)
    async with aiohttp.ClientSession(
        timeout=limits,
        headers=headers,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(ssl=client_context(authority) if full.scheme == "https" else True),
    ) as session:
        yield HttpPeer(session, full.with_user(None), timeout_s)


class HttpPeer:
    """One peer. Every method raises `ProtocolError`: `unreachable`, `malformed`, or the peer's own refusal."""

    def __init__(self, session: aiohttp.ClientSession, base: URL, timeout_s: float) -> None:
        self._session = session
        self._base = base
        self._timeout_s = timeout_s

    async def node(self) -> NodeAnswer:
        async with self._request("GET", ["node"]) as response:
            answer = _typed(await self._body(response).whole(), NodeAnswer)
        if not is_key(answer.node) or not all(map(is_domain, answer.domains)):
            raise _nonsense("its /node does not say who it is, or names what cannot be a domain")
        return answer

    async def records_since(self, domain: str, since: int, limit: int) -> AsyncGenerator[list[SignedRecord], None]:
        """All records of a domain from this timestamp on, by order key, in batches as they come."""
        order = _Order()
        async with aclosing(self._pages(domain, {"since": str(since), "limit": str(limit)})) as pages:
            async for lines in pages:
                yield [order.checked(_signed(_typed(line, _Line)), domain) for line in lines]

    async def keys(self, domain: str) -> AsyncGenerator[list[bytes], None]:
        """The index keys of all records of a domain, in order, in pages."""
        last = b""
        async with aclosing(self._pages(domain, {"ids": "true", "limit": str(KEYS_PER_PAGE)})) as pages:
            async for lines in pages:
                keys = [_key(_typed(line, tuple[int, str])) for line in lines]
                if any(key <= previous for previous, key in pairwise([last, *keys])):
                    raise _nonsense("its list of ids is not in order")
                last = keys[-1]
                yield keys

    async def records(self, ids: Sequence[str]) -> list[SignedRecord]:
        """Those of these records that the peer gives, at most `IDS_PER_REQUEST_MAX` asked for."""
        assert len(ids) <= IDS_PER_REQUEST_MAX
        async with self._request("GET", ["records"], query=[("id", record_id) for record_id in ids]) as response:
            answer = _typed(await self._body(response).whole(), dict[str, msgspec.Raw])
        records = [_signed(_Line(signature, record)) for signature, record in answer.items()]
        if not {signed.record.id for signed in records} <= set(ids):
            raise _nonsense("it gave records that were not asked for")
        return records

    async def put(self, body: bytes, push_header: tuple[str, str]) -> dict[str, PutAnswer]:
        """Offer a dict of records. Gives one answer for each signature."""
        headers = dict([push_header]) | {"Content-Type": "application/json"}
        async with self._request("PUT", ["claims"], headers=headers, body=body) as response:
            return _typed(await self._body(response).whole(), dict[str, PutAnswer])

    async def _pages(self, domain: str, query: Mapping[str, str]) -> AsyncGenerator[list[bytes], None]:
        """The lines of a listing, page after page, in batches that are never empty; their order is the caller's to
        check.
        """
        position: str | None = None
        listed = 0
        while True:
            listed_before = listed
            asked = [*query.items(), ("history", "true"), *([("after", position)] if position else [])]
            async with (
                self._request("GET", ["claims", domain], query=asked, headers=_LINES) as response,
                aclosing(self._batches(response)) as batches,
            ):
                async for lines in batches:
                    listed += len(lines)
                    if listed - listed_before > int(query["limit"]) or listed > LISTED_MAX:
                        raise _nonsense(f"it lists more than was asked for, or more than {LISTED_MAX} in all")
                    yield lines
            position = _next_position(response)
            if position is None:
                return
            if listed == listed_before:
                raise _nonsense("its listing goes on after an empty page")

    async def _batches(self, response: aiohttp.ClientResponse) -> AsyncGenerator[list[bytes], None]:
        """The entries of a listing. A peer may give one JSON value where lines were asked for."""
        body = self._body(response)
        if response.content_type == "application/json":
            entries = _entries(await body.whole())
            for begin in range(0, len(entries), BATCH_RECORDS_MAX):
                yield entries[begin : begin + BATCH_RECORDS_MAX]
            return
        async with aclosing(body.batches()) as batches:
            async for lines in batches:
                yield lines

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: Sequence[str],
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, which has status 200."""
        url = self._base.joinpath(*path).with_query(list(query))
        response = await self._answer(method, url, headers, body)
        try:
            await self._check(response)
            yield response
        finally:
            # One that was read to its end has given its connection back; what was not must not be waited for.
            response.close()

    async def _answer(
        self, method: str, url: URL, headers: Mapping[str, str] | None, body: bytes | None
    ) -> aiohttp.ClientResponse:
        """The answer, whatever its status; a peer that says `later` is asked again, a few times within the timeout."""
        limit_s = self._timeout_s + len(body or b"") / _BYTES_PER_SECOND_MIN
        attempt = 1
        while True:
            with _faults():
                async with asyncio.timeout(limit_s):
                    response = await self._session.request(
                        method, url, headers=headers, data=body and BytesIO(body), allow_redirects=False
                    )
            pause_s = _pause_s(response)
            if pause_s is None or pause_s > self._timeout_s or attempt == _ATTEMPTS_MAX:
                return response
            response.close()
            attempt += 1
            await asyncio.sleep(pause_s)

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _nonsense("it compressed an answer, which it was asked not to")
        if response.status == 200:
            return
        if 300 <= response.status < 400:
            raise _nonsense(f"it redirects (status {response.status}): list the address that it redirects to")
        problem = await self._problem(response)
        said = [f"the peer answers {response.status}", problem.code, problem.detail]
        detail = ": ".join(_printable(part) for part in said if part)
        raise ProtocolError(_code(problem.code, response.status), detail)

    async def _problem(self, response: aiohttp.ClientResponse) -> _Problem:
        try:
            return _typed(await _Body(response, _PROBLEM_BYTES_MAX, self._timeout_s).whole(), _Problem)
        except ProtocolError:  # the status has to do
            return _Problem()

    def _body(self, response: aiohttp.ClientResponse) -> "_Body":
        return _Body(response, ANSWER_BYTES_MAX, self._timeout_s)


class _Body:
    """The body of an answer as it comes: limited in bytes, and in the time spent waiting for it."""

    def __init__(self, response: aiohttp.ClientResponse, bytes_max: int, timeout_s: float) -> None:
        self._content = response.content
        self._bytes_max = bytes_max
        self._timeout_s = timeout_s
        self._received = 0
        self._waited_s = 0.0

    async def whole(self) -> bytes:
        parts = []
        while part := await self._part():
            parts.append(part)
            if self._received > self._bytes_max:
                raise _nonsense(f"it sent more than {self._bytes_max} bytes in one answer")
        return b"".join(parts)

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """Non-empty lines as they come, at most `BATCH_RECORDS_MAX` and about `BATCH_BYTES_MAX` at once."""
        lines: list[bytes] = []
        size, rest = 0, b""
        while part := await self._part():
            *whole, rest = (rest + part).split(b"\n")
            for line in filter(None, whole):
                lines.append(line)
                size += len(line)
            if len(rest) > _LINE_BYTES_MAX:
                raise _nonsense(f"it sent a line of more than {_LINE_BYTES_MAX} bytes")
            if len(lines) >= BATCH_RECORDS_MAX or size >= BATCH_BYTES_MAX:
                yield lines
                lines, size = [], 0
        lines += [rest] if rest else []
        if lines:
            yield lines

    async def _part(self) -> bytes:
        """What has come, or b'' at the end."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with _faults():
            part = await self._content.readany()
        self._received += len(part)
        self._waited_s += loop.time() - begun
        if self._waited_s > self._timeout_s + self._received / _BYTES_PER_SECOND_MIN:
            raise _nonsense(f"it sends less than {_BYTES_PER_SECOND_MIN} bytes a second")
        return part


class _Order:
    """A listing of records has to be of one domain, and go on in order."""

    def __init__(self) -> None:
        self._last: tuple[int, str] = (0, "")

    def checked(self, signed: SignedRecord, domain: str) -> SignedRecord:
        record: Record = signed.record
        if record.domain != domain:
            raise _nonsense(f"it listed a record of another domain under {domain}")
        if record.order_key <= self._last:
            raise _nonsense("its listing of records is not in order")
        self._last = record.order_key
        return signed


@contextmanager
def _faults() -> Iterator[None]:
    """Whatever a connection can fail with is the peer's fault, and one error. To stand around network calls only."""
    try:
        yield
    except TimeoutError as error:
        raise ProtocolError(Code.UNREACHABLE, "the peer said nothing for too long") from error
    except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, ValueError) as error:
        raise ProtocolError(Code.UNREACHABLE, f"the connection failed: {_printable(str(error))}") from error


def _typed(data: bytes, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _nonsense(f"its answer has not the shape that was agreed on ({_printable(str(error))})") from error


def _entries(listing: bytes) -> list[bytes]:
    """What the lines of this dict of records, or list of ids, would be."""
    if listing.lstrip().startswith(b"["):
        return [bytes(entry) for entry in _typed(listing, list[msgspec.Raw])]
    records = _typed(listing, dict[str, msgspec.Raw])
    return [msgspec.json.encode(_Line(signature, record)) for signature, record in records.items()]


def _signed(line: _Line) -> SignedRecord:
    try:
        check_signature_spelling(line.signature)
        return SignedRecord(line.signature, decode(bytes(line.record)))
    except ProtocolError as error:
        raise _nonsense(f"it gave an invalid record ({error})") from error


def _key(listed: tuple[int, str]) -> bytes:
    timestamp, record_id = listed
    if not 1 <= timestamp <= SAFE_INTEGER_MAX or not is_id(record_id):
        raise _nonsense("its list of ids holds what cannot be one")
    return pack_key(timestamp, bytes.fromhex(record_id))


def _next_position(response: aiohttp.ClientResponse) -> str | None:
    """The `after` of the next page; None where this was the last. Wherever else the link leads is not looked at."""
    try:
        link: Mapping[str, Any] = response.links.get("next", {})
        if not link:
            return None
        position = URL(str(link["url"])).query.get("after")
    except (ValueError, LookupError) as error:
        raise _nonsense("its link to the next page cannot be read") from error
    if not position or len(position) > _AFTER_CHARACTERS_MAX:
        raise _nonsense("its link to the next page has no `after`")
    return position


def _pause_s(response: aiohttp.ClientResponse) -> float | None:
    """For how long the peer asks to wait before the same request; None where it does not."""
    text = response.headers.get("Retry-After", "1")
    if response.status not in _BUSY:
        return None
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 1.0


def _code(text: str, status: int) -> Code:
    """The peer's code where it is one of ours; else whether it is worth to come again."""
    try:
        return Code(text)
    except ValueError:
        return Code.OVERLOADED if status in _BUSY else Code.UNREACHABLE


def _printable(text: str) -> str:
    """A peer's words, fit for a report and a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:_DETAIL_CHARACTERS_MAX])


def _nonsense(what: str) -> ProtocolError:
    return ProtocolError(Code.MALFORMED, f"the peer is cut off: {what}")
