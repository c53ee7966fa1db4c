"""Request bodies: read up to a limit, and never more of them at once than the node has room for.

A body is cut off at its limit whether it announced its length or comes in chunks; what is not read stays in the socket,
which pushes back on the sender.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from protocol.errors import Code, ProtocolError

READ_STALL_S_MAX: Final = 30.0
"""How long a sender may send nothing in the middle of a body. A guess."""


class Bodies:
    """The bodies that are in memory now, of all requests together. `held_bytes` is their size."""

    def __init__(self, held_bytes_max: int) -> None:
        self.held_bytes = 0
        self._held_bytes_max = held_bytes_max

    @asynccontextmanager
    async def read(self, request: web.BaseRequest, bytes_max: int) -> AsyncIterator[bytes]:
        """The body, counted until the block ends.

        Raises:
            ProtocolError: `too_large`; `overloaded` where other bodies take all the room; `malformed` where it stops.
        """
        _check_announced(request, bytes_max)
        pieces: list[bytes] = []
        size_bytes = 0
        try:
            while piece := await _next_piece(request):
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


def _check_announced(request: web.BaseRequest, bytes_max: int) -> None:
    """Refuse what the headers show. Nothing is ever unpacked: a few compressed bytes could become any number."""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise ProtocolError(Code.MALFORMED, "a body is sent as it is, without Content-Encoding")


async def _next_piece(request: web.BaseRequest) -> bytes:
    """The next bytes, empty at the end."""
    try:
        async with asyncio.timeout(READ_STALL_S_MAX):
            return await request.content.readany()
    except (TimeoutError, web.RequestPayloadError) as error:
        raise ProtocolError(Code.MALFORMED, "the body broke off, or is not in chunks as its headers say") from error


def _too_large(bytes_max: int) -> ProtocolError:
    return ProtocolError(Code.TOO_LARGE, f"the body of this request has at most {bytes_max} bytes", bytes_max=bytes_max)
