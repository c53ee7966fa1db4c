"""A witnessed domain: its policy, what its witnesses said, and the state of every label, kept up to date.

Records of the domain come in any order: claims, receipts, and the policy, which may come last. `add` takes a few of
them and says what they change. A record touches its own label. A receipt touches the labels of the records that it
names, and no others.

A node holds a part of a large domain in memory. It asks which parts the next records need, brings those that are
missing, and lets the domain forget others: `resumed`, `needs`, `missing`, `learn`, `forget`. Code that adds all records
to an empty domain, and forgets nothing, does not need any of this. All records have to be in memory when the policy
comes, because it orders all of them.

Labels that begin with `@` have no slots. Of several policy records the one with the least id is shown. Of the receipts
of a witness the one with the largest `at` is shown.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

import msgspec

from protocol.records.change import Event, EventType
from protocol.records.record import POLICY_LABEL, Record
from protocol.records.replay import State, Verdict
from protocol.witness.chains import NAMED_BESIDE_MAX, NAMED_MAX, Chains
from protocol.witness.change import Contender, DomainChange, LabelChange
from protocol.witness.label import WitnessedLabel
from protocol.witness.policy import Policy, policy_of
from protocol.witness.recall import MERGED_AT_ONCE, Known, Overview, Wanted
from protocol.witness.receipt import Receipt, receipt_label, receipt_of
from protocol.witness.shown import Shown, keys_of
from protocol.witness.testimony import SILENCE, Act, Evidence, Fork, Forks, Testimony, add_said
from protocol.witness.walk import WITNESSED_REASONS, Standings, tip_of

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global.
_ACCEPTED: Final = EventType.ACCEPTED
_FINAL: Final = EventType.FINAL
_NOTHING_SAID: Final[Mapping[str, Evidence]] = MappingProxyType({})


class WitnessedDomain:
    """The records of one witnessed domain, and what follows from them.

    `policy` is None until the policy record is there. `undecided`: how many records can still win, and wait for a
    decision.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.policy: Policy | None = None
        self.policy_record: Record | None = None
        self.testimony: Testimony | None = None
        self.evidence: Callable[[str], Evidence] = _nothing_said
        """What the witnesses said of a record id until now."""
        self.undecided = 0
        self._forks = Forks()
        self._standings = Standings(None)
        self._labels: dict[str, WitnessedLabel] = {}
        self._label_of: dict[str, str | None] = {}
        """By record id. None: the record is not held, and what was said of it is here."""
        self._shown: dict[str, Shown] = defaultdict(Shown)
        self._double: dict[str, int] = {}
        self._parsed: dict[str, Receipt | None] = {}
        """The receipts among the records that were asked for last, so that none is read twice."""
        self._countable: set[str] | None = None
        """The receipts whose parts were asked for last. None: all parts are in memory."""
        self._early: dict[str, tuple[Record, Receipt | None]] = {}
        """The receipts that came before the policy, by id."""

    @classmethod
    def resumed(cls, name: str, overview: Overview) -> Self:
        """The domain as a store holds it, with none of its labels in memory."""
        domain = cls(name)
        if overview.policy is not None:
            domain.policy, domain.policy_record = policy_of(overview.policy), overview.policy
            assert domain.policy is not None, "the head of the label of the policy is the policy"
            forked = [fork.witness for fork in overview.forks if fork.act is Act.RECEIPT]
            domain._standings = Standings(domain.policy)
            testimony = Testimony(domain.policy, forked, overview.waiting)
            testimony.due = dict.fromkeys(overview.due)
            domain._hear(testimony)
            domain._label_of[overview.policy.id] = POLICY_LABEL
        domain.undecided = sum(overview.undecided.values())
        domain._double = dict(overview.doubly_decided)
        domain._forks = Forks(overview.forks)
        for label, state in overview.states.items():
            domain._shown[label] = Shown(state.tip, (0, ""), state.newest, state.contested)
        for witness, at_ms in overview.heard_ms.items():
            shown = domain._shown[receipt_label(witness)]
            assert shown.tip is not None, "a witness that was heard has a newest receipt"
            shown.rank = (at_ms, shown.tip.id)
        return domain

    def __contains__(self, record_id: object) -> bool:
        return isinstance(record_id, str) and self._label_of.get(record_id) is not None

    @property
    def labels(self) -> Collection[str]:
        """The labels in memory that have slots."""
        return [name for name, label in self._labels.items() if len(label)]

    def label(self, label: str) -> WitnessedLabel | None:
        """The records of this label, which is in memory; None if there are no records."""
        walked = self._labels.get(label)
        return walked if walked is not None and len(walked) else None

    def sizes(self, wanted: Wanted) -> tuple[dict[str, int], list[str]]:
        """How large these parts are, those of ids by the labels that have slots: how many records of each label are in
        memory, at least 1; and the ids of records without such a label.
        """
        labels, alone = dict.fromkeys(wanted.labels, 1), list[str]()
        for record_id in wanted.ids:
            name = self._label_of.get(record_id)
            if name is None or name[0] == "@":
                alone.append(record_id)
            else:
                labels[name] = 1
        for name in labels:
            walked = self._labels.get(name)
            if walked is not None and len(walked):
                labels[name] = len(walked)
        return labels, alone

    def needs(self, records: Iterable[Record]) -> Wanted:
        """The parts that have to be in memory when these records are added; without records, when `count_due` follows.

        Ask again when parts were brought: a receipt that becomes sound makes those that wait for it count.
        """
        wanted = Wanted()
        before, self._parsed = self._parsed, {}
        for record in records:
            wanted.ids[record.id] = None
            if record.label != POLICY_LABEL:
                wanted.labels[record.label] = None
            if record.label[0] == "@" and record.is_of_witnesses:
                self._parsed[record.id] = before[record.id] if record.id in before else receipt_of(record)
        if self.policy is None or self.testimony is None:
            return wanted  # no receipt counts yet
        receipts = [it for it in self._parsed.values() if it is not None and it.witness in self.policy.witnesses]
        needed = Chains(self.testimony, wanted, NAMED_BESIDE_MAX if wanted else NAMED_MAX)
        needed.add(receipts, () if wanted else self.testimony.due)
        self._countable = needed.countable
        return wanted

    @property
    def has_due(self) -> bool:
        """Whether receipts are sound that are not counted yet. Then ask for what they need, and call `count_due`."""
        return self.testimony is not None and bool(self.testimony.due)

    def count_due(self) -> DomainChange:
        """Count some of the receipts that are due, those whose parts were asked for."""
        change = DomainChange()
        if self.testimony is not None:
            heard = self.testimony.count_due(self._may_count)
            change.links, change.said = heard.links, heard.said
            change.ahead = {record_id for record_id in heard.said if self._label_of.get(record_id) is None}
            self._apply({}, heard.said, change)
        return change

    def _may_count(self, receipt: Receipt) -> bool:
        return self._countable is None or receipt.id in self._countable

    def missing(self, wanted: Wanted) -> Wanted:
        """Those of the wanted parts that are not in memory."""
        knows = (lambda _: True) if self.testimony is None else self.testimony.knows
        return Wanted(
            {label: None for label in wanted.labels if label not in self._labels and label not in self._shown},
            {record_id: None for record_id in wanted.ids if record_id not in self._label_of},
            {place: None for place in wanted.places if not knows(place)},
        )

    def learn(self, wanted: Wanted, known: Known) -> Iterator[None]:
        """Take these parts, which were missing, into memory. Stop now and then, so that others get a turn; but nothing
        may be added to the domain before the end.
        """
        if self.testimony is not None:
            ids = list(known.said)
            for begin in range(0, len(ids), MERGED_AT_ONCE):
                unknown = (each for each in ids[begin : begin + MERGED_AT_ONCE] if each not in self._label_of)
                self.testimony.recall({each: known.said[each] for each in unknown}, {})
                if begin + MERGED_AT_ONCE < len(ids):
                    yield
            self.testimony.recall({}, known.places)
        walked: dict[str, WitnessedLabel] = {}
        yield from known.walk(walked, self.policy, self.evidence)
        merging = self._merge(wanted, known, walked)
        try:
            for _ in merging:
                yield
        finally:
            for _ in merging:  # also if the caller stops: a label in memory has all of its ids there
                pass

    def _merge(self, wanted: Wanted, known: Known, walked: Mapping[str, WitnessedLabel]) -> Iterator[None]:
        """Take the labels that were walked, and all else that is known, into memory, some at a time."""
        self._labels |= walked
        merged = 0
        for name, records in known.labels.items():
            for begin in range(0, len(records), MERGED_AT_ONCE):
                some = records[begin : begin + MERGED_AT_ONCE]
                self._label_of |= dict.fromkeys((record.id for record in some), name)
                merged += len(some)
                if merged >= MERGED_AT_ONCE:
                    merged = 0
                    yield
        for name in wanted.labels:
            if name.startswith("@"):
                self._shown[name] = Shown(newest=known.newest.get(name, (0, "")))
            elif name not in self._labels:
                self._labels[name] = WitnessedLabel(self._standings, self.evidence)
        for record_id in wanted.ids:
            self._label_of.setdefault(record_id, known.held.get(record_id))

    def forget(self, unwanted: Wanted) -> None:
        """Let these parts go, of which everything is stored."""
        witnesses = () if self.policy is None else self.policy.witnesses
        gone = [record_id for record_id in unwanted.ids if not self._has_slots(record_id)]
        for name in unwanted.labels:
            label = self._labels.pop(name, None)
            if label is not None:
                gone += label.ids
            elif name != POLICY_LABEL and name not in map(receipt_label, witnesses):
                self._shown.pop(name, None)
        for record_id in gone:
            self._label_of.pop(record_id, None)
            self._early.pop(record_id, None)
        if self.testimony is not None:
            self.testimony.forget(gone, unwanted.places)

    def _has_slots(self, record_id: str) -> bool:
        label = self._label_of.get(record_id)
        return label is not None and not label.startswith("@")

    def head(self, label: str) -> Record | None:
        """The head of a label that has slots, and of the label of the policy; None if it has none."""
        if label == POLICY_LABEL:
            return self.policy_record
        walked = self._labels.get(label)
        return None if walked is None else walked.head

    def heard_ms(self, witness: str) -> int | None:
        """The `at` of the newest receipt of this witness, in ms; None if none is held."""
        shown = self._shown.get(receipt_label(witness))
        return None if shown is None or shown.tip is None else shown.rank[0]

    def forks(self) -> Collection[Fork]:
        """The evidence that witnesses lied, each pair of receipts of one witness once; see `Forks`."""
        return self._forks.pairs()

    @property
    def doubly_decided(self) -> int:
        """In how many slots two records are decided: then more than `faulty` witnesses lied."""
        return sum(self._double.values())

    def is_named(self, record_id: str) -> bool:
        """Whether a receipt of a witness names this record."""
        return self.evidence(record_id) is not SILENCE

    def certainty(self, record: Record) -> str | None:
        """How sure this held record is: `final` or `ordered` on the chain, `pending` while it may still win.

        None if it lost, and for records of labels without slots.
        """
        label = self._labels.get(record.label)
        if label is None:
            return None
        return label.certainty_of(record.id)

    def follow(self, change: DomainChange) -> DomainChange:
        """Say in the change which slots are over, and which candidates can win now.

        Slots are over that the change decided, and those that can no longer be reached because of it. The candidates
        are those that the change brought or made reachable.
        """
        open_now: list[Record] = []
        candidates: dict[str, list[Record]] = defaultdict(list)
        for record in change.candidates:
            label = self._labels[record.label]
            if len(label) > 1:
                candidates[record.label].append(record)
            elif label.undecided:  # as in most labels
                open_now.append(record)
        for name, records in candidates.items():
            open_now += self._labels[name].contenders(records)
        for key in dict.fromkeys(change.decided):
            label = self._labels[key[0]]
            if len(label) == 1:  # most labels: nothing else was closed or can win again
                change.closed.append(key)
            else:
                change.closed += ((key[0], prev) for prev in label.closed_slots(key[1]))
                open_now += label.reopened(key[1])
        evidence = self.evidence
        change.opened = [Contender(it, evidence(it.id)) for it in open_now]
        return change

    def add(self, records: Iterable[Record], change: DomainChange | None = None) -> DomainChange:
        """Take these records, in any order; repeats change nothing. What they do is added to `change`, which is new if
        none is given.
        """
        change = DomainChange() if change is None else change
        claims: dict[str, list[Record]] = {}
        said: dict[str, Evidence] = {}
        founded = False
        new = {record.id: record for record in records if record.id not in self}
        self._note_awaited(new.values(), change)
        for record in new.values():
            self._label_of[record.id] = record.label
            if record.label == POLICY_LABEL:
                founded |= self._add_policy(record, change)
            elif record.is_of_witnesses:
                receipt = self._parsed.pop(record.id) if record.id in self._parsed else receipt_of(record)
                self._add_receipt(record, receipt, said, change)
            else:
                claims.setdefault(record.label, []).append(msgspec.structs.replace(record, canonical=b""))
        if founded:
            self._begin(said, change)
        add_said(change.said, said)
        change.ahead |= {record_id for record_id in said if self._label_of.get(record_id) is None}
        self._apply(claims, {} if founded else said, change)
        return change

    def add_claim(self, record: Record, change: DomainChange) -> None:
        """The same as `add`, for one record of a label that has slots."""
        if self._label_of.get(record.id) is None:
            if self.is_named(record.id):
                self._note_awaited((record,), change)
            self._label_of[record.id] = record.label
            self._apply_to(record.label, (msgspec.structs.replace(record, canonical=b""),), _NOTHING_SAID, change)

    def _note_awaited(self, new: Iterable[Record], change: DomainChange) -> None:
        """Note which of these records were named before they come. Receipts among them are not counted yet: nothing has
        to be moved in a store for a record that comes with the receipts that name it.
        """
        for record in new:
            if self.is_named(record.id):
                change.awaited.add(record.id)
                change.ahead.discard(record.id)

    def _add_policy(self, record: Record, change: DomainChange) -> bool:
        """Take a record of the label of the policy; returns whether the domain has its policy by it."""
        shown = self._shown[POLICY_LABEL]
        shown.newest = max(shown.newest, record.order_key)
        policy = policy_of(record)
        if policy is None:
            change.verdicts[record.id] = Verdict.NOT_OWNER
        elif shown.tip is None or record.id < shown.tip.id:
            self._show_policy(shown, record, change)
        else:
            change.verdicts[record.id] = Verdict.RIVAL
        shown.contested |= change.verdicts[record.id] is Verdict.RIVAL
        change.states[POLICY_LABEL] = shown.state
        is_first = policy is not None and self.policy is None
        if is_first:
            self.policy = policy
        return is_first

    def _show_policy(self, shown: Shown, record: Record, change: DomainChange) -> None:
        before, shown.tip, self.policy_record = shown.tip, tip_of(record), record
        change.verdicts[record.id] = Verdict.FOUNDED
        if before is None:
            change.events.append(Event(EventType.ACCEPTED, record))
        else:
            shown.contested = True
            change.verdicts[before.id] = Verdict.RIVAL
            reason = "the same policy in a record with a smaller id"
            change.events.append(Event(EventType.REVERTED, record, previous=before.id, reason=reason))

    def _add_receipt(
        self, record: Record, receipt: Receipt | None, said: dict[str, Evidence], change: DomainChange
    ) -> None:
        """Take a record of a label of receipts, and add to `said` what it says.

        Before the policy is known, nobody can say whose receipts count.
        """
        shown = self._shown[record.label]
        shown.newest = max(shown.newest, record.order_key)
        if self.testimony is None or self.policy is None:
            self._early[record.id] = (record, receipt)
            change.verdicts[record.id] = Verdict.PENDING
        elif receipt is None or receipt.witness not in self.policy.witnesses:
            change.verdicts[record.id] = Verdict.NOT_OWNER
        else:
            heard = self.testimony.add(receipt, self._may_count)
            add_said(said, heard.said)
            change.links |= heard.links
            self._show_receipt(self.testimony, record, receipt, change)
        change.states[record.label] = shown.state

    def _show_receipt(self, testimony: Testimony, record: Record, receipt: Receipt, change: DomainChange) -> None:
        """Note what a receipt of a witness, which is counted, makes of its label."""
        shown = self._shown[record.label]
        fork = testimony.fork_at(receipt)
        if fork is not None:
            change.forks[fork.place] = fork
            self._forks.note(fork)
        change.verdicts[record.id] = Verdict.FOUNDED if receipt.prev is None else Verdict.UPDATED
        shown.contested = testimony.is_forked(receipt.witness)
        rank = (receipt.at_ms, receipt.id)
        if rank > shown.rank:
            shown.tip, shown.rank = tip_of(record), rank

    def _hear(self, testimony: Testimony) -> None:
        """The policy is known, so what its witnesses say counts from now on."""
        self.testimony, self.evidence = testimony, testimony.evidence

    def _begin(self, said: dict[str, Evidence], change: DomainChange) -> None:
        """The policy is known now: count what witnesses said before, and walk every label."""
        assert self.policy is not None, "called when the policy has come"
        self._hear(Testimony(self.policy))
        self._standings = Standings(self.policy)
        early, self._early = self._early, {}
        for record, receipt in early.values():
            self._add_receipt(record, receipt, said, change)
        for name, before in self._labels.items():
            label = self._labels[name] = WitnessedLabel(self._standings, self.evidence)
            if not len(before):  # its first record was looked for, and did not come
                continue
            moved = label.apply([before.record(each) for each in before.ids])
            news = {each: verdict for each, verdict in moved.verdicts.items() if before.verdict(each) is not verdict}
            self._note(name, label, msgspec.structs.replace(moved, verdicts=news), change)
        self.undecided = sum(label.undecided for label in self._labels.values())

    def _apply(self, claims: dict[str, list[Record]], said: Mapping[str, Evidence], change: DomainChange) -> None:
        """Walk the labels of these claims, and those of whose records more was said."""
        by_label: dict[str, dict[str, Evidence]] = {}
        for record_id, more in said.items():
            name = self._label_of.get(record_id)
            if name is None:
                continue
            if name in by_label:
                by_label[name][record_id] = more
            else:
                by_label[name] = {record_id: more}
        for name, records in claims.items():
            self._apply_to(name, records, by_label.pop(name, _NOTHING_SAID), change)
        for name, news in by_label.items():
            if name in self._labels:  # else a receipt names a record of a label with `@`
                self._apply_to(name, (), news, change)

    def _apply_to(
        self, name: str, claims: Sequence[Record], said: Mapping[str, Evidence], change: DomainChange
    ) -> None:
        label = self._labels.get(name)
        if label is None:
            label = self._labels[name] = WitnessedLabel(self._standings, self.evidence)
        undecided = label.undecided
        moved = label.apply(claims, said)
        self.undecided += label.undecided - undecided
        if moved:
            self._note(name, label, moved, change)

    def _note(self, name: str, label: WitnessedLabel, moved: LabelChange, change: DomainChange) -> None:
        """Add what happened to one label."""
        change.verdicts |= moved.verdicts
        for prev in moved.decided:
            change.decided.append((name, prev))
        if name in self._double or (len(label) > 1 and any(map(label.is_doubly_decided, moved.decided))):
            self._double[name] = len(label.doubly_decided)
        change.candidates += moved.candidates
        for fork in moved.forks:
            change.forks[fork.place] = fork
            self._forks.note(fork)
        if moved.taken or moved.taken_back or moved.finalised:
            _add_events(label, moved, change.events)
        change.states[name] = self._state(name, label)

    def _state(self, name: str, label: WitnessedLabel) -> State:
        tip = tip_of(label.chain[-1]) if label.chain else None
        final = label.chain[label.final - 1].id if label.final else None
        doubly_decided = self._double.get(name, 0)
        return State(tip, keys_of(tip), label.newest, label.rivals > 0, final, label.undecided, doubly_decided)


def _nothing_said(_: str) -> Evidence:
    """While the policy is not known, nobody is a witness."""
    return SILENCE


def _add_events(label: WitnessedLabel, moved: LabelChange, events: list[Event]) -> None:
    """Add an event for each step of the head, and one for each record that became final."""
    add = events.append
    if moved.taken_back:
        assert label.head is not None, "a label that has a head keeps one"
        previous = moved.taken_back[-1].id
        verdict = label.verdict(previous)
        words = WITNESSED_REASONS[verdict]
        reason = f"the witnesses saw or decided another record, and the head before is now {verdict}: {words}"
        events.append(Event(EventType.REVERTED, label.head, previous=previous, reason=reason))
    else:
        for record in moved.taken:
            add(Event(_ACCEPTED, record))
    for record in moved.finalised:
        add(Event(_FINAL, record))
