"""Replay: the pure function from the history of a label to its state, which says who owns the label.

The state depends on the *set* of valid records and on nothing else. The same set gives the same state on every node, in
whatever order the records arrived. Replay judges the records one by one, from the oldest to the newest, and keeps the
*tip*, which is the last record that it accepted. The tip says whose record may follow: a record by the tip's signer, or
by the key that the tip's `newowner` offers the label to. Refused records stay stored, because a record that arrives
late with an earlier order key can change every verdict after it.

A new record that is newer than *all* stored records of the label, refused records included, is judged by the tip alone
(`State.extend`). Any other record needs a replay from its place on (`protocol.records.timeline`). `replay` judges a
whole label. The model is event sourcing.
Blockchains break ties by hash in the same way. `prev` is a signed compare-and-swap.
"""

from collections.abc import Callable, Iterable, Set
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from protocol.records.named_keys import with_keys
from protocol.records.record import Record


class Verdict(StrEnum):
    """What replay says of a record. The first four verdicts mean that the record is accepted and became the tip."""

    FOUNDED = "founded"
    UPDATED = "updated"
    OFFERED = "offered"
    TRANSFERRED = "transferred"

    PENDING = "pending"
    ORPHAN = "orphan"
    STALE = "stale"
    RIVAL = "rival"
    NOT_OWNER = "not_owner"

    __hash__ = str.__hash__  # the hash of an enum is written in Python, and each record needs several hashes

    @property
    def is_accepted(self) -> bool:
        return self in _ACCEPTED


_ACCEPTED = frozenset({Verdict.FOUNDED, Verdict.UPDATED, Verdict.OFFERED, Verdict.TRANSFERRED})

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Most records need these.
_FOUNDED: Final = Verdict.FOUNDED
_UPDATED: Final = Verdict.UPDATED

REASONS = {
    Verdict.FOUNDED: "the first record of the label, so its signer owns it",
    Verdict.UPDATED: "signed by the owner",
    Verdict.OFFERED: "signed by the owner, who offers the label to `newowner`",
    Verdict.TRANSFERRED: "signed by the key to which the record before it offers the label: this key is now the owner",
    Verdict.PENDING: "too few witnesses of the domain have seen the record, and nothing is decided in its place",
    Verdict.ORPHAN: "its `prev` names a record, but no record of this label comes before it here",
    Verdict.STALE: "signed by a key that may write here, but `prev` does not name the record before it",
    Verdict.RIVAL: "founds the label with another key, but the label was founded before",
    Verdict.NOT_OWNER: "signed neither by the owner nor by the key to which the label is offered",
}
"""The reason for each verdict, in words for people."""


class Tip(msgspec.Struct, frozen=True, gc=False):
    """The record accepted last, by which the next record is judged. The tip at the end of a replay is the *head*."""

    id: str
    timestamp: int
    signedby: str
    newowner: str | None

    @classmethod
    def of(cls, record: Record) -> "Tip":
        """The tip after a record that is accepted."""
        return cls(record.id, record.timestamp, record.signedby, record.newowner)

    @property
    def order_key(self) -> tuple[int, str]:
        return (self.timestamp, self.id)

    def names(self, key: str) -> bool:
        """Whether a record signed by this key may follow."""
        return key in (self.signedby, self.newowner)


