"""Sends prepared requests over several connections. The benchmarks of single requests share it.

A real HTTP client takes longer than the servers that it measures. So a connection writes bytes that are ready, counts
the bytes of the answer, and writes the next request.
"""

import asyncio
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit


class _Asker(asyncio.Protocol):
    """One connection: it asks, waits for the whole answer, and asks again, until `take` returns None."""

    def __init__(self, take: Callable[[], bytes | None], status: int, taken_s: list[float] | None = None) -> None:
        """`taken_s`: gets the seconds of each request; None: nobody wants to know."""
        self._taken_s = taken_s
        self._asked_s = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take
        self._expected = f"HTTP/1.1 {status}".encode()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        if not self._received.startswith(self._expected):
            self.done.set_exception(ConnectionError(f"not the answer expected: {bytes(self._received[:400])!r}"))
        elif len(self._received) >= end + 4 + _content_length(self._received):
            self._received.clear()
            if self._taken_s is not None:
                self._taken_s.append(time.perf_counter() - self._asked_s)
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))

    def _ask(self) -> None:
        assert self._transport is not None, "connected"
        request = self._take()
        if request is not None:
            self._asked_s = time.perf_counter()
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()


def _content_length(head: bytearray) -> int:
    start = head.index(b"Content-Length: ") + len(b"Content-Length: ")
    return int(head[start : head.index(b"\r", start)])


async def ask_all(
    url: str, take: Callable[[], bytes | None], connections: int, status: int, taken_s: list[float] | None = None
) -> float:
    """Send the requests that `take` returns, until it returns None. Returns the duration in seconds.

    `connections`: how many requests are under way at once. `status`: that of every answer. `taken_s`: gets the seconds
    of each request.

    Raises:
        ConnectionError: another status, or the server closed a connection.
    """
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or 80
    loop = asyncio.get_running_loop()
    begun_s = time.perf_counter()
    made = [loop.create_connection(lambda: _Asker(take, status, taken_s), host, port) for _ in range(connections)]
    await asyncio.gather(*(asker.done for _, asker in await asyncio.gather(*made)))
    return time.perf_counter() - begun_s
