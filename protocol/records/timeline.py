"""A timeline: all records of one label in order, with their verdicts. It replays from the place of a late record on.

A late record changes no verdict before its place. Behind its place, mostly one or two verdicts change, and then the
label is in the same state as before: the same record is the tip, and the same keys were named. From there on every
verdict stays, so the replay ends. A hostile record can make it go on to the end, so it pauses after some records.

The result equals that of a `replay` of all records. Both judge by the same function.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from protocol.records.change import Change, Event, EventType, reverted
from protocol.records.named_keys import named_keys
from protocol.records.record import Record
from protocol.records.replay import State, Tip, Verdict, judge, keys_named_by
from protocol.steps import Steps

STEP_RECORDS: Final = 512
"""Records that are judged in one step: 1 ms."""

OrderKey = tuple[int, str]


class _Walk(msgspec.Struct):
    """A replay from one place on, beside the one before it.

    `begin`: the order key of the first record. `tip`: the tip so far. `tip_before`: the id of the tip that the replay
    before had at this place. `named`: the keys that were named first in this walk, and by which record. `differing`:
    the keys that only one of the two replays has named so far.
    """

    begin: OrderKey
    tip: Tip | None
    tip_before: str | None
    named: dict[str, OrderKey] = msgspec.field(default_factory=dict)
    differing: set[str] = msgspec.field(default_factory=set)

    @property
    def is_as_before(self) -> bool:
        """Whether the label is in the same state as before at this place, so that nothing behind it changes."""
        return (self.tip.id if self.tip else None) == self.tip_before and not self.differing


class Timeline:
    """The records of one label. `Record.canonical` is not kept, because it would take most of the memory."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._verdicts: list[Verdict | None] = []
        self._named: dict[str, OrderKey] = {}
        """Every key that was ever named, and the order key of the first accepted record that names it."""
        self._rivals = 0

    @classmethod
    def of(cls, judged: Iterable[tuple[Record, Verdict]]) -> Steps["Timeline"]:
        """The timeline of records whose verdicts are known, in their order."""
        timeline = cls()
        for number, (record, verdict) in enumerate(judged, 1):
            timeline.append(record, verdict)
            if number % STEP_RECORDS == 0:
                yield
        return timeline

    def __len__(self) -> int:
        return len(self._records)

    @property
    def newest(self) -> OrderKey:
        """The order key of the newest record; that of `EMPTY` if there is none."""
        return self._records[-1].order_key if self._records else (0, "")

    @property
    def state(self) -> State:
        """The state of the label after all its records."""
        place = self._last_accepted(len(self._records))
        tip = None if place is None else Tip.of(self._records[place])
        return State(tip, named_keys(self._named), self.newest, self._rivals > 0)

    def append(self, record: Record, verdict: Verdict) -> None:
        """Add a record that is newer than all others, with its verdict."""
        assert record.order_key > self.newest, "a late record is inserted"
        self._records.append(_without_body(record))
        self._verdicts.append(verdict)
        self._rivals += verdict is Verdict.RIVAL
        if verdict.is_accepted:
            for key in keys_named_by(record):
                self._named.setdefault(key, record.order_key)

    def insert(self, records: Sequence[Record]) -> Steps[Change]:
        """Add records that are not here yet, with any timestamps; returns what changes.

        The steps have to be done to the end. Until then the timeline is not complete.
        """
        head = self._last_accepted(len(self._records))
        before = None if head is None else self._records[head]
        ordered = sorted(records, key=_order_key)
        yield from self._place(ordered)
        verdicts: dict[str, Verdict] = {}
        done = 0
        for record in ordered:
            place = self._place_of(record)
            if place >= done:
                done = yield from self._replay_from(place, verdicts)
        change = Change(self.state, verdicts, self._events(before, verdicts))
        for record in ordered:
            self._records[self._place_of(record)] = _without_body(record)
        return change

    def follower_of(self, record: Record) -> Record | None:
        """The first record here that would follow this one, which is newer than the head, if it were inserted."""
        tip = Tip.of(record)
        for other in self._records[bisect_left(self._records, record.order_key, key=_order_key) :]:
            if judge(tip, other, self._named.__contains__).is_accepted:
                return other
        return None

    def _place(self, ordered: Sequence[Record]) -> Steps[None]:
        """Put records in their places, without verdicts."""
        for number, record in enumerate(ordered, 1):
            place = self._place_of(record)
            self._records.insert(place, record)
            self._verdicts.insert(place, None)
            if number % STEP_RECORDS == 0:
                yield

    def _place_of(self, record: Record) -> int:
        return bisect_left(self._records, record.order_key, key=_order_key)

    def _last_accepted(self, end: int) -> int | None:
        """The place of the last accepted record before this place."""
        for place in range(end - 1, -1, -1):
            verdict = self._verdicts[place]
            if verdict is not None and verdict.is_accepted:
                return place
        return None

    def _replay_from(self, begin: int, verdicts: dict[str, Verdict]) -> Steps[int]:
        """Judge the records from this place on, until nothing changes any more; returns the place after the last one.

        New and changed verdicts go to `verdicts`.
        """
        before = self._last_accepted(begin)
        tip = None if before is None else Tip.of(self._records[before])
        walk = _Walk(self._records[begin].order_key, tip, tip.id if tip else None)
        for place in range(begin, len(self._records)):
            self._judge(place, walk, verdicts)
            if walk.is_as_before:
                self._named |= walk.named
                return place + 1
            if (place - begin) % STEP_RECORDS == STEP_RECORDS - 1:
                yield
        for key in walk.differing - walk.named.keys():
            del self._named[key]
        self._named |= walk.named
        return len(self._records)

    def _judge(self, place: int, walk: _Walk, verdicts: dict[str, Verdict]) -> None:
        """Judge the record at this place, and note what it says about the walk."""
        record, before = self._records[place], self._verdicts[place]
        verdict = judge(walk.tip, record, lambda key: self._is_named(key, walk))
        if before is not None and before.is_accepted:
            walk.tip_before = record.id
        if verdict.is_accepted:
            walk.tip = Tip.of(record)
        if verdict is not before:
            verdicts[record.id] = self._verdicts[place] = verdict
            self._rivals += (verdict is Verdict.RIVAL) - (before is Verdict.RIVAL)
        self._name(record, walk, is_accepted=verdict.is_accepted)

    def _is_named(self, key: str, walk: _Walk) -> bool:
        """Whether this walk has named the key so far, or a record before the walk has."""
        return key in walk.named or self._named.get(key, walk.begin) < walk.begin

    def _name(self, record: Record, walk: _Walk, *, is_accepted: bool) -> None:
        """Note the keys that a record names, and whether both replays have named them by now."""
        order_key = record.order_key
        for key in keys_named_by(record):
            first_before = self._named.get(key)
            if is_accepted and not self._is_named(key, walk):
                walk.named[key] = order_key
            was_named = first_before is not None and first_before <= order_key
            if was_named is self._is_named(key, walk):
                walk.differing.discard(key)
            else:
                walk.differing.add(key)

    def _events(self, before: Record | None, verdicts: dict[str, Verdict]) -> list[Event]:
        """One event for each record that follows the old head. One reversal, if the old head is no longer accepted. No
        event, if the head stays.
        """
        begin = 0 if before is None else self._place_of(before) + 1
        if before is not None and not verdicts.get(before.id, Verdict.UPDATED).is_accepted:
            head = self._last_accepted(len(self._records))
            assert head is not None, "a founded label stays founded: only an older founder can replace its founder"
            return [reverted(self._records[head], before.id, verdicts[before.id])]
        return [
            Event(EventType.ACCEPTED, record)
            for record, verdict in zip(self._records[begin:], self._verdicts[begin:], strict=True)
            if verdict is not None and verdict.is_accepted
        ]


def _without_body(record: Record) -> Record:
    return msgspec.structs.replace(record, canonical=b"") if record.canonical else record


def _order_key(record: Record) -> OrderKey:
    return record.order_key
