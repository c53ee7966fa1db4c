"""Shares of a core: how much work each address may cause, and all strangers together.

While strangers have used up what they have together, an address may use only a tenth of its own share. So addresses
that cause little work are still served.
"""

from typing import Final

from protocol.records.quota import BURST_S, Quota

STRANGERS_SHARES: Final = 2.0
"""How many shares of one address all strangers have together."""

CROWD_SHARE: Final = 0.1
"""The part of its share that an address may use while strangers have used up theirs."""

_STRANGERS: Final = "strangers"


class Shares:
    """Counts work in seconds of a core, and says how long an address has to wait."""

    def __init__(self, share_max: float | None, burst_s: float = BURST_S) -> None:
        """`share_max` is the share of a core for one address; None: no limit. An address may use at once what its share
        gives in `burst_s` seconds.
        """
        self._of_address = Quota(share_max, burst_s=burst_s)
        self._in_a_crowd = Quota(None if share_max is None else CROWD_SHARE * share_max, burst_s=burst_s)
        self._of_strangers = Quota(None if share_max is None else STRANGERS_SHARES * share_max, burst_s=burst_s)

    def spend(self, address: str, seconds: float, now_s: float) -> None:
        self._of_address.spend(address, seconds, now_s)
        self._in_a_crowd.spend(address, seconds, now_s)
        self._of_strangers.spend(_STRANGERS, seconds, now_s)

    def wait_s(self, address: str, now_s: float) -> float:
        """How many seconds this address has to wait before it may cause more; 0: it may now."""
        wait_s = self._of_address.wait_s(address, now_s)
        if self._of_strangers.wait_s(_STRANGERS, now_s) > 0:
            wait_s = max(wait_s, self._in_a_crowd.wait_s(address, now_s))
        return wait_s
