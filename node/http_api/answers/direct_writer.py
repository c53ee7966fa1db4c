"""Direct writes to a connection, for event streams.

aiohttp writes through coroutines, one connection at a time. A stream sends the same bytes to many connections in one
turn of the loop. So it writes whole frames to the transports themselves, and watches how many bytes each transport
holds back.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class WatchedConnection(RequestHandler):
    """aiohttp's connection. It calls `on_change`, if set, when the client reads again and when the client has gone."""

    on_change: Callable[[], None] | None = None

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_change is not None:
            self.on_change()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.on_change is not None:
            self.on_change()


class DirectWriter:
    """Writes to the connection of one request without waiting."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse | None = None) -> None:
        """`socket` is the WebSocket that the connection becomes, None if it stays HTTP.

        Raises:
            ConnectionResetError: the client has gone already.
        """
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        assert isinstance(request.protocol, WatchedConnection), "the server makes such connections only"
        self._connection = request.protocol
        self._transport: asyncio.Transport = request.transport
        self._request = request
        self._socket = socket

    @property
    def is_gone(self) -> bool:
        """Whether the connection has closed or said goodbye."""
        return self._transport.is_closing() or (self._socket is not None and self._socket.closed)

    @property
    def is_full(self) -> bool:
        """Whether the client reads too slowly: the transport holds more than 64 KiB, beside what the kernel holds."""
        return self._connection.writing_paused

    @property
    def held_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> bool:
        """Write at once. Returns whether there is room for more."""
        if self.is_gone:
            return False
        self._transport.write(data)
        return not self.is_full

    async def flush(self, wait_s: float) -> None:
        """Wait until the kernel has taken everything or the client has gone, for at most `wait_s` seconds."""
        self._transport.set_write_buffer_limits(0)
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(wait_s):
                await self._request.writer.drain()

    def abort(self) -> None:
        """Close the connection and drop the bytes that it holds back."""
        self._transport.abort()

    @contextmanager
    def notify(self, on_change: Callable[[], None]) -> Iterator[None]:
        """Inside the block, `on_change` is called when the client reads again and when it has gone. If bytes are still
        held back at the end of the block, they are dropped with the connection.
        """
        self._connection.on_change = on_change
        try:
            yield
        finally:
            self._connection.on_change = None
            if self.held_bytes:
                self.abort()