class State(msgspec.Struct, frozen=True, gc=False):
    """The state of a label after a replay.

    `tip` is the head, None if no record was accepted; its signer is the owner. `named` holds every key that ever was
    the owner or was offered the label (see `named_keys`). It grows by at most two keys with each record, and
    `admission.NAMED_MAX` limits what clients can add. `newest` is the order key of the newest record, refused records
    included. A label is `contested` if it has a rival.

    In witnessed domains, `final` is the id of the last record that is final, `undecided` is the number of records that
    can still win and wait for a decision, and `doubly_decided` is the number of slots of the chain with two decided
    records.
    """

    tip: Tip | None = None
    named: Set[str] = frozenset()
    newest: tuple[int, str] = (0, "")
    contested: bool = False
    final: str | None = None
    undecided: int = 0
    doubly_decided: int = 0

    @property
    def owner(self) -> str | None:
        return self.tip.signedby if self.tip else None

    def is_extended_by(self, record: Record) -> bool:
        """Whether the record is newer than every record replayed so far, so that `extend` may take it."""
        return (record.timestamp, record.id) > self.newest

    def judge(self, record: Record) -> Verdict:
        """The verdict on the next record in order."""
        return judge(self.tip, record, self.named.__contains__)

    def extend(self, record: Record) -> tuple["State", Verdict]:
        """The state after one newer record, and the verdict on that record. O(1)."""
        newest = (record.timestamp, record.id)
        if self is EMPTY and record.prev is None:  # the first record of a label, as most are in a catch-up
            return State(Tip.of(record), _named_first(record.signedby, record.newowner), newest), _FOUNDED
        assert newest > self.newest, "a record from the past needs a replay of its label"
        verdict = judge(self.tip, record, self.named.__contains__)
        if not verdict.is_accepted:
            contested = self.contested or verdict is Verdict.RIVAL
            return State(self.tip, self.named, newest, contested), verdict
        return State(Tip.of(record), self._named_by(record), newest, self.contested), verdict

    def _named_by(self, record: Record) -> Set[str]:
        """The keys named up to this record. Most records name no new key, and then the set stays the same."""
        if not self.named:
            return _named_first(record.signedby, record.newowner)
        return with_keys(self.named, keys_named_by(record))


def judge(tip: Tip | None, record: Record, is_named: Callable[[str], bool]) -> Verdict:
    """The verdict on the record that comes next after this tip. `is_named`: whether a key was named before."""
    if tip is None:
        return _FOUNDED if record.prev is None else Verdict.ORPHAN
    if not tip.names(record.signedby):
        is_rival = record.prev is None and not is_named(record.signedby)
        return Verdict.RIVAL if is_rival else Verdict.NOT_OWNER
    if record.prev not in (None, tip.id):
        return Verdict.STALE
    return verdict_on_follower(tip, record)


def keys_named_by(record: Record) -> tuple[str, ...]:
    """The keys that may follow the record: its signer, and the key that it offers the label to."""
    return (record.signedby,) if record.newowner is None else (record.signedby, record.newowner)


@lru_cache(1_024)
def _named_first(signedby: str, newowner: str | None) -> frozenset[str]:
    """The keys named by the first record of a label, from its fields.

    Labels that one key founded share one set, which is most of the memory of a label's state, and a third of what the
    garbage collector has to look at.
    """
    return frozenset((signedby,) if newowner is None else (signedby, newowner))


def verdict_on_follower(tip: Tip, record: Record) -> Verdict:
    """The verdict on a record that is accepted after this tip."""
    if record.signedby != tip.signedby:
        return Verdict.TRANSFERRED
    return _UPDATED if record.newowner is None else Verdict.OFFERED


EMPTY = State()
"""The state of a label without records."""


class Judged(msgspec.Struct, frozen=True):
    """A record with its verdict, and the id of the tip by which it was judged (None: there was no tip)."""

    record: Record
    verdict: Verdict
    tip: str | None


class Replay(msgspec.Struct, frozen=True):
    """All records of a history with their verdicts, in order, and the state at the end."""

    state: State
    judged: list[Judged]

    def verdict(self, record: Record) -> Verdict:
        """The verdict on one record of the history.

        Raises:
            KeyError: the history does not contain the record.
        """
        return self.verdicts[record.id]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        return {judged.record.id: judged.verdict for judged in self.judged}

    @property
    def chain(self) -> list[Record]:
        """The accepted records, oldest first. Each is signed by a key that the record before it names."""
        return [judged.record for judged in self.judged if judged.verdict.is_accepted]


def replay(history: Iterable[Record]) -> Replay:
    """Judge the records of one label, in any order and with or without repeats."""
    records = sorted({record.id: record for record in history}.values(), key=lambda record: record.order_key)
    state, judged = EMPTY, []
    for record in records:
        tip = state.tip.id if state.tip else None
        state, verdict = state.extend(record)
        judged.append(Judged(record, verdict, tip))
    return Replay(state, judged)
