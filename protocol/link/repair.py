"""The repairs of one link: now and then the dialler looks whether anything was missed all the same.

It sends its list of domains, and the acceptor answers with its own. Where they differ, two reconciliations with some
time between them have to agree, for records that are on their way are no fault. If nothing was missed, the next look
comes after a long time; if something was, soon, and ever later while that goes on. The first one follows the catch-up
at once, and moves the cursors to where both are equal. Where the two have agreed already, it comes when what either was
about to commit as the link opened is there to be seen.

Times are spread by chance, so that the links of a node do not all look at once.
"""

from random import Random

from protocol.link.comparison import Comparison
from protocol.link.orders import Outbox
from protocol.link.reconciliation import Reconciliation
from protocol.link.terms import LinkLimits

_SPREAD = 0.25


class Repair:
    """When a dialler compares anew, and what it does about differences."""

    def __init__(
        self, comparison: Comparison, reconciliation: Reconciliation, limits: LinkLimits, random: Random, outbox: Outbox
    ) -> None:
        self._comparison = comparison
        self._reconciliation = reconciliation
        self._limits = limits
        self._random = random
        self._outbox = outbox
        self._delay_s = 0.0
        self._found_before = 0
        self._is_first = True
        self._has_differed = False
        self._has_compared = False
        self._list_at: float | None = None
        self._confirm_at: float | None = None
        self.is_list_due = False
        """Whether the acceptor has still to answer with its list."""

    @property
    def next_at(self) -> float | None:
        return self._list_at if self._confirm_at is None else self._confirm_at

    @property
    def is_under_way(self) -> bool:
        """Whether a comparison has begun, or is to be confirmed, or follows the catch-up at once."""
        return (
            not self._has_compared
            or self.is_list_due
            or self._confirm_at is not None
            or not self._reconciliation.is_idle
        )

    def hurry(self, now: float) -> None:
        """Compare at once, unless that is under way."""
        if not self.is_under_way:
            self._list_at = now
            self.on_time(now)

    def go_on(self, now: float, *, is_agreed: bool) -> None:
        """Nothing else is under way: set the time for what comes next, where it is not set. `is_agreed`: the catch-up
        has shown to both that they hold the same.
        """
        if self.is_list_due or not self._reconciliation.is_idle or self._confirm_at is not None:
            return
        if self._reconciliation.suspected:
            self._confirm_at = now + self._limits.settle_s
        elif self._list_at is None:
            self._list_at = now + self._next_delay_s(is_agreed) * self._random.uniform(1 - _SPREAD, 1 + _SPREAD)

    def on_list(self, differing: list[str]) -> None:
        """The acceptor's list has come, asked for or not; these domains differ."""
        if self.is_under_way and not self.is_list_due:
            return
        self.is_list_due = False
        self._has_compared = True
        self._has_differed = bool(differing)
        if differing:
            self._list_at = None  # the time of the next comparison follows from what this one finds
        for domain in differing:
            self._reconciliation.begin(domain, is_repair=True)

    def on_time(self, now: float) -> None:
        if self._confirm_at is not None:
            if now >= self._confirm_at:
                self._confirm()
        elif self._list_at is not None and now >= self._list_at:
            self._list_at = None
            self.is_list_due = True
            self._outbox.send(*self._comparison.list_pages())

    def _confirm(self) -> None:
        """What was on its way has arrived by now: reconcile once more what differed."""
        self._confirm_at = None
        for domain in self._reconciliation.suspected:
            self._reconciliation.begin(domain, is_repair=True)

    def _next_delay_s(self, is_agreed: bool) -> float:
        """None after a catch-up that left it open, long after both held the same, else from `settle_s` on doubling:
        what differed while records were on their way is to be seen as the same soon, and cursors are to move.
        """
        found, self._found_before = self._reconciliation.found - self._found_before, self._reconciliation.found
        if self._is_first:
            self._is_first = False
            self._has_compared = is_agreed
            return self._limits.settle_s if is_agreed else 0.0
        if not found and not self._has_differed:
            self._delay_s = 0.0
            return self._limits.repair_s
        self._delay_s = min(max(2 * self._delay_s, self._limits.settle_s), self._limits.repair_s)
        return self._delay_s
