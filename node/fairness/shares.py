"""Shares of a core: how much work of one kind each address may cause, and all strangers together.

While strangers have used up what they have together, an address may use only its part of it (`node.fairness.crowd`). So
addresses that cause little work are still served.
"""

from typing import Final

from node.fairness.crowd import Crowd, CrowdCounts, nobody
from protocol.records.quota import BURST_S, Quota

STRANGERS_SHARES: Final = 2.0
"""How many shares of one address all strangers have together."""


class Shares:
    """Counts work in seconds of a core, and says how long an address has to wait. `counts` are those of the crowd."""

    def __init__(self, share_max: float | None, burst_s: float = BURST_S, crowd: Crowd | None = None) -> None:
        """`share_max` is the share of a core for one address; None: no limit. An address may use at once what its share
        gives in `burst_s` seconds. `crowd` counts work of every kind; None: it is not counted with any other work.
        """
        self._of_address = Quota(share_max, burst_s=burst_s)
        is_exempt = nobody if crowd is None else crowd.is_exempt
        of_kind = Crowd(None if share_max is None else STRANGERS_SHARES * share_max, burst_s, is_exempt)
        self._crowds = [of_kind] if crowd is None else [of_kind, crowd]
        self.counts: CrowdCounts = self._crowds[-1].counts

    def spend(self, address: str, seconds: float, now_s: float) -> None:
        self._of_address.spend(address, seconds, now_s)
        for crowd in self._crowds:
            crowd.spend(address, seconds, now_s)

    def wait_s(self, address: str, now_s: float) -> float:
        """How many seconds this address has to wait before it may cause more; 0: it may now."""
        wait_s = self._of_address.wait_s(address, now_s)
        return max(wait_s, *(crowd.wait_s(address, now_s) for crowd in self._crowds))
