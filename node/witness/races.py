"""Races: how long the records of a witnessed domain wait here until they are ordered, and until they are final.

A race begins when the node commits the first record of a slot, and ends when the slot is decided. Only what the node
waits for is measured: a record that arrives together with its decision, as in a catch-up, ran no race here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final

import msgspec

from node.metrics import Histogram
from protocol.records.change import Event, EventType
from protocol.witness.change import Contender, DomainChange
from protocol.witness.testimony import Evidence, Merges
from protocol.witness.voter import SlotKey

RACE_SECONDS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 300.0, 1_800.0)
"""Bounds of races: from one receipt (100 ms) over rounds (1 s, doubled up to 16 s) to witnesses that were down."""

FOLLOWED_MAX: Final = 10_000
"""Records of one domain that are followed at once. Any further one is not measured."""


_FINAL: Final = EventType.FINAL
"""Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global."""


class _Runner(msgspec.Struct, gc=False):
    """A record in a race: when it was committed here, by the loop's clock, whether it was ordered since, and what
    witnesses have said of it.
    """

    arrived_s: float
    said: Evidence
    is_ordered: bool = False


class OpenRace(msgspec.Struct, frozen=True):
    """A slot that is not decided, its candidates, and for how many seconds it has been open here.

    `latest`: the last round in which each witness voted or committed. A witness that said nothing is absent.
    """

    key: SlotKey
    candidates: tuple[str, ...]
    latest: dict[str, int]
    open_s: float


class Races:
    """The races of one domain. `ordered_s` and `final_s` are the seconds from arrival."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never go back."""
        self.ordered_s = Histogram(RACE_SECONDS)
        self.final_s = Histogram(RACE_SECONDS)
        self._clock = clock
        self._running: dict[SlotKey, list[str]] = {}
        self._runners: dict[str, _Runner] = {}

    def begin(self, contenders: Iterable[Contender]) -> None:
        """Follow the races that the store holds. They began before, and count from now."""
        self._open(contenders)

    def on_change(self, change: DomainChange) -> None:
        """Follow what a commit changed."""
        self._measure(change.events)
        for key in change.closed:
            for record_id in self._running.pop(key, ()):
                del self._runners[record_id]
        merges = Merges()
        for record_id, more in change.said.items():
            runner = self._runners.get(record_id)
            if runner is not None:
                runner.said = merges.merged(runner.said, more)
        self._open(change.opened)

    def oldest(self) -> OpenRace | None:
        """The race that has gone on for longest."""
        for key, ids in self._running.items():
            runners = [self._runners[each] for each in ids]
            latest: dict[str, int] = {}
            for (witness, _, number), _ in chain.from_iterable(runner.said.ballots() for runner in runners):
                latest[witness] = max(number, latest.get(witness, number))
            return OpenRace(key, tuple(ids), latest, self._clock() - runners[0].arrived_s)
        return None

    def _measure(self, events: Iterable[Event]) -> None:
        now_s, runners = self._clock(), self._runners
        final, ordered = defaultdict[float, int](int), defaultdict[float, int](int)  # by arrival, which most share
        for event in events:
            runner = runners.get(event.record.id)
            if runner is None:
                continue
            if event.type is _FINAL:
                final[runner.arrived_s] += 1
            elif not runner.is_ordered:
                runner.is_ordered = True
                ordered[runner.arrived_s] += 1
        for arrived_s, count in final.items():
            self.final_s.observe(now_s - arrived_s, count)
        for arrived_s, count in ordered.items():
            self.ordered_s.observe(now_s - arrived_s, count)

    def _open(self, contenders: Iterable[Contender]) -> None:
        """Follow the records that can still win. Some of them are followed already."""
        now_s = self._clock()
        for each in contenders:
            if len(self._runners) >= FOLLOWED_MAX:
                return
            record = each.record
            if record.id not in self._runners:
                self._runners[record.id] = _Runner(now_s, each.evidence)
                self._running.setdefault((record.label, record.prev), []).append(record.id)
