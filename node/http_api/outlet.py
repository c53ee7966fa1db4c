"""Outlets: a connection as whoever writes to it without being asked sees it.

aiohttp writes by coroutines, one connection at a time. A stream writes the same bytes to many in one turn of the loop,
so it writes to the transports themselves, in whole frames, and looks at how much each of them holds back.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class Connection(RequestHandler):
    """aiohttp's connection, which tells `on_change`, where it is set, that the other end reads again, or has gone."""

    on_change: Callable[[], None] | None = None

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_change is not None:
            self.on_change()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.on_change is not None:
            self.on_change()


class Outlet:
    """The writing side of the connection of a request; where that becomes a WebSocket, until it says goodbye."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse | None = None) -> None:
        """Raises: ConnectionResetError: the client has gone already."""
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        assert isinstance(request.protocol, Connection), "the server makes such connections only"
        self._connection = request.protocol
        self._transport: asyncio.Transport = request.transport
        self._request = request
        self._socket = socket

    @property
    def is_gone(self) -> bool:
        return self._transport.is_closing() or (self._socket is not None and self._socket.closed)

    @property
    def is_full(self) -> bool:
        """Whether the other end reads too slowly: more than 64 KiB are held back here, beside what the kernel holds."""
        return self._connection.writing_paused

    @property
    def held_bytes(self) -> int:
        """What the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> bool:
        """Write at once. Returns whether there is room for more."""
        if self.is_gone:
            return False
        self._transport.write(data)
        return not self.is_full

    async def emptied(self, wait_s: float) -> None:
        """Wait until the kernel has taken everything, or so long, or until the other end has gone."""
        self._transport.set_write_buffer_limits(0)
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(wait_s):
                await self._request.writer.drain()

    def abort(self) -> None:
        """Close it, and forget what it holds back."""
        self._transport.abort()

    @contextmanager
    def telling(self, on_change: Callable[[], None]) -> Iterator[None]:
        """Inside, this is called when the other end reads again, or has gone. What is held back after it is forgotten,
        and the connection with it.
        """
        self._connection.on_change = on_change
        try:
            yield
        finally:
            self._connection.on_change = None
            if self.held_bytes:
                self.abort()
