"""Writing: the texts of one link on their way to the socket, in their order.

The writer wakes in the turn of the loop after something was put in, and hands over one text after another, each as
soon as the socket has taken the one before. It refuses nothing: who puts in bounds what waits, by the machine's window,
and by not reading from a peer that lets too much pile up.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from node.links.transport import Wire


class Writer:
    """`unsent_bytes` wait. `on_sent` is called with the size of each text that the socket has taken."""

    def __init__(self, wire: Wire, on_sent: Callable[[int], None]) -> None:
        self.unsent_bytes = 0
        self._wire = wire
        self._on_sent = on_sent
        self._texts: deque[str] = deque()
        self._has_texts = asyncio.Event()
        self._is_flushed = asyncio.Event()

    def put(self, text: str) -> None:
        self._texts.append(text)
        self.unsent_bytes += len(text)
        self._is_flushed.clear()
        self._has_texts.set()

    async def run(self) -> None:
        """Write for ever. Raises: WireEndedError."""
        while True:
            while self._texts:
                text = self._texts.popleft()
                await self._wire.send(text)
                self.unsent_bytes -= len(text)
                self._on_sent(len(text))
            self._is_flushed.set()
            self._has_texts.clear()
            await self._has_texts.wait()

    async def flushed(self, seconds_max: float) -> None:
        """Wait until the socket has taken everything, but not for longer than this."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._is_flushed.wait()
        except TimeoutError:
            pass


class Attention:
    """Whether this end listens: since when it waits for the wire, in seconds of the loop's clock; None: it does not."""

    def __init__(self) -> None:
        self.since_s: float | None = None

    def lasts(self, seconds: float) -> bool:
        """Whether nothing came for so long, though this end listened."""
        return self.since_s is not None and asyncio.get_running_loop().time() - self.since_s >= seconds


async def ping_forever(
    wire: Wire, interval_s: float, timeout_s: float, attention: Attention, on_round_trip: Callable[[float], None]
) -> None:
    """Measure round trips. Returns when one took longer than the timeout.

    Raises:
        WireEndedError: the connection is over.
    """
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                on_round_trip(await wire.ping())
        except TimeoutError:
            if attention.lasts(timeout_s):
                return
        await asyncio.sleep(interval_s)
