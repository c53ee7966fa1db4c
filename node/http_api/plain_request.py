"""Plain requests: those that the fast path may take, read from aiohttp's message, or recalled without a parser.

A client sends the same headers with each of its requests; only the length of the body changes. aiohttp makes a URL, two
dictionaries and a stream of each request, which takes longer than to answer it. So the node remembers the bytes of
plain headers that aiohttp has parsed. A request with the same bytes has the same headers, and needs no parser. So no
headers are ever parsed in another way than aiohttp does. Only the request line is read here, by a pattern that allows
less than HTTP does.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiohttp import HttpVersion11, StreamReader
from aiohttp.http import RawRequestMessage

from protocol.limits import SPELLING_BYTES_MAX

_PLAIN_HEADERS: Final = frozenset(
    (
        b"host",
        b"connection",
        b"content-type",
        b"content-length",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"cache-control",
        b"pragma",
    )
)
"""Headers that neither request looks at, but for `Host` and the length of the body."""

KNOWN_MAX: Final = 4_096
"""Headers of each method: one client has some hundred, because the bodies of its claims differ in length."""

KNOWN_BYTES_MAX: Final = 512
"""Longer headers are parsed each time. So the headers that are known take 4 MB at most."""

_PATH_BEGINS: Final = "/claims/"
_LINE: Final = re.compile(rb"(GET|PUT) (/claims/[\w.@~/-]+) HTTP/1\.1\r\n", re.ASCII)
_HEAD_ENDS: Final = b"\r\n\r\n"


class PlainRequest(NamedTuple):
    """A request with nothing in it that could change its answer, but for these. `body` is whole."""

    method: str
    path: str
    host: str
    body: bytes


class _Known(NamedTuple):
    """What headers say: the host, and the length of the body."""

    host: str
    body_bytes: int


class KnownHeaders:
    """The headers of plain requests that aiohttp has parsed."""

    def __init__(self) -> None:
        self._by_method: dict[bytes, dict[bytes, _Known]] = {b"GET": {}, b"PUT": {}}

    def learn(self, data: bytes, request: PlainRequest) -> None:
        """Remember the headers of these bytes, which are this request and nothing else."""
        line = _LINE.match(data)
        if line is None:
            return
        headers = data[line.end() : len(data) - len(request.body)]
        known = self._by_method[line[1]]
        if len(headers) <= KNOWN_BYTES_MAX:
            if len(known) >= KNOWN_MAX:
                known.clear()  # a client that makes up headers makes others be parsed once more
            known[headers] = _Known(request.host, len(request.body))

    def recall(self, data: bytes) -> PlainRequest | None:
        """The request that these bytes are, between two requests of a connection; None: aiohttp has to parse them."""
        line = _LINE.match(data)
        if line is None:
            return None
        end = data.find(_HEAD_ENDS, line.end()) + len(_HEAD_ENDS)
        known = self._by_method[line[1]].get(data[line.end() : end])
        if known is None or len(data) != end + known.body_bytes:
            return None
        return PlainRequest(line[1].decode(), line[2].decode(), known.host, data[end:])


class Boundary:
    """Knows whether a parser is between two requests, as long as requests come one at a time.

    `is_here`: every byte that the parser has had belongs to a request that is whole. If two requests come in one piece,
    or a head comes in several, it stays false for good. Then aiohttp parses all that follows.
    """

    __slots__ = ("_body", "_fed_bytes", "_head_bytes", "is_here")

    def __init__(self) -> None:
        self.is_here = True
        self._body: StreamReader | None = None
        self._head_bytes = 0
        self._fed_bytes = 0

    def on_fed(self, data: bytes, bodies: Sequence[StreamReader]) -> bool:
        """The parser has had these bytes, and found the heads of requests with these bodies. Returns whether the bytes
        are one whole request.
        """
        if not data and self.is_here:
            return False
        is_first = self.is_here
        if is_first:
            self.is_here = False
            self._head_bytes, self._fed_bytes = data.find(_HEAD_ENDS) + len(_HEAD_ENDS), 0
            self._body = bodies[0] if len(bodies) == 1 else None
        elif bodies:
            self._body = None
        self._fed_bytes += len(data)
        body = self._body
        # With chunks, or with bytes behind the body, the parser has had more than the head and the body.
        if body is not None and body.is_eof() and self._fed_bytes == self._head_bytes + body.total_bytes:
            self.is_here, self._body = True, None
        return is_first and self.is_here


def read(message: RawRequestMessage, payload: StreamReader) -> PlainRequest | None:
    """The request that aiohttp has parsed, if it is plain, is whole and leaves the connection open."""
    if message.method not in ("GET", "PUT") or not message.path.startswith(_PATH_BEGINS):
        return None
    if message.version != HttpVersion11 or message.should_close or message.upgrade:
        return None
    if not payload.is_eof() or payload.exception() is not None or payload.total_bytes > SPELLING_BYTES_MAX:
        return None
    if not _PLAIN_HEADERS.issuperset([name.lower() for name, _ in message.raw_headers]):
        return None
    return PlainRequest(message.method, message.path, message.headers["Host"], _bytes_of(payload))


def _bytes_of(payload: StreamReader) -> bytes:
    """The whole body, which is here. `read_nowait` would also make the connection parse on, which costs as much."""
    return b"".join(payload._buffer) if payload.total_bytes else b""
