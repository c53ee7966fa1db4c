"""The repairs of one link: from time to time the dialler compares all domains, in case a record was missed.

`course` has the states of a repair. This module sets the times. If a comparison finds no difference, the next one comes
after a long time. If it finds a difference, the next one comes soon, and ever later while differences are found. All
times are spread at random, so that the links of a node do not compare in the same moment.
"""

from collections.abc import Sequence
from random import Random

from protocol.link.course import Course, DomainEvent, RepairAction, RepairEvent, RepairState
from protocol.link.listing import ListSender
from protocol.link.reconciliation import Reconciliation
from protocol.link.terms import LinkLimits

_SPREAD = 0.25
"""Times are up to this share shorter or longer than said: a guess."""

_WORKING = (RepairState.CATCHING_UP, RepairState.UNSURE, RepairState.RECONCILING, RepairState.CONFIRMING)
"""States that end once no pass, reconciliation, record to send or record to fetch is left."""


class Repair:
    """When a dialler compares again, and what it does about differences."""

    def __init__(
        self,
        lists: ListSender,
        reconciliation: Reconciliation,
        limits: LinkLimits,
        random: Random,
        course: Course,
    ) -> None:
        """`lists` sends our list. `reconciliation` knows what it has found. `random` spreads the times. `course` keeps
        the state, and is told which domains to reconcile.
        """
        self._lists = lists
        self._reconciliation = reconciliation
        self._limits = limits
        self._random = random
        self._course = course
        self._delay_s = 0.0
        """How long the last comparison that found differences was put off; 0: the last one found none."""
        self.next_at: float | None = None
        """When to call `on_time`; None: there is nothing to wait for."""

    def ask(self, now: float) -> None:
        """Compare now, unless a comparison is due or under way."""
        self._advance(RepairEvent.ASKED, now)

    def go_on(self, now: float) -> None:
        """No pass is due. Find out whether the reconciliations are over too."""
        if self._course.repair in _WORKING and self._reconciliation.is_idle:
            self._advance(RepairEvent.SUSPECTED if self._reconciliation.suspected else RepairEvent.ENDED, now)

    def on_list(self, differing: Sequence[str], now: float) -> None:
        """The acceptor's list has come, asked for or not; these domains differ."""
        self._advance(RepairEvent.LISTED_DIFFERENT if differing else RepairEvent.LISTED_SAME, now, differing)

    def on_time(self, now: float) -> None:
        if self.next_at is not None and now >= self.next_at:
            self._advance(RepairEvent.TIME, now)

    def _advance(self, event: RepairEvent, now: float, differing: Sequence[str] = ()) -> None:
        match self._course.on_repair(event):
            case RepairAction.NOTHING:
                pass
            case RepairAction.LIST:
                self.next_at = None
                self._lists.begin(now)
            case RepairAction.RECONCILE:
                self._reconcile(differing)
            case RepairAction.CONFIRM:
                self._reconcile(self._reconciliation.suspected)
            case RepairAction.WAIT:
                self.next_at = now + self._limits.settle_s
            case RepairAction.COMPARE_AT_ONCE:
                self.next_at = now + self._spread(0.0)
            case RepairAction.COMPARE_FIRST:
                self.next_at = now + self._spread(self._limits.settle_s)
            case RepairAction.COMPARE_SOON:
                self._delay_s = min(max(2 * self._delay_s, self._limits.settle_s), self._limits.repair_s)
                self.next_at = now + self._spread(self._delay_s)
            case RepairAction.COMPARE_LATE:
                self._delay_s = 0.0
                self.next_at = now + self._spread(self._limits.repair_s)

    def _reconcile(self, domains: Sequence[str]) -> None:
        self.next_at = None
        for domain in domains:
            self._course.report(domain, DomainEvent.REPAIR)

    def _spread(self, delay_s: float) -> float:
        return delay_s * self._random.uniform(1 - _SPREAD, 1 + _SPREAD)
