"""Pinging: whether the other end of a link is still there, and how long a word to it and back takes.

TCP notices a peer that lost its power only when something is sent, and then after many minutes. So there is a ping at
an interval, and a link whose ping stays unanswered is dead (RFC 6455, section 5.5.2), unless it is this node that does
not read.
"""

import asyncio
from collections.abc import Callable

from node.links.wire import Wire


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
