"""Races: how long the records of a witnessed domain wait here until they are ordered, and until they are final.

A race begins when the node commits the first record of a slot, and ends when the slot is decided. Only what the node
waits for is measured: a record that arrives together with its decision, as in a catch-up, ran no race here.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from node.metrics import Histogram
from protocol.records.change import Event, EventType
from protocol.records.record import Record
from protocol.witness.domain import DomainChange, WitnessedDomain
from protocol.witness.voter import SlotKey

RACE_SECONDS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 300.0, 1_800.0)
"""Bounds of races: from one receipt (100 ms) over rounds (1 s, doubled up to 16 s) to witnesses that were down."""

FOLLOWED_MAX: Final = 10_000
"""Records of one domain that are followed at once. Any further one is not measured."""


class _Runner(msgspec.Struct):
    """A record in a race: when it was committed here, by the loop's clock, and whether it was ordered since."""

    arrived_s: float
    is_ordered: bool = False


class OpenRace(msgspec.Struct, frozen=True):
    """A slot that is not decided, its candidates, and for how many seconds it has been open here."""

    key: SlotKey
    candidates: tuple[str, ...]
    open_s: float


class Races:
    """The races of one domain. `ordered_s` and `final_s` are the seconds from arrival."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never go back."""
        self.ordered_s = Histogram(RACE_SECONDS)
        self.final_s = Histogram(RACE_SECONDS)
        self._clock = clock
        self._running: dict[SlotKey, dict[str, _Runner]] = {}
        self._followed = 0

    def begin(self, domain: WitnessedDomain) -> None:
        """Follow the races that the store holds. They began before, and count from now."""
        self._open(domain.contenders())

    def on_change(self, domain: WitnessedDomain, change: DomainChange) -> None:
        """Follow what a commit changed."""
        self._measure(change.events)
        for key in domain.closed_slots(change):
            self._followed -= len(self._running.pop(key, ()))
        self._open(domain.new_contenders(change))

    def oldest(self) -> OpenRace | None:
        """The race that has gone on for longest."""
        for key, runners in self._running.items():
            arrived_s = next(iter(runners.values())).arrived_s
            return OpenRace(key, tuple(runners), self._clock() - arrived_s)
        return None

    def _measure(self, events: Iterable[Event]) -> None:
        now_s = self._clock()
        for event in events:
            runner = self._running.get((event.record.label, event.record.prev), {}).get(event.record.id)
            if runner is None:
                continue
            if event.type is EventType.FINAL:
                self.final_s.observe(now_s - runner.arrived_s)
            elif not runner.is_ordered:
                runner.is_ordered = True
                self.ordered_s.observe(now_s - runner.arrived_s)

    def _open(self, contenders: Iterable[Record]) -> None:
        """Follow the records that can still win. Some of them are followed already."""
        now_s = self._clock()
        for record in contenders:
            if self._followed >= FOLLOWED_MAX:
                return
            runners = self._running.setdefault((record.label, record.prev), {})
            if record.id not in runners:
                runners[record.id] = _Runner(now_s)
                self._followed += 1
