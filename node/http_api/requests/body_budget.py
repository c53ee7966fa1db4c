"""Request bodies: each is read up to a limit, and all together take at most the memory that the node has for them.

A body is cut off at its limit, whether it announced its length or comes in chunks. Unread bytes stay in the socket, so
TCP slows the sender down.
"""

import asyncio
from typing import Final

from aiohttp import web

from node.http_api.requests.refused import RefusedError
from protocol.errors import Code, ProtocolError

READ_STALL_S_MAX: Final = 30.0
"""How many seconds a sender may pause inside a body. A guess."""


class BodyBudget:
    """The memory for the bodies of all requests together. `held_bytes` is how much of it is in use."""

    def __init__(self, held_bytes_max: int) -> None:
        """`held_bytes_max`: bytes of all bodies that may be in memory at once."""
        self.held_bytes = 0
        self._held_bytes_max = held_bytes_max

    def read(self, request: web.BaseRequest, bytes_max: int) -> "_Reading":
        """Read a body of at most `bytes_max`: `async with` gives its bytes, which count until the block ends.

        Raises:
            ProtocolError: `too_large`; `overloaded` if other bodies take all the memory; `malformed` if it breaks off.
        """
        return _Reading(self, request, bytes_max)

    def check_room(self, size_bytes: int, bytes_max: int) -> None:
        """Raises: ProtocolError: a body of which so many bytes were read is too large, or the memory is used up."""
        if size_bytes > bytes_max:
            raise _too_large(bytes_max)
        if self.held_bytes > self._held_bytes_max:
            raise ProtocolError(Code.OVERLOADED, "too many requests are being read already", retry_after=1)


class _Reading:
    """One body while it is read and used. A class, because an asynchronous generator costs 10 us more a request."""

    __slots__ = ("_budget", "_bytes_max", "_request", "_size_bytes")

    def __init__(self, budget: BodyBudget, request: web.BaseRequest, bytes_max: int) -> None:
        self._budget = budget
        self._request = request
        self._bytes_max = bytes_max
        self._size_bytes = 0

    async def __aenter__(self) -> bytes:
        _check_headers(self._request, self._bytes_max)
        pieces: list[bytes] = []
        try:
            while piece := await _read_piece(self._request):
                self._size_bytes += len(piece)
                self._budget.held_bytes += len(piece)
                pieces.append(piece)
                self._budget.check_room(self._size_bytes, self._bytes_max)
        except BaseException:
            self._budget.held_bytes -= self._size_bytes
            raise
        return b"".join(pieces)

    async def __aexit__(self, *_error: object) -> None:
        self._budget.held_bytes -= self._size_bytes


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


async def _read_piece(request: web.BaseRequest) -> bytes:
    """The next bytes; empty at the end."""
    content = request.content
    try:
        if content.is_eof():  # all of it is here, as nearly always for a single claim: a timeout costs 10 us
            return content.read_nowait()
        async with asyncio.timeout(READ_STALL_S_MAX):
            return await content.readany()
    except (TimeoutError, web.RequestPayloadError) as error:
        raise ProtocolError(Code.MALFORMED, "the body broke off, or is not in chunks as its headers say") from error


def _too_large(bytes_max: int) -> ProtocolError:
    return ProtocolError(Code.TOO_LARGE, f"the body of this request has at most {bytes_max} bytes", bytes_max=bytes_max)
