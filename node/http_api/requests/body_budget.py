"""Request bodies: each is read up to a limit of bytes and at a least speed, and all together within a budget of memory.

A body is cut off at its limit, whether it announced its length or comes in chunks. Unread bytes stay in the socket, so
TCP slows the sender down. A sender that is slower than the least speed holds memory on purpose, or might as well.
"""

import asyncio
from typing import Final

from aiohttp import web

from node.http_api.requests.byte_budget import ByteBudget
from node.http_api.requests.refused import RefusedError
from protocol.errors import Code, ProtocolError

BYTES_PER_SECOND_MIN: Final = 4_096
"""Bytes a second at which a body has to come in the long run. A guess: slow mobile networks are twice as fast."""


class BodyBudget:
    """Reads the bodies of requests, within the memory that the node has for all of them."""

    def __init__(self, budget: ByteBudget, timeout_s: float) -> None:
        """`timeout_s`: seconds that a body may be behind the least speed."""
        self._budget = budget
        self._timeout_s = timeout_s

    def read(self, request: web.BaseRequest, bytes_max: int, address: str | None) -> "_Reading":
        """Read a body of at most `bytes_max`: `async with` gives its bytes, which count until the block ends.

        They count under the caller's `address`, None: under none.

        Raises:
            ProtocolError: `too_large`; `overloaded` if the bodies of this caller, or of all, take too much memory;
                `timeout` if it comes too slowly; `malformed` if it breaks off.
        """
        return _Reading(self._budget, self._timeout_s, request, bytes_max, address)


class Pace:
    """How far a body is behind the least speed. Being ahead counts for nothing: a fast start buys no long stall."""

    def __init__(self, timeout_s: float) -> None:
        """`left_s` is how many seconds the next piece may take."""
        self.left_s = timeout_s
        self._timeout_s = timeout_s

    def on_piece(self, size_bytes: int, waited_s: float) -> None:
        """A piece has come after so many seconds."""
        self.left_s = min(self._timeout_s, self.left_s - waited_s + size_bytes / BYTES_PER_SECOND_MIN)


class _Reading:
    """One body while it is read and used. A class, because an asynchronous generator costs 10 us more a request."""

    __slots__ = ("_address", "_budget", "_bytes_max", "_pace", "_request", "_size_bytes")

    def __init__(
        self, budget: ByteBudget, timeout_s: float, request: web.BaseRequest, bytes_max: int, address: str | None
    ) -> None:
        self._budget = budget
        self._address = address
        self._pace = Pace(timeout_s)
        self._request = request
        self._bytes_max = bytes_max
        self._size_bytes = 0

    async def __aenter__(self) -> bytes:
        _check_headers(self._request, self._bytes_max)
        pieces: list[bytes] = []
        try:
            while piece := await _read_piece(self._request, self._pace):
                self._size_bytes += len(piece)
                self._budget.add(self._address, len(piece))
                pieces.append(piece)
                if self._size_bytes > self._bytes_max:
                    raise _too_large(self._bytes_max)
                self._budget.check_room(self._address)
        except BaseException:
            self._budget.add(self._address, -self._size_bytes)
            raise
        return b"".join(pieces)

    async def __aexit__(self, *_error: object) -> None:
        self._budget.add(self._address, -self._size_bytes)


def _check_headers(request: web.BaseRequest, bytes_max: int) -> None:
    """Refuse a body that announces too much, or that is compressed: a few bytes could unpack to any number.

    Raises:
        ProtocolError: `too_large`; with status 415 or 501 for a coding (RFC 9110, section 15.5.16; RFC 9112, 6.1).
    """
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    if _codings(request, "Content-Encoding") - {"identity"}:
        detail = "a body is sent as it is, without Content-Encoding"
        raise RefusedError(415, detail, {"Accept-Encoding": "identity"})
    if _codings(request, "Transfer-Encoding") - {"chunked"}:
        raise RefusedError(501, "the only transfer coding that is known here is chunked")


def _codings(request: web.BaseRequest, header: str) -> set[str]:
    """The items of a list of codings, in lower case."""
    items = ",".join(request.headers.getall(header, [])).lower().split(",")
    return {item.strip() for item in items} - {""}


async def _read_piece(request: web.BaseRequest, pace: Pace) -> bytes:
    """The next bytes; empty at the end."""
    content = request.content
    try:
        if content.is_eof():  # all of it is here, as nearly always for a single claim: a timeout costs 10 us
            return content.read_nowait()
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        async with asyncio.timeout(max(0.0, pace.left_s)):
            piece = await content.readany()
        pace.on_piece(len(piece), clock() - begun_s)
        return piece
    except TimeoutError as error:
        detail = f"the body comes too slowly: send at least {BYTES_PER_SECOND_MIN} bytes a second"
        raise RefusedError(408, detail, code=Code.TIMEOUT) from error
    except web.RequestPayloadError as error:
        raise ProtocolError(Code.MALFORMED, "the body broke off, or is not in chunks as its headers say") from error


def _too_large(bytes_max: int) -> ProtocolError:
    return ProtocolError(Code.TOO_LARGE, f"the body of this request has at most {bytes_max} bytes", bytes_max=bytes_max)
