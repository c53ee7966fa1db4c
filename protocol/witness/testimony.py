"""Testimony: what the witnesses of one domain have said of each record, gathered receipt by receipt.

Receipts of one witness form a chain by `prev`. A receipt is *sound* when its chain reaches back to a first receipt and
every `at` on the way is larger than the one before. Only an entry of a sound receipt counts as a time, and only if the
time lies after the `at` of the receipt before: with that receipt the witness said that it had shown all it saw until
then. So a witness cannot date a record back without a fork that everybody can see.

Votes and commits count wherever they stand, because the signature alone makes them. Then a proof needs no chains, and a
vote that was counted is never taken back.

Receipts may come in any order, also before the records that they name. What was counted only ever grows: more votes,
more commits, and times that only become smaller. So what a receipt adds is evidence too, and `Evidence.add` merges it.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

from protocol.witness.policy import Policy
from protocol.witness.receipt import Receipt, receipt_label

_NEVER_MS: Final = 0
"""The `at` before a first receipt."""


class Act(IntEnum):
    """What an honest witness does once in one place. Numbers on disk: a number never changes and is never reused."""

    RECEIPT = 0
    """Once on one `prev`."""
    VOTE = 1
    """Once in a slot and a round."""
    COMMIT = 2
    """Once in a slot and a round."""


Ballot = tuple[str, Act, int]
"""A witness, `VOTE` or `COMMIT`, and the round."""

Ballots = dict[int, dict[str, str]]
"""By round, the witnesses, each with the id of a receipt that says so."""


class Evidence(msgspec.Struct):
    """What the witnesses have said of one record.

    `times_ms`: the least time that counts, by witness. `votes` and `commits`: by round, the witnesses, each with the id
    of a receipt that says so (of several, the least). `named`: the witnesses that wrote down a time, of which none
    counts.
    """

    times_ms: dict[str, int] = msgspec.field(default_factory=dict)
    votes: Ballots = msgspec.field(default_factory=dict)
    commits: Ballots = msgspec.field(default_factory=dict)
    named: frozenset[str] = frozenset()

    def add(self, more: "Evidence") -> None:
        """Count what was said besides."""
        for witness, ms in more.times_ms.items():
            self.see(witness, ms)
        for (witness, act, number), receipt_id in more.ballots():
            self.cast((witness, act, number), receipt_id)
        for witness in more.named:
            self.name(witness)

    def with_more(self, more: "Evidence") -> "Evidence":
        """This and what was said besides. Both stay as they are."""
        both = Evidence()
        both.add(self)
        both.add(more)
        return both

    def see(self, witness: str, ms: int) -> bool:
        """Count a time; returns whether it is less than before."""
        if ms >= self.times_ms.get(witness, ms + 1):
            return False
        self.times_ms[witness] = ms
        if self.named:
            self.named -= {witness}
        return True

    def cast(self, ballot: Ballot, receipt_id: str) -> bool:
        """Count a vote or a commit that this receipt holds; returns whether the evidence is other than before."""
        witness, act, number = ballot
        said = (self.votes if act is Act.VOTE else self.commits).setdefault(number, {})
        if receipt_id >= said.get(witness, receipt_id + "~"):
            return False
        said[witness] = receipt_id
        return True

    def name(self, witness: str) -> bool:
        """Note that the witness wrote down a time that does not count; returns whether that is news."""
        if witness in self.times_ms or witness in self.named:
            return False
        self.named |= {witness}
        return True

    def ballots(self) -> Iterator[tuple[Ballot, str]]:
        """Every vote and commit, with the id of its receipt."""
        for act, ballots in ((Act.VOTE, self.votes), (Act.COMMIT, self.commits)):
            for number, said in ballots.items():
                for witness, receipt_id in said.items():
                    yield (witness, act, number), receipt_id

    def receipt_of(self, ballot: Ballot) -> str:
        """The id of the receipt with this vote or commit, which was cast."""
        witness, act, number = ballot
        return (self.votes if act is Act.VOTE else self.commits)[number][witness]

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

ForkPlace = tuple[str, str, str | None]
"""A witness, and where it did something twice: a label and a `prev`."""


class Fork(msgspec.Struct, frozen=True):
    """Evidence that a witness lied: two receipts, of which an honest witness signs one at most.

    Two receipts on one `prev`: those with the least ids. Or two votes or two commits in one slot and round, for the
    candidates with the least ids; then one receipt may hold both, and stands twice. `receipts` are sorted.
    """

    witness: str
    act: Act
    label: str
    prev: str | None
    round: int
    receipts: tuple[str, str]

    @property
    def place(self) -> ForkPlace:
        return (self.witness, self.label, self.prev)

    @property
    def rank(self) -> tuple[Act, int]:
        """Of several forks in one place, the one with the least rank is kept."""
        return (self.act, self.round)


class Link(msgspec.Struct, frozen=True):
    """A receipt in its chain: `prev` names the one before. `is_sound`: the chain reaches back to a first receipt."""

    witness: str
    prev: str | None
    at_ms: int
    is_sound: bool = False


class Heard(msgspec.Struct):
    """What a receipt adds.

    `said`: what is said now that was not said before, by record id. `links`: the receipt in its chain, and those after
    it that became sound, by receipt id.
    """

    said: dict[str, Evidence] = msgspec.field(default_factory=dict)
    links: dict[str, Link] = msgspec.field(default_factory=dict)

    def about(self, record_id: str) -> Evidence:
        """What is said now of this record, to be added to."""
        return self.said.setdefault(record_id, Evidence())


_Place = tuple[str, str | None]
"""A witness, and the `prev` of receipts."""


class Testimony:
    """All that the witnesses of one policy have said."""

    def __init__(self, policy: Policy) -> None:
        """`policy` names the witnesses; receipts of other keys count for nothing."""
        self.policy = policy
        self._evidence: dict[str, Evidence] = {}
        self._links: dict[str, Link] = {}
        self._after: dict[_Place, list[str]] = defaultdict(list)
        self._waiting: dict[_Place, list[Receipt]] = defaultdict(list)
        """The receipts that are not sound, by the place where they stand."""
        self._forked: set[str] = set()

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

    def fork_at(self, receipt: Receipt) -> Fork | None:
        """The evidence that the witness signed another receipt on the `prev` of this one; None if it did not."""
        siblings = self._after[receipt.witness, receipt.prev]
        if len(siblings) < 2:
            return None
        one, other = siblings[:2]
        return Fork(receipt.witness, Act.RECEIPT, receipt_label(receipt.witness), receipt.prev, 0, (one, other))

    def add(self, receipt: Receipt) -> Heard:
        """Count this receipt, and those after it that become sound by it."""
        heard = Heard()
        if receipt.id in self._links or receipt.witness not in self.policy.witnesses:
            return heard
        self._note_sibling(receipt)
        self._count_ballots(receipt, heard)
        self._settle(receipt, heard)
        for record_id, _ in receipt.entries():
            if self._about(record_id).name(receipt.witness):
                heard.about(record_id).name(receipt.witness)
        return heard

    def _note_sibling(self, receipt: Receipt) -> None:
        siblings = self._after[receipt.witness, receipt.prev]
        insort(siblings, receipt.id)
        if len(siblings) > 1:
            self._forked.add(receipt.witness)

    def _count_ballots(self, receipt: Receipt, heard: Heard) -> None:
        for act, ballots in ((Act.VOTE, receipt.all_votes()), (Act.COMMIT, receipt.all_commits())):
            for number, record_id in ballots:
                ballot = (receipt.witness, act, number)
                if self._about(record_id).cast(ballot, receipt.id):
                    heard.about(record_id).cast(ballot, receipt.id)

    def _settle(self, receipt: Receipt, heard: Heard) -> None:
        """Make this receipt sound if it is, and then all that waited for it."""
        looked_at = [receipt]
        while looked_at:
            each = looked_at.pop()
            before_ms = self._at_before(each)
            link = Link(each.witness, each.prev, each.at_ms, is_sound=before_ms is not None)
            self._links[each.id] = heard.links[each.id] = link
            if before_ms is None:
                self._waiting[each.witness, each.prev].append(each)
            else:
                self._count_times(each, before_ms, heard)
                looked_at += self._waiting.pop((each.witness, each.id), ())

    def _at_before(self, receipt: Receipt) -> int | None:
        """The `at` of the receipt before this one, in ms; None if this receipt is not sound, or not known to be."""
        if receipt.prev is None:
            return _NEVER_MS
        before = self._links.get(receipt.prev)
        if before is None or not before.is_sound or before.witness != receipt.witness:
            return None
        return before.at_ms if before.at_ms < receipt.at_ms else None

    def _count_times(self, receipt: Receipt, before_ms: int, heard: Heard) -> None:
        for record_id, ms in counting_times(receipt, before_ms):
            if self._about(record_id).see(receipt.witness, ms):
                heard.about(record_id).see(receipt.witness, ms)

    def _about(self, record_id: str) -> Evidence:
        return self._evidence.setdefault(record_id, Evidence())


def counting_times(receipt: Receipt, before_ms: int) -> list[tuple[str, int]]:
    """The entries of a sound receipt that count as times. `before_ms`: the `at` of the receipt before it, or 0."""
    return [(record_id, ms) for record_id, ms in receipt.entries() if before_ms < ms <= receipt.at_ms]
