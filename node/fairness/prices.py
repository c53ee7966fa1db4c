"""Prices: how many TLS handshakes or links an address of strangers may begin in a second.

Each costs this node work before the other end has shown who it is. So a beginning has a price, and the price is due
also if the stranger closes the connection at once.
"""

import asyncio
from typing import Final

from node.fairness.crowd import Crowd
from node.fairness.places import Source
from node.fairness.shares import Shares

SHARE_MAX: Final = 0.1
"""The share of a core in which one address may begin things of one kind. All strangers have twice as much."""

BURST_S: Final = 1.0
"""An address may begin at once what its share gives in so many seconds."""


class Price:
    """The price of things of one kind, and who has begun how many."""

    def __init__(self, one_s: float, crowd: Crowd | None = None) -> None:
        """`one_s` is what it costs to begin one thing, in seconds of a core. `crowd` counts it with other work."""
        self._one_s = one_s
        self._shares = Shares(SHARE_MAX, BURST_S, crowd)

    def charge(self, source: Source) -> bool:
        """Count one more thing that this caller begins. False, and not counted, if the caller has to wait."""
        if source.payer is None:
            return True
        now_s = asyncio.get_running_loop().time()
        if self._shares.wait_s(source.payer, now_s) > 0:
            self._shares.counts.refused += 1
            return False
        self._shares.spend(source.payer, self._one_s, now_s)
        return True
