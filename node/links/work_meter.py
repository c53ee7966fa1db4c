"""A meter of the work that links cause in the event loop, in seconds.

A peer can cause much work with few bytes: a comparison of sets, or a list of 10,000 domains. Each link may use a share
of a core. A link that has used more is not read until its share has grown again, so its peer waits and nobody else. All
strangers together have a share too, because one stranger may have many addresses.
"""

from collections.abc import Callable
from typing import Final

from protocol.link.terms import LinkLimits
from protocol.records.quota import Quota

_STRANGERS: Final = "strangers"


class WorkMeter:
    """The meter of all links of a node. A source is a listed peer, or the address of strangers."""

    def __init__(self, limits: LinkLimits, clock: Callable[[], float]) -> None:
        """`limits` gives the shares. `clock` is in seconds and never steps back."""
        self._clock = clock
        self._of_listed = Quota(limits.work_share_of_listed)
        self._of_address = Quota(limits.work_share_of_address)
        self._of_strangers = Quota(limits.work_share_of_strangers)

    def spend(self, source: str, seconds: float, *, is_listed: bool) -> float:
        """Count work of a source; returns how many seconds its link may not be read."""
        now = self._clock()
        if is_listed:
            self._of_listed.spend(source, seconds, now)
            return self._of_listed.wait_s(source, now)
        self._of_address.spend(source, seconds, now)
        self._of_strangers.spend(_STRANGERS, seconds, now)
        return max(self._of_address.wait_s(source, now), self._of_strangers.wait_s(_STRANGERS, now))
