"""One peer over plain HTTP: every request that a sync makes, with a check of every answer.

A listed peer is trusted to bring valid records, and with nothing else. So bodies are limited and read as they come,
redirects are refused, and an answer that trickles is given up. A `Link` header is read only for its `after` and never
followed. A listing must go on in order, so that no listing is endless. Everything that is wrong with a peer becomes one
`ProtocolError`.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from node.http_sync.answers import (
    ListedLine,
    ListingOrder,
    NodeAnswer,
    Problem,
    PutAnswer,
    cut_off,
    printable,
    read,
    read_key,
    read_node,
    split_listing,
)
from node.http_sync.body import BATCH_RECORDS_MAX, BYTES_PER_SECOND_MIN, Body, network_faults
from node.intake.arrivals import Origin, Submission
from node.intake.decoding import Decoding
from node.removal.erased import ERASED_HEADER, read_erased
from node.tls import client_context
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord

IDS_PER_REQUEST_MAX: Final = 100
KEYS_PER_PAGE: Final = 10_000
"""Ids in one page of a listing: 850 kB, and some milliseconds of work."""

LISTED_MAX: Final = 10_000_000
"""Records or ids of one listing. A guess: this takes hours over plain HTTP. A larger set needs a link."""

ANSWER_BYTES_MAX: Final = 16 * 2**20
"""Bytes of one answer. 100 records have 6.6 MB."""

NODE_BYTES_MAX: Final = 5 * 2**20
"""Bytes of `/node`. With 10,000 domains of the longest names it has 4 MB, and takes 40 ms to decode."""

_PROBLEM_BYTES_MAX = 65_536
_AFTER_CHARACTERS_MAX = 2_000
_ATTEMPTS_MAX = 3
_BUSY = (429, 503)
_RETRY_DIGITS_MAX = 6
_RETRY_S = 1.0
"""Seconds to wait for a busy peer that does not say how long."""

PULLED: Final = Origin(Trust.PEER)
"""Without an address, so no quota counts: this node asks for the records itself, as fast as it takes them in."""

_LINES = {"Accept": "application/x-ndjson"}


@asynccontextmanager
async def connect(
    url: str, timeout_s: float, decoding: Decoding, authority: Path | None = None
) -> AsyncIterator["HttpPeer"]:
    """A session with one peer.

    `peers.checked_url` must have accepted the URL. Its password goes into a header only. `timeout_s`: seconds that the
    peer may say nothing. `decoding` decodes its records. `authority` is the file of the certificate authority for
    `https` peers; None: the system's.

    Raises:
        ProtocolError: also out of the block, for everything that is wrong with the peer.
    """
    full = URL(url)
    headers = {"Accept-Encoding": "identity"}  # no answer is ever unpacked, so none can be a decompression bomb
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
        yield HttpPeer(session, full.with_user(None), timeout_s, decoding)


class HttpPeer:
    """One peer. Every method raises `ProtocolError`: `unreachable`, `malformed`, or the peer's own refusal."""

    def __init__(self, session: aiohttp.ClientSession, base: URL, timeout_s: float, decoding: Decoding) -> None:
        """`base` is the peer's URL. `timeout_s`: seconds that the peer may say nothing."""
        self._decoding = decoding
        self._session = session
        self._base = base
        self._timeout_s = timeout_s

    async def get_node(self) -> NodeAnswer:
        async with self._request("GET", ["node"]) as response:
            return read_node(await Body(response, NODE_BYTES_MAX, self._timeout_s).read_whole())

    async def list_records(self, domain: str, since: int, limit: int) -> AsyncGenerator[list[SignedRecord], None]:
        """All records of a domain from the timestamp `since` on, by order key, in batches as they come.

        `limit`: records of one page.
        """
        order = ListingOrder(domain)
        async with aclosing(self._list(domain, {"since": str(since), "limit": str(limit)})) as pages:
            async for lines in pages:
                yield [order.check(signed) for signed in await self._decode(read(line, ListedLine) for line in lines)]

    async def list_keys(self, domain: str) -> AsyncGenerator[list[bytes], None]:
        """The index keys of all records of a domain, in order, in pages."""
        last = b""
        async with aclosing(self._list(domain, {"ids": "true", "limit": str(KEYS_PER_PAGE)})) as pages:
            async for lines in pages:
                keys = [read_key(line) for line in lines]
                if any(key <= previous for previous, key in pairwise([last, *keys])):
                    raise cut_off("its list of ids is not in order")
                last = keys[-1]
                yield keys

    async def get_records(self, ids: Sequence[str]) -> tuple[list[SignedRecord], frozenset[str]]:
        """Those of these records that the peer gives, and the ids of those that it erased. At most
        `IDS_PER_REQUEST_MAX` ids.
        """
        assert len(ids) <= IDS_PER_REQUEST_MAX
        async with self._request("GET", ["records"], query=[("id", record_id) for record_id in ids]) as response:
            answer = read(await self._body(response).read_whole(), dict[str, msgspec.Raw])
        erased = read_erased(response.headers.get(ERASED_HEADER, ""), ids)
        records = await self._decode(ListedLine(signature, record) for signature, record in answer.items())
        if not {signed.record.id for signed in records} <= set(ids):
            raise cut_off("it gave records that were not asked for")
        return records, erased

    async def _decode(self, lines: Iterable[ListedLine]) -> list[SignedRecord]:
        """The records of these lines, which are not verified here. Other tasks get a turn after some work.

        Raises:
            ProtocolError: `malformed`.
        """
        work, records = self._decoding.turns.begin(self._base), []
        for line in lines:
            if work.is_long:
                await work.rest()
            try:
                records.append(await self._decoding.decode(Submission(line.signature, bytes(line.record)), PULLED))
            except ProtocolError as error:
                raise cut_off(f"it gave an invalid record ({error})") from error
        work.end()
        return records

    async def put(self, body: bytes, push_header: tuple[str, str]) -> dict[str, PutAnswer]:
        """Offer a JSON dict of records. Returns one answer for each signature."""
        headers = dict([push_header]) | {"Content-Type": "application/json"}
        async with self._request("PUT", ["claims"], headers=headers, body=body) as response:
            return read(await self._body(response).read_whole(), dict[str, PutAnswer])

    async def _list(self, domain: str, query: Mapping[str, str]) -> AsyncGenerator[list[bytes], None]:
        """The lines of a listing, page after page, in batches that are never empty. The caller checks their order."""
        position: str | None = None
        listed = 0
        while True:
            listed_before = listed
            asked = [*query.items(), ("history", "true"), *([("after", position)] if position else [])]
            async with (
                self._request("GET", ["claims", domain], query=asked, headers=_LINES) as response,
                aclosing(self._read_lines(response)) as batches,
            ):
                async for lines in batches:
                    listed += len(lines)
                    if listed - listed_before > int(query["limit"]) or listed > LISTED_MAX:
                        raise cut_off(f"it lists more than was asked for, or more than {LISTED_MAX} in all")
                    yield lines
            position = _next_position(response)
            if position is None:
                return
            if listed == listed_before:
                raise cut_off("its listing goes on after an empty page")

    async def _read_lines(self, response: aiohttp.ClientResponse) -> AsyncGenerator[list[bytes], None]:
        """The lines of one page. A peer may answer with one JSON value although it was asked for lines."""
        body = self._body(response)
        if response.content_type == "application/json":
            entries = split_listing(await body.read_whole())
            for begin in range(0, len(entries), BATCH_RECORDS_MAX):
                yield entries[begin : begin + BATCH_RECORDS_MAX]
            return
        async with aclosing(body.read_lines()) as batches:
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
        """The answer, whose status is 200."""
        url = self._base.joinpath(*path).with_query(list(query))
        response = await self._send(method, url, headers, body)
        try:
            await self._check(response)
            yield response
        finally:
            # A body that was read to its end has released its connection. Nobody may wait for the rest of any other.
            response.close()

    async def _send(
        self, method: str, url: URL, headers: Mapping[str, str] | None, body: bytes | None
    ) -> aiohttp.ClientResponse:
        """The answer, whatever its status. A busy peer is asked up to `_ATTEMPTS_MAX` times, if its pause is short."""
        limit_s = self._timeout_s + len(body or b"") / BYTES_PER_SECOND_MIN
        attempt = 1
        while True:
            with network_faults():
                async with asyncio.timeout(limit_s):
                    response = await self._session.request(
                        method, url, headers=headers, data=body and BytesIO(body), allow_redirects=False
                    )
            pause_s = _retry_after_s(response)
            if pause_s is None or pause_s > self._timeout_s or attempt == _ATTEMPTS_MAX:
                return response
            response.close()
            attempt += 1
            await asyncio.sleep(pause_s)

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raises: ProtocolError: the answer is no success, or cannot be read."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise cut_off("it compressed an answer, which it was asked not to")
        if response.status == 200:
            return
        if 300 <= response.status < 400:
            raise cut_off(f"it redirects (status {response.status}): list the address that it redirects to")
        problem = await self._read_problem(response)
        said = [f"the peer answers {response.status}", problem.code, problem.detail or _foreign(response.status)]
        detail = ": ".join(printable(part) for part in said if part)
        raise ProtocolError(_code(problem.code, response.status), detail)

    async def _read_problem(self, response: aiohttp.ClientResponse) -> Problem:
        try:
            return read(await Body(response, _PROBLEM_BYTES_MAX, self._timeout_s).read_whole(), Problem)
        except ProtocolError:  # then only the status says what is wrong
            return Problem()

    def _body(self, response: aiohttp.ClientResponse) -> Body:
        return Body(response, ANSWER_BYTES_MAX, self._timeout_s)


