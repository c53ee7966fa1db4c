"""An honest witness keeps its promises, whatever happens to its machine.

The rules of witnesses (docs/protocol.md, section 10), one by one, are checked on every receipt of an honest witness
when its own node commits it. A witness acts only on what its own disk holds, and that only grows. So what the disk
holds when a receipt is committed includes everything that the receipt may rest on. Safety rests on these rules: a fault
in one of them shows here, long before chance makes two decided records of it.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from protocol.records.record import Record
from simulations.cast.council import Council
from simulations.judges.agreement import Slot
from simulations.judges.violation import OnViolation
from simulations.judges.witnessed_oracle import Receipt, read_receipt

ROUND_MS: Final = 1_000
ROUND_MS_MAX: Final = 16_000

COMMIT_MS_MAX: Final = 60_000
"""A receipt that was made longer before its commit is dated by a clock that jumped."""

SLACK_MS: Final = 200
"""A vote may be older than the receipt that tells of it by one interval of receipts, 100 ms."""


class _Desk(msgspec.Struct):
    """What is on the disk of a witness: votes by round and id, the slots, and the ids in each."""

    votes: dict[tuple[int, str], set[str]] = msgspec.field(default_factory=lambda: defaultdict(set))
    slots: dict[str, Slot] = msgspec.field(default_factory=dict)
    candidates: dict[Slot, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))

    def take(self, record: Record) -> None:
        receipt = read_receipt(record.canonical) if record.label.startswith("@seen/") else None
        if receipt is not None:
            for ballot in receipt.votes:
                self.votes[ballot].add(receipt.witness)
        elif not record.label.startswith("@") and record.id not in self.slots:
            slot = self.slots[record.id] = (record.label, record.prev)
            self.candidates[slot].append(record.id)

    def votes_in(self, slot: Slot) -> list[tuple[int, str, set[str]]]:
        """Each round and record of this slot, with the witnesses who voted so."""
        ids = set(self.candidates[slot])
        return [(number, each, keys) for (number, each), keys in self.votes.items() if each in ids]

    def latest(self, slot: Slot) -> dict[str, int]:
        """The latest round of each witness that voted in this slot."""
        found: dict[str, int] = {}
        for number, _, keys in self.votes_in(slot):
            found |= {key: max(number, found.get(key, 0)) for key in keys}
        return found


class _Said(msgspec.Struct):
    """What one honest witness said of one slot: ids by round, and when the receipt with the vote was made, by
    the loop's clock.
    """

    votes: dict[int, str] = msgspec.field(default_factory=dict)
    commits: dict[int, str] = msgspec.field(default_factory=dict)
    made_ms: dict[int, float] = msgspec.field(default_factory=dict)


class PromisesJudge:
    """Knows what every honest witness said, and what its own disk held when it said so."""

    def __init__(self, on_violation: OnViolation, council: Council) -> None:
        self._on_violation = on_violation
        self._council = council
        self._names = {council.keys[name].public: name for name in council.seats}
        self._desks: dict[str, _Desk] = {}
        self._after: dict[tuple[str, str | None], str] = {}
        self._met: dict[str, tuple[str, int]] = {}
        """Receipts of honest witnesses by id: whose, and their `at`."""
        self._said: dict[tuple[str, Slot], _Said] = defaultdict(_Said)
        self._checked: set[str] = set()

    def excuse(self, name: str) -> None:
        """Somebody else has the key of this witness now: it is not honest any more."""
        self._names.pop(self._council.keys[name].public, None)

    def on_start(self, name: str, there: Iterable[Record]) -> None:
        """A node starts with these records on its disk."""
        self._desks[name] = _Desk()
        for record in there:
            self._desks[name].take(record)

    def on_restore(self, name: str) -> None:
        """An operator restores a backup of this machine.

        The disk may lack records on which earlier receipts rest. The machine may still commit one of these receipts,
        because others hold it and send it back.
        """
        self._checked |= {record_id for record_id, (signer, _) in self._met.items() if signer == name}

    def on_receipt(self, record: Record) -> None:
        """A node holds this receipt of a witness, for the first time in the run."""
        name, receipt = self._names.get(record.signedby), read_receipt(record.canonical)
        if name is None or receipt is None:
            return
        self._met[record.id] = (name, receipt.at)
        other = self._after.setdefault((name, receipt.prev), record.id)
        if other != record.id:
            self._on_violation(name, f"the honest witness forks: {record.id[:8]} and {other[:8]} follow one receipt")

    def on_commit(self, name: str, records: Iterable[Record], now_ms: float, loop_ms: float) -> None:
        """The machine of this name commits these records. `now_ms`: by its own clock. `loop_ms`: by the loop's."""
        desk = self._desks[name]
        for record in records:
            desk.take(record)
        for record in records:
            if self._names.get(record.signedby) == name and record.label.startswith("@seen/"):
                receipt = read_receipt(record.canonical)
                if receipt is not None and record.id not in self._checked:
                    self._checked.add(record.id)
                    made_ms = loop_ms - (now_ms - receipt.at) if self._is_dated_well(receipt, now_ms) else None
                    self._check(name, desk, receipt, made_ms)

    def _is_dated_well(self, receipt: Receipt, now_ms: float) -> bool:
        """Whether `at` is when the receipt was made. `at` is later than that if the clock was put back."""
        _, before_ms = self._met.get(receipt.prev or "", ("", 0))
        return now_ms - COMMIT_MS_MAX <= receipt.at <= now_ms and receipt.at > before_ms + 1

    def _check(self, name: str, desk: _Desk, receipt: Receipt, made_ms: float | None) -> None:
        """`made_ms`: when the receipt was made, by the loop's clock; None: unknown."""
        for number, record_id in sorted(receipt.commits):
            self._check_commit(name, desk, number, record_id)
        for number, record_id in sorted(receipt.votes):
            self._check_vote(name, desk, made_ms, number, record_id)

    def _check_commit(self, name: str, desk: _Desk, number: int, record_id: str) -> None:
        said = self._said[name, desk.slots[record_id]]
        if number in said.commits:
            self._on_violation(name, f"the honest witness commits twice in round {number} of one slot")
        said.commits[number] = record_id
        voters = len(desk.votes[number, record_id])
        if voters < self._council.quorum:
            self._on_violation(name, f"{record_id[:8]} is committed in round {number} with {voters} votes")

    def _check_vote(self, name: str, desk: _Desk, made_ms: float | None, number: int, record_id: str) -> None:
        slot = desk.slots[record_id]
        said = self._said[name, slot]
        if number in said.votes:
            self._on_violation(name, f"the honest witness votes twice in round {number} of one slot")
        self._check_lock(name, desk, said, number, record_id)
        if number:
            self._check_entry(name, desk, number, slot)
        if made_ms is not None:
            self._check_patience(name, desk, said, made_ms, number, slot)
            said.made_ms[number] = made_ms
        said.votes[number] = record_id

    def _check_lock(self, name: str, desk: _Desk, said: _Said, number: int, record_id: str) -> None:
        """A witness votes for what it committed, until a quorum votes for something else in that round or later."""
        locked = max((each for each in said.commits if each < number), default=None)
        if locked is None or said.commits[locked] == record_id:
            return
        quorums = [each for (each, it), keys in desk.votes.items() if it == record_id and self._is_quorum(keys)]
        if max(quorums, default=-1) < locked:
            words = f"{record_id[:8]} gets a vote of round {number}, though another was committed in round {locked}"
            self._on_violation(name, f"the honest witness forgets what it committed: {words}")

    def _check_entry(self, name: str, desk: _Desk, number: int, slot: Slot) -> None:
        """A round ends after a quorum has voted in it or later. Before that, only enough others lead to a later one."""
        before = sum(each >= number - 1 for each in desk.latest(slot).values())
        key = self._council.keys[name].public
        if not self._is_enough(before) and not self._is_led(desk, slot, key, number):
            self._on_violation(name, f"round {number} is entered when {before} witnesses had voted in the one before")

    def _check_patience(self, name: str, desk: _Desk, said: _Said, made_ms: float, number: int, slot: Slot) -> None:
        """A witness that enters a round because the one before is over waits for the speaker for half of the round."""
        speaker, key = self._speaker(number), self._council.keys[name].public
        has_spoken = any(each == number and speaker in keys for each, _, keys in desk.votes_in(slot))
        begun_ms = said.made_ms.get(number - 1)
        if not number or begun_ms is None or speaker == key or has_spoken or self._is_led(desk, slot, key, number):
            return
        waited_ms = made_ms - begun_ms
        rest_ms = length_ms(number - 1)
        if number > 1:  # it may have voted in the middle of the round before
            rest_ms //= 2
        if waited_ms < rest_ms + length_ms(number) // 2 - SLACK_MS:
            self._on_violation(name, f"the vote of round {number} does not wait for the speaker: {waited_ms:.0f} ms")

    def _speaker(self, number: int) -> str:
        witnesses = self._council.policy.witnesses
        return witnesses[number % len(witnesses)]

    def _is_led(self, desk: _Desk, slot: Slot, key: str, number: int) -> bool:
        """Whether so many others are in this round or later that one of them is honest."""
        others = sum(each >= number for witness, each in desk.latest(slot).items() if witness != key)
        return others > self._council.faulty

    def _is_quorum(self, keys: Iterable[str]) -> bool:
        return self._is_enough(len(set(keys)))

    def _is_enough(self, count: int) -> bool:
        return count >= self._council.quorum


def length_ms(number: int) -> int:
    """The length of a round by the contract: 1 s, and twice as long each time, up to 16 s."""
    return min(ROUND_MS << min(number, 4), ROUND_MS_MAX)
