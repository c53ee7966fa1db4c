"""Testimony: what the witnesses of one domain have said of each record, gathered receipt by receipt.

Receipts of one witness form a chain by `prev`. A receipt is *sound* when its chain reaches back to a first receipt and
every `at` on the way is larger than the one before. Only an entry of a sound receipt counts as a time, and only if the
time lies after the `at` of the receipt before: with that receipt the witness said that it had shown all it saw until
then. So a witness cannot date a record back without a fork that everybody can see.

Votes and commits count wherever they stand, because the signature alone makes them. Then a proof needs no chains, and a
vote that was counted is never taken back.

Receipts may come in any order, also before the records that they name. What was counted only ever grows: more votes,
more commits, and times that only become smaller.
"""

from collections import defaultdict
from typing import Final

import msgspec

from protocol.witness.policy import Policy
from protocol.witness.receipt import Receipt

_NEVER_MS: Final = 0
"""The `at` before a first receipt."""


class Evidence(msgspec.Struct):
    """What the witnesses have said of one record.

    `times_ms`: the least time that counts, by witness. `votes` and `commits`: by round, the witnesses, each with the id
    of a receipt that says so (of several, the least).
    """

    times_ms: dict[str, int] = msgspec.field(default_factory=dict)
    votes: dict[int, dict[str, str]] = msgspec.field(default_factory=dict)
    commits: dict[int, dict[str, str]] = msgspec.field(default_factory=dict)

    def ordered_ms(self, policy: Policy) -> int | None:
        """The time by which at least one honest witness had seen the record; None while it is pending.

        With `faulty` liars, of the `faulty + 1` smallest times at least one is honest.
        """
        if len(self.times_ms) <= policy.faulty:
            return None
        return sorted(self.times_ms.values())[policy.faulty]

    def is_decided(self, policy: Policy) -> bool:
        """Whether a quorum of witnesses commits the record in one round."""
        return any(len(witnesses) >= policy.quorum for witnesses in self.commits.values())

    def deciding_round(self, policy: Policy) -> int | None:
        """The first round in which a quorum commits the record."""
        return min((each for each, witnesses in self.commits.items() if len(witnesses) >= policy.quorum), default=None)


_SILENCE: Final = Evidence()


class ReceiptFork(msgspec.Struct, frozen=True):
    """Two receipts of one witness on the same `prev`: evidence that the witness lied. The ids are sorted."""

    witness: str
    prev: str | None
    receipts: tuple[str, str]


class _Link(msgspec.Struct):
    """A receipt in its chain: `prev` names the one before. `is_sound`: the chain reaches back to a first receipt.

    `receipt` is None once its times are counted, because nothing of it is needed any more.
    """

    witness: str
    prev: str | None
    at_ms: int
    receipt: Receipt | None
    is_sound: bool = False