def _foreign(status: int) -> str:
    """What a refusal means if it has no problem in its body, because another program than a node refused."""
    match status:
        case 401:
            return "a program in front of the peer asks for a password: list the peer as http://NAME:WORD@HOST"
        case 403:
            return "a program in front of the peer forbids this request"
        case 404 | 405:
            return "no dnarc node answers at this URL: check host, port and path"
        case 413:
            return "a program in front of the peer takes no body of this size: raise its limit to 8 MiB"
        case 502 | 503 | 504:
            return "a proxy answers, and the node behind it does not"
    return ""


def _next_position(response: aiohttp.ClientResponse) -> str | None:
    """The `after` of the next page, None if this page is the last. The rest of the link is ignored."""
    try:
        link: Mapping[str, Any] = response.links.get("next", {})
        if not link:
            return None
        position = URL(str(link["url"])).query.get("after")
    except (ValueError, LookupError) as error:
        raise cut_off("its link to the next page cannot be read") from error
    if not position or len(position) > _AFTER_CHARACTERS_MAX:
        raise cut_off("its link to the next page has no `after`")
    return position


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """Seconds that a busy peer asks to wait before the same request. None if the peer is not busy.

    `Retry-After` is a number of seconds or a date (RFC 9110, section 10.2.3). The date counts by the peer's own clock.
    """
    text = response.headers.get("Retry-After", "").strip()
    if response.status not in _BUSY:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _RETRY_DIGITS_MAX:
        return float(text)
    until_s, now_s = _read_date(text), _read_date(response.headers.get("Date", ""))
    return _RETRY_S if until_s is None or now_s is None else max(0.0, until_s - now_s)


def _read_date(text: str) -> float | None:
    """Seconds since the Unix epoch. None if this is no date."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _code(text: str, status: int) -> Code:
    """The code of a refused request: the peer's own if it is known here, otherwise one that fits the status."""
    try:
        return Code(text)
    except ValueError:
        return Code.OVERLOADED if status in _BUSY else Code.UNREACHABLE
