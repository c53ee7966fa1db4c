"""A witnessed label that changes record by record: the state of `walk`, kept up to date.

The walk begins at the founding, and a label may be long. What arrives mostly touches its end: a new record after the
head, or receipts that name it. So the label keeps its chain, and a change goes on from the first slot that it touches.
A slot may have thousands of candidates. Time only becomes smaller and decisions only come, so each slot keeps its best
candidate, and a change looks at the records that it names and at no others. Records and receipts may come in any order;
the state is the one that `walk` gives for the same set.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from protocol.records.record import Record
from protocol.records.replay import Verdict
from protocol.witness.change import LabelChange
from protocol.witness.slot import Rivalry, Slot
from protocol.witness.testimony import Evidence, Fork, ForkPlace
from protocol.witness.walk import Certainty, Standing, Standings, certainty_of, judge, may_follow

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global.
_RIVAL: Final = Verdict.RIVAL
_FOUNDED: Final = Verdict.FOUNDED
_PENDING: Final = Verdict.PENDING
_IS_FINAL: Final = str(Certainty.FINAL)
_IS_ORDERED: Final = str(Certainty.ORDERED)
_IS_PENDING: Final = str(Verdict.PENDING)
_NOTHING: Final[Mapping[str, Evidence]] = MappingProxyType({})
_NO_RECORDS: Final[Mapping[str, Record]] = MappingProxyType({})


class _Held(msgspec.Struct, gc=False):
    """A record of the label, and what follows for it from all that is known.

    `place`: in the chain, from 0; None if the record is not on it. `verdict`: None until the record is judged.
    """

    record: Record
    standing: Standing
    place: int | None = None
    verdict: Verdict | None = None


_NO_SLOT: Final = Slot()


class WitnessedLabel(msgspec.Struct, gc=False, eq=False):
    """The records of one label and what follows from them. `chain`, `final` and `verdicts` are those of `Walk`.

    `standings`: under the policy of the domain. `evidence` gives what was said of a record id until now; call `apply`
    with the ids of which more was said. `others` are the records that are no candidates, by `prev`. `newest` is the
    order key of the newest record. `rivals`: how many records are rivals. `undecided`: how many candidates can still
    win: neither their slot nor one before it is decided for another.

    A node has many labels in memory, and most of them have one record. So a label has few containers, and no part of it
    refers to the label: the garbage collector, which stops the loop, has to look at its chain alone.
    """

    _standings: Standings
    _evidence: Callable[[str], Evidence]
    _held: dict[str, _Held] = msgspec.field(default_factory=dict)
    _slots: dict[str | None, Slot] = msgspec.field(default_factory=dict)
    _others: dict[str | None, dict[str, Record]] = msgspec.field(default_factory=dict)
    newest: tuple[int, str] = (0, "")
    chain: list[Record] = msgspec.field(default_factory=list)
    final: int = 0
    rivals: int = 0
    undecided: int = 0

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    @property
    def ids(self) -> Collection[str]:
        """The ids of the records."""
        return self._held.keys()

    @property
    def head(self) -> Record | None:
        return self.chain[-1] if self.chain else None

    @property
    def certainty(self) -> Certainty | None:
        """How sure the head is; None if there is no head."""
        return certainty_of(len(self.chain), self.final)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each record, by id."""
        return {record_id: self.verdict(record_id) for record_id in self._held}

    @property
    def doubly_decided(self) -> list[str | None]:
        """The slots of the chain, by `prev`, in which two records are decided: more than `faulty` witnesses lied."""
        return [prev for prev in self._slots if self.is_doubly_decided(prev) and self._place(prev) is not None]

    def is_doubly_decided(self, prev: str | None) -> bool:
        """Whether two records are decided in this slot."""
        return len(self._slot(prev).decided) > 1

    def ordered_ms(self, record_id: str) -> int | None:
        """When the record was ordered, in ms since the Unix epoch; None while it is unknown."""
        return self._held[record_id].standing.ordered_ms

    def is_decided(self, record_id: str) -> bool:
        return self._held[record_id].standing.is_decided

    def verdict(self, record_id: str) -> Verdict:
        verdict = self._held[record_id].verdict
        assert verdict is not None, "every record is judged when it comes"
        return verdict

    def place(self, record_id: str) -> int | None:
        """The place of a record in the chain, from 0; None if it is not on the chain."""
        held = self._held.get(record_id)
        return None if held is None else held.place

    def certainty_of(self, record_id: str) -> str | None:
        """How sure this held record is: `final` or `ordered` on the chain, `pending` while it may still win.

        None if it lost.
        """
        held = self._held.get(record_id)
        place = None if held is None else held.place
        if place is not None:
            return _IS_FINAL if place < self.final else _IS_ORDERED
        if self.undecided == len(self._held):  # all can win
            return _IS_PENDING
        return _IS_PENDING if self.winner_over(record_id) is None else None

    def record(self, record_id: str) -> Record:
        return self._held[record_id].record

    def undecided_foundings(self) -> int:
        """How many foundings there are, while none of them is decided."""
        return self._slot(None).undecided

    def slots_from(self, prev: str | None) -> Iterator[str | None]:
        """This slot, and every slot that the records in it lead to."""
        waiting = [prev]
        while waiting:
            place = waiting.pop()
            yield place
            waiting += [each.id for each in self._on(place)]

    def _on(self, prev: str | None) -> Iterator[Record]:
        """The records on this `prev`, candidates or not."""
        yield from self._slot(prev).candidates.values()
        yield from self._others.get(prev, _NO_RECORDS).values()

    def candidates(self, prev: str | None) -> Collection[Record]:
        """The records that may stand in this slot."""
        return self._slot(prev).candidates.values()

    def is_open(self, prev: str | None) -> bool:
        """Whether a record in this slot can still win: neither the slot nor one before it is decided for another."""
        return not self._slot(prev).decided and self._is_reachable(prev)

    def _is_reachable(self, prev: str | None) -> bool:
        """Whether the chain can still come to this slot: `prev` is a candidate of a slot that can be reached, and no
        other candidate is decided there.
        """
        if prev is None:
            return True
        if prev not in self._held:
            return False
        before = self._slot(self.record(prev).prev)
        return before.is_reachable and prev in before.candidates and (not before.decided or prev in before.decided)

    def all_contenders(self) -> Iterator[Record]:
        """Every candidate that can still win: `undecided` of them."""
        for slot in self._slots.values():
            if slot.undecided:
                yield from slot.candidates.values()

    def reopened(self, prev: str | None) -> Iterator[Record]:
        """The candidates that can win again if a second record was decided in this slot. Some of them always could."""
        if self.is_doubly_decided(prev):
            yield from self.contenders(it for each in self._slot(prev).decided for it in self.candidates(each))

    def contenders(self, candidates: Iterable[Record]) -> Iterator[Record]:
        """Those of these candidates, and of the candidates that they lead to, that can still win, each once.

        A chain may come in one batch, so that each of these candidates leads to the next.
        """
        walked: set[str] = set()
        waiting = list(candidates)
        while waiting:
            candidate = waiting.pop()
            if candidate.id in walked:
                continue
            walked.add(candidate.id)
            if self.is_open(candidate.prev):
                yield candidate
            waiting += self.candidates(candidate.id)

    def closed_slots(self, prev: str | None) -> Iterator[str | None]:
        """This slot, in which a record is decided, and every slot that the losers in it lead to."""
        yield prev
        for candidate in self.candidates(prev):
            if not self.is_decided(candidate.id):
                yield from self.slots_from(candidate.id)

    def _is_final(self, record_id: str) -> bool:
        place = self.place(record_id)
        return place is not None and place < self.final

    def winner_over(self, record_id: str) -> Record | None:
        """The record that is decided in the place of this held record, or of one before it; None while it may win."""
        at: str | None = record_id
        while at in self._held and not self._is_final(at):
            record = self.record(at)
            slot = self._slot(record.prev)
            if slot.decided and at not in slot.decided:
                return self.record(next(iter(slot.decided)))
            if slot.is_reachable:  # then nothing is decided against the records before this one
                return None
            at = record.prev
        return None

    def apply(self, records: Sequence[Record], said: Mapping[str, Evidence] = _NOTHING) -> LabelChange:
        """Take these records, and look again at those of which more was said. `said`: what is new, by record id."""
        if not said and len(records) == 1:
            if self._is_alone_at_end(records[0], is_new=True):
                return self._take_at_end(records[0])
        elif not records and len(said) == 1:
            (record_id,) = said
            held = self._held.get(record_id)
            if held is not None and self._is_alone_at_end(held.record, is_new=False):
                return self._hear_at_end(held)
        return self._apply_anywhere(records, said)

    def _is_alone_at_end(self, record: Record, *, is_new: bool) -> bool:
        """Whether no other record stands on its `prev`, no record stands on it, and the chain ends with it or just
        before it. Most records do, when they come and when witnesses say more of them.
        """
        others, prev = self._others, record.prev
        if len(self._held) == (not is_new):  # there is no other record, as in most labels
            return prev is None
        if record.id in self._slots or (others and (prev in others or record.id in others)):
            return False
        slot = self._slots.get(prev)
        if (is_new and record.id in self._held) or (slot is not None and len(slot.candidates) > (not is_new)):
            return False
        place = self._place(prev)
        return place is not None and place >= len(self.chain) - 1 and self._is_candidate(record)

    def _is_candidate(self, record: Record) -> bool:
        before = None if record.prev is None else self._held.get(record.prev)
        return record.prev is None or (before is not None and may_follow(record, before.record))

    def _take_at_end(self, record: Record) -> LabelChange:
        """What `_apply_anywhere` does, for a new record that is alone at the end: nothing else can change by it."""
        held = self._held[record.id] = _Held(record, self._standings.of(self._evidence(record.id)))
        slot = self._slots[record.prev] = Slot({record.id: record}, is_reachable=True)
        self.undecided += 1
        order_key = (record.timestamp, record.id)
        if order_key > self.newest:
            self.newest = order_key
        if held.standing.is_unknown:  # as most that clients bring
            held.verdict = _PENDING
            return LabelChange({record.id: _PENDING}, len(self.chain), (), (), (), (), (record,))
        return self._move_at_end(held, slot, (record,))

    def _hear_at_end(self, held: _Held) -> LabelChange:
        """The same after more was said of a record that is alone at the end."""
        standing = self._standings.of(self._evidence(held.record.id))
        if standing == held.standing:
            return LabelChange({}, len(self.chain), (), (), (), (), ())
        held.standing = standing
        return self._move_at_end(held, self._slots[held.record.prev], ())

    def _move_at_end(self, held: _Held, slot: Slot, candidates: tuple[Record, ...]) -> LabelChange:
        """The standing of this record, which is alone at the end, is new: it is ordered or decided."""
        record, standing, kept = held.record, held.standing, len(self.chain)
        one = (record,)
        decides = standing.is_decided and not slot.decided
        self.undecided -= decides
        slot.look_at(record.id, standing)
        verdicts = {}
        taken: tuple[Record, ...] = ()
        if held.place is None:
            held.place, taken = kept, one
            self.chain.append(record)
            held.verdict = verdicts[record.id] = _FOUNDED if record.prev is None else self._judge(held)
        is_finalised = standing.is_decided and self.final == held.place
        self.final += is_finalised
        decided = (record.prev,) if decides else ()
        return LabelChange(verdicts, kept, (), taken, one if is_finalised else (), decided, candidates)

    def _apply_anywhere(self, records: Sequence[Record], said: Mapping[str, Evidence]) -> LabelChange:
        """Take these records, whatever else the label holds."""
        news: dict[str, Record] = {}
        candidates: list[Record] = []
        for record in records:
            if record.id not in self._held:
                news[record.id] = record
                self._held[record.id] = _Held(record, self._standings.of(self._evidence(record.id)))
                self.newest = max(self.newest, record.order_key)
                candidates += self._candidates_by(record)
        again = [record_id for record_id in said if record_id in self._held and record_id not in news]
        moved = [record_id for record_id in again if self._stands_otherwise(record_id)]
        slots: dict[str | None, None] = {}
        for record in news.values():
            slots[record.prev] = slots[record.id] = None
        for record in (*map(self.record, moved), *candidates):
            slots[record.prev] = None
        change = self._walk_again(slots, [*news, *moved], candidates)
        if len(self._held) < 2:
            return change  # the common case: without rivals nobody contradicts themselves
        forks = self._find_forks(candidates, {each: said[each] for each in again})
        return msgspec.structs.replace(change, forks=forks) if forks else change

    def _stands_otherwise(self, record_id: str) -> bool:
        """Whether the standing of this record is other than before, after more was said of it."""
        held, standing = self._held[record_id], self._standings.of(self._evidence(record_id))
        if standing == held.standing:
            return False
        held.standing = standing
        return True

    def _slot(self, prev: str | None) -> Slot:
        return self._slots.get(prev, _NO_SLOT)

    def _candidates_by(self, record: Record) -> list[Record]:
        """The records that are candidates now that this one is here: itself, and those that waited for it."""
        candidates = []
        for each in (record, *self._others.pop(record.id, _NO_RECORDS).values()):
            if self._is_candidate(each):
                candidates.append(each)
            else:
                self._others.setdefault(each.prev, {})[each.id] = each
        return candidates

    def _find_forks(self, candidates: Sequence[Record], said: Mapping[str, Evidence]) -> tuple[Fork, ...]:
        """The contradictions that these new candidates, and what was said of others, bring or change."""
        slots = [self._slot(prev) for prev in {each.prev for each in candidates}]
        slots += [self._slot(self.record(each).prev) for each in said]
        if all(len(slot.candidates) < 2 for slot in slots):
            return ()
        looked_at: dict[str, Evidence] = {}
        for prev in {each.prev for each in candidates}:
            slot = self._slots[prev]
            if slot.rivalry is None and len(slot.candidates) > 1:
                slot.rivalry = Rivalry()
                looked_at |= {each: self._evidence(each) for each in slot.candidates}
        looked_at |= {each.id: self._evidence(each.id) for each in candidates}
        looked_at |= {each: news for each, news in said.items() if each not in looked_at}
        forks: dict[ForkPlace, Fork] = {}
        for record_id, evidence in looked_at.items():
            record = self.record(record_id)
            slot = self._slot(record.prev)
            if slot.rivalry is not None and record_id in slot.candidates:
                forks |= {fork.place: fork for fork in slot.rivalry.find_forks(record, evidence, self._evidence)}
        return tuple(forks.values())

    def _walk_again(
        self, slots: dict[str | None, None], ids: Sequence[str], candidates: Sequence[Record]
    ) -> LabelChange:
        """Walk on where something changed: in these slots, with the records of these ids and these new candidates."""
        looked_at = {record.id: record for record in candidates}
        for record in map(self.record, ids):
            if record.id in self._slot(record.prev).candidates:
                looked_at[record.id] = record
        decided = self._look_at(looked_at, candidates)
        return self._walk_from(slots, {*ids, *looked_at}, decided, candidates)

    def _look_at(self, looked_at: dict[str, Record], candidates: Sequence[Record]) -> dict[str | None, bool]:
        """Bring the slots of these candidates up to date; returns the slots in which a record was decided, and of each
        whether none was decided before.
        """
        new, decided = {each.id for each in candidates}, dict[str | None, bool]()
        for record in looked_at.values():
            slot = self._slots.get(record.prev)
            if slot is None:
                slot = self._slots[record.prev] = Slot()
            undecided, decided_before = slot.undecided, len(slot.decided)
            if record.id in new:
                slot.candidates[record.id] = record
            slot.look_at(record.id, self._held[record.id].standing)
            self.undecided += slot.undecided - undecided
            if len(slot.decided) > decided_before:
                decided.setdefault(record.prev, decided_before == 0)
            if record.id in new:
                self._reach([record.prev, record.id])
            if len(slot.decided) > decided_before:
                self._reach(slot.candidates if decided_before == 0 else [record.id])
        return decided

    def _reach(self, prevs: Iterable[str | None]) -> None:
        """Note of these slots, and of all that they lead to, whether they can be reached now."""
        waiting = list(prevs)
        while waiting:
            prev = waiting.pop()
            slot = self._slots.get(prev)
            if slot is not None and slot.is_reachable is not self._is_reachable(prev):
                undecided, slot.is_reachable = slot.undecided, not slot.is_reachable
                self.undecided += slot.undecided - undecided
                waiting += slot.candidates

    def _walk_from(
        self, slots: Iterable[str | None], ids: set[str], decided: dict[str | None, bool], candidates: Sequence[Record]
    ) -> LabelChange:
        """Walk on from the first of these slots that has another record now.

        `ids`: the records that were looked at. `decided`: the slots in which a record was decided. If it was the first,
        no record in them is pending any more.
        """
        final_before, kept = self.final, len(self.chain)
        for prev in slots:
            place = self._place(prev)
            if place is not None and place < kept and self._chosen_at(place) is not self.chain[place]:
                kept = place
        taken_back = tuple(self.chain[kept:])
        taken = self._rewrite(kept)
        self._count_final(min(kept, final_before))
        moved = {record.id for record in taken_back} ^ {record.id for record in taken}
        settled = [prev for prev, is_first in decided.items() if is_first]
        verdicts = self._judge_again([*settled, *moved], ids | moved)
        finalised = tuple(self.chain[final_before : self.final])
        return LabelChange(verdicts, kept, taken_back, taken, finalised, tuple(decided), tuple(candidates))

    def _place(self, prev: str | None) -> int | None:
        """The place in the chain that this slot fills; None if the chain does not lead to it."""
        if prev is None:
            return 0
        place = self.place(prev)
        return None if place is None else place + 1

    def _chosen_at(self, place: int) -> Record | None:
        """The record that the walk takes at this place, after the records before it."""
        slot = self._slot(self.chain[place - 1].id if place else None)
        best = slot.best_decided or slot.best
        return None if best is None else self.record(best[1])

    def _rewrite(self, kept: int) -> tuple[Record, ...]:
        """Walk on from this place; returns what comes after it now."""
        for record in self.chain[kept:]:
            self._held[record.id].place = None
        del self.chain[kept:]
        while (chosen := self._chosen_at(len(self.chain))) is not None:
            self._held[chosen.id].place = len(self.chain)
            self.chain.append(chosen)
        return tuple(self.chain[kept:])

    def _count_final(self, begin: int) -> None:
        """Count the decided records from this place on, up to which all are decided."""
        self.final = begin
        while self.final < len(self.chain) and self.is_decided(self.chain[self.final].id):
            self.final += 1

    def _judge_again(self, prevs: Iterable[str | None], ids: Iterable[str]) -> dict[str, Verdict]:
        """Judge the records on these `prev`s, and those with these ids; returns the verdicts that are new."""
        again = {record_id: self._held[record_id] for record_id in ids}
        for prev in prevs:
            for record in self._on(prev):
                again[record.id] = self._held[record.id]
        changed: dict[str, Verdict] = {}
        for record_id, held in again.items():
            before, verdict = held.verdict, self._judge(held)
            if verdict is not before:
                changed[record_id] = held.verdict = verdict
                self.rivals += (verdict is _RIVAL) - (before is _RIVAL)
        return changed

    def _judge(self, held: _Held) -> Verdict:
        prev = held.record.prev
        before = None if prev is None else self._held.get(prev)
        return judge(
            held.record,
            None if before is None or before.place is None else before.record,
            is_on_chain=held.place is not None,
            is_waiting=held.standing.ordered_ms is None and not self._slot(prev).decided,
        )