class Testimony:
    """All that the witnesses of one policy have said."""

    def __init__(self, policy: Policy) -> None:
        """`policy` names the witnesses; receipts of other keys count for nothing."""
        self.policy = policy
        self._evidence: dict[str, Evidence] = {}
        self._links: dict[str, _Link] = {}
        self._after: dict[tuple[str, str | None], list[str]] = defaultdict(list)
        self._forked: set[str] = set()
        self.forks: dict[tuple[str, str | None], ReceiptFork] = {}
        """The first fork seen at each place, by witness and `prev`."""

    def evidence(self, record_id: str) -> Evidence:
        """What was said of this record until now. Not to be changed."""
        return self._evidence.get(record_id, _SILENCE)

    def names(self, record_id: str) -> bool:
        """Whether a receipt names this record."""
        return record_id in self._evidence

    def is_forked(self, witness: str) -> bool:
        """Whether this witness was seen to sign two receipts on one `prev`."""
        return witness in self._forked

    def at_of(self, receipt_id: str) -> int | None:
        """The `at` of this receipt in ms, if it is sound and so is the whole chain before it; None otherwise."""
        link = self._links.get(receipt_id)
        return link.at_ms if link is not None and link.is_sound else None

    def said_by(self, witness: str) -> list[str]:
        """The ids of the records of which this witness has said anything."""
        return [
            record_id
            for record_id, said in self._evidence.items()
            if witness in said.times_ms
            or any(witness in ballots for each in (said.votes, said.commits) for ballots in each.values())
        ]

    def add(self, receipt: Receipt) -> frozenset[str]:
        """Count this receipt, and those after it that become sound by it.

        Returns the ids of the records of which more is known now.
        """
        if receipt.id in self._links or receipt.witness not in self.policy.witnesses:
            return frozenset()
        self._links[receipt.id] = _Link(receipt.witness, receipt.prev, receipt.at_ms, receipt)
        self._note_fork(receipt)
        touched = self._count_ballots(receipt)
        for record_id, _ in receipt.entries():
            self._about(record_id)
        return frozenset(touched | self._settle(receipt))

    def _note_fork(self, receipt: Receipt) -> None:
        place = (receipt.witness, receipt.prev)
        siblings = self._after[place]
        siblings.append(receipt.id)
        if len(siblings) > 1:
            one, other = sorted(siblings[:2])
            self.forks.setdefault(place, ReceiptFork(*place, (one, other)))
            self._forked.add(receipt.witness)

    def _count_ballots(self, receipt: Receipt) -> set[str]:
        touched = set()
        for number, record_id in receipt.all_votes():
            touched.add(_cast(self._about(record_id).votes, number, receipt, record_id))
        for number, record_id in receipt.all_commits():
            touched.add(_cast(self._about(record_id).commits, number, receipt, record_id))
        return touched

    def _settle(self, receipt: Receipt) -> set[str]:
        """Make this receipt sound if it is, and then all that waited for it."""
        touched: set[str] = set()
        waiting: list[Receipt | None] = [receipt]
        while waiting:
            receipt_or_none = waiting.pop()
            before_ms = None if receipt_or_none is None else self._at_before(receipt_or_none)
            if receipt_or_none is None or before_ms is None:
                continue
            touched |= self._count_times(receipt_or_none, before_ms)
            link = self._links[receipt_or_none.id]
            link.is_sound, link.receipt = True, None
            place = (receipt_or_none.witness, receipt_or_none.id)
            waiting += [self._links[each].receipt for each in self._after.get(place, ())]
        return touched

    def _at_before(self, receipt: Receipt) -> int | None:
        """The `at` of the receipt before this one, in ms; None if this receipt is not sound, or not known to be."""
        if receipt.prev is None:
            return _NEVER_MS
        before = self._links.get(receipt.prev)
        if before is None or not before.is_sound or before.witness != receipt.witness:
            return None
        return before.at_ms if before.at_ms < receipt.at_ms else None

    def _count_times(self, receipt: Receipt, before_ms: int) -> set[str]:
        touched = set()
        for record_id, ms in counting_times(receipt, before_ms):
            times_ms = self._about(record_id).times_ms
            if ms < times_ms.get(receipt.witness, ms + 1):
                times_ms[receipt.witness] = ms
                touched.add(record_id)
        return touched

    def _about(self, record_id: str) -> Evidence:
        return self._evidence.setdefault(record_id, Evidence())


def _cast(ballots: dict[int, dict[str, str]], number: int, receipt: Receipt, record_id: str) -> str:
    """Count a vote or a commit of this round for the record."""
    said = ballots.setdefault(number, {})
    said[receipt.witness] = min(receipt.id, said.get(receipt.witness, receipt.id))
    return record_id


def counting_times(receipt: Receipt, before_ms: int) -> list[tuple[str, int]]:
    """The entries of a sound receipt that count as times. `before_ms`: the `at` of the receipt before it, or 0."""
    return [(record_id, ms) for record_id, ms in receipt.entries() if before_ms < ms <= receipt.at_ms]
