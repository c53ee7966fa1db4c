"""Request bodies: each is read up to a limit, and all together take at most the memory that the node has for them.

A body is cut off at its limit, whether it announced its length or comes in chunks. Unread bytes stay in the socket, so
TCP slows the sender down.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from protocol.errors import Code, ProtocolError

READ_STALL_S_MAX: Final = 30.0
"""How many seconds a sender may pause inside a body. A guess."""


class BodyBudget:
    """The memory for the bodies of all requests together. `held_bytes` is how much of it is in use."""

    def __init__(self, held_bytes_max: int) -> None:
        """`held_bytes_max`: bytes of all bodies that may be in memory at once."""
        self.held_bytes = 0
        self._held_bytes_max = held_bytes_max

    @asynccontextmanager
    async def read(self, request: web.BaseRequest, bytes_max: int) -> AsyncIterator[bytes]:
        """Read a body of at most `bytes_max`. It counts until the block ends.

        Raises:
            ProtocolError: `too_large`; `overloaded` if other bodies take all the memory; `malformed` if it breaks off.
        """
        _check_headers(request, bytes_max)
        pieces: list[bytes] = []
        size_bytes = 0
        try:
            while piece := await _read_piece(request):
                size_bytes += len(piece)
                self.held_bytes += len(piece)
                pieces.append(piece)
                self._check_room(size_bytes, bytes_max)
            yield b"".join(pieces)
        finally:
            self.held_bytes -= size_bytes

    def _check_room(self, size_bytes: int, bytes_max: int) -> None:
        if size_bytes > bytes_max:
            raise _too_large(bytes_max)
        if self.held_bytes > self._held_bytes_max:
            raise ProtocolError(Code.OVERLOADED, "too many requests are being read already", retry_after=1)


def _check_headers(request: web.BaseRequest, bytes_max: int) -> None:
    """Refuse a body that announces too much, or that is compressed: a few bytes could unpack to any number."""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise ProtocolError(Code.MALFORMED, "a body is sent as it is, without Content-Encoding")


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
