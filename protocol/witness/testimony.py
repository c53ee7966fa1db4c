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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import msgspec

from protocol.witness.policy import Policy
from protocol.witness.receipt import Receipt, receipt_label

_NOBODY: Final[Mapping[str, int]] = MappingProxyType({})

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


_VOTE: Final = Act.VOTE
_COMMIT: Final = Act.COMMIT
"""In Python 3.11 a member of an enum is looked up through a descriptor, which costs more than the count of a vote."""


Ballot = tuple[str, Act, int]
"""A witness, `VOTE` or `COMMIT`, and the round."""

Ballots = dict[int, dict[str, str]]
"""By round, the witnesses, each with the id of a receipt that says so."""


class Evidence(msgspec.Struct, gc=False):
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
        _add_ballots(self.votes, more.votes)
        _add_ballots(self.commits, more.commits)
        for witness in more.named:
            self.name(witness)

    def copy(self) -> "Evidence":
        """The same, which stays as it is when more is said."""
        if self is SILENCE:
            return Evidence()
        votes, commits = ({number: dict(said) for number, said in it.items()} for it in (self.votes, self.commits))
        return Evidence(dict(self.times_ms), votes, commits, self.named)

    def with_more(self, more: "Evidence") -> "Evidence":
        """This and what was said besides. Both stay as they are."""
        both = self.copy()
        both.add(more)
        return both

    def see(self, witness: str, ms: int) -> bool:
        """Count a time; returns whether it is less than before."""
        before_ms = self.times_ms.get(witness)
        if before_ms is not None and ms >= before_ms:
            return False
        self.times_ms[witness] = ms
        if self.named:
            self.named -= {witness}
        return True

    def cast(self, ballot: Ballot, receipt_id: str) -> bool:
        """Count a vote or a commit that this receipt holds; returns whether the evidence is other than before."""
        witness, act, number = ballot
        said = self._cast_by(act).setdefault(number, {})
        before = said.get(witness)
        if before is not None and receipt_id >= before:
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
        for act, ballots in ((_VOTE, self.votes), (_COMMIT, self.commits)):
            for number, said in ballots.items():
                for witness, receipt_id in said.items():
                    yield (witness, act, number), receipt_id

    def receipt_of(self, ballot: Ballot) -> str:
        """The id of the receipt with this vote or commit, which was cast."""
        witness, act, number = ballot
        return self._cast_by(act)[number][witness]

    def _cast_by(self, act: Act) -> Ballots:
        return self.votes if act is _VOTE else self.commits

    def ordered_ms(self, policy: Policy) -> int | None:
        """The time by which at least one honest witness had seen the record; None while it is pending.

        With `faulty` liars, of the `faulty + 1` smallest times at least one is honest.
        """
        if len(self.times_ms) <= policy.faulty:
            return None
        times_ms = self.times_ms.values()
        return sorted(times_ms)[policy.faulty] if policy.faulty else min(times_ms)

    def is_decided(self, policy: Policy) -> bool:
        """Whether a quorum of witnesses commits the record in one round."""
        if not self.commits:
            return False
        quorum = policy.quorum
        return any(len(witnesses) >= quorum for witnesses in self.commits.values())

    def deciding_round(self, policy: Policy) -> int | None:
        """The first round in which a quorum commits the record."""
        return min((each for each, witnesses in self.commits.items() if len(witnesses) >= policy.quorum), default=None)


def _add_ballots(ballots: Ballots, more: Ballots) -> None:
    """Count more ballots. Of two receipts with the same one, the least id stays."""
    for number, said in more.items():
        before = ballots.get(number)
        if before is None:
            ballots[number] = dict(said)
            continue
        for witness, receipt_id in said.items():
            before[witness] = min(receipt_id, before.get(witness, receipt_id))


SILENCE: Final = Evidence()
"""Nothing was said. Not to be changed."""

ForkPlace = tuple[str, str, str | None]
"""A witness, and where it did something twice: a label and a `prev`."""


class Fork(msgspec.Struct, frozen=True, gc=False):
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


class Link(msgspec.Struct, frozen=True, gc=False):
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
        evidence = self.said.get(record_id)
        if evidence is None:
            evidence = self.said[record_id] = Evidence()
        return evidence


SIBLINGS_KEPT: Final = 2
"""Receipts that are kept of one place: the least two ids are the evidence of a fork."""

Place = tuple[str, str | None]
"""A place in the chains of receipts: a witness, and the `prev` of the receipts that stand there."""


class Spot(msgspec.Struct):
    """What is known of one place.

    `before` is the receipt that `prev` names, None if it is not held or is not of this witness. `receipts` are the
    least ids of those that stand here, `SIBLINGS_KEPT` at most. `waiting` are those that are not sound.
    """

    before: Link | None = None
    receipts: list[str] = msgspec.field(default_factory=list)
    waiting: list[Receipt] = msgspec.field(default_factory=list)


class Testimony:
    """All that the witnesses of one policy have said."""

    def __init__(self, policy: Policy, forked: Iterable[str] = (), waiting: Mapping[str, int] = _NOBODY) -> None:
        """`policy` names the witnesses; receipts of other keys count for nothing. `forked` and `waiting`: what is known
        of receipts that are not here.
        """
        self.policy = policy
        self.waiting = Counter(waiting)
        """How many receipts of each witness are not sound."""
        self._evidence: dict[str, Evidence] = {}
        self._spots: dict[Place, Spot] = {}
        self._forked = set(forked)

    def evidence(self, record_id: str) -> Evidence:
        """What was said of this record until now. Not to be changed."""
        return self._evidence.get(record_id, SILENCE)

    def names(self, record_id: str) -> bool:
        """Whether a receipt names this record."""
        return record_id in self._evidence

    def is_forked(self, witness: str) -> bool:
        """Whether this witness was seen to sign two receipts on one `prev`."""
        return witness in self._forked

    def is_sound(self, place: Place) -> bool:
        """Whether a sound receipt may stand here: after nothing, or after a sound receipt of the same witness."""
        spot = self._spots.get(place)
        return place[1] is None or (spot is not None and spot.before is not None and spot.before.is_sound)

    def knows(self, place: Place) -> bool:
        """Whether all that stands here is known."""
        return place in self._spots

    def waiting_on(self, place: Place) -> list[Receipt]:
        """The receipts here that are not sound."""
        spot = self._spots.get(place)
        return [] if spot is None else spot.waiting

    def recall(self, said: Mapping[str, Evidence], spots: Mapping[Place, Spot]) -> None:
        """Bring back what was forgotten."""
        self._evidence |= said
        self._spots |= spots

    def forget(self, record_ids: Iterable[str], places: Iterable[Place] = ()) -> None:
        """Forget what was said of these records, and these places. Bring it back before `add` touches them."""
        for record_id in record_ids:
            self._evidence.pop(record_id, None)
        for place in places:
            self._spots.pop(place, None)

    def fork_at(self, receipt: Receipt) -> Fork | None:
        """The evidence that the witness signed another receipt on the `prev` of this one; None if it did not."""
        siblings = self._spot((receipt.witness, receipt.prev)).receipts
        if len(siblings) < SIBLINGS_KEPT:
            return None
        one, other = siblings
        return Fork(receipt.witness, Act.RECEIPT, receipt_label(receipt.witness), receipt.prev, 0, (one, other))

    def add(self, receipt: Receipt) -> Heard:
        """Count this receipt, and those after it that become sound by it."""
        heard = Heard()
        if receipt.witness not in self.policy.witnesses or self._is_held(receipt):
            return heard
        self._note_sibling(receipt)
        self._count_ballots(receipt, heard)
        self._settle(receipt, heard)
        for record_id, _ in receipt.entries():
            if self._about(record_id).name(receipt.witness):
                heard.about(record_id).name(receipt.witness)
        return heard

    def _note_sibling(self, receipt: Receipt) -> None:
        siblings = self._spot((receipt.witness, receipt.prev)).receipts
        insort(siblings, receipt.id)
        if len(siblings) >= SIBLINGS_KEPT:
            self._forked.add(receipt.witness)
            del siblings[SIBLINGS_KEPT:]

    def _count_ballots(self, receipt: Receipt, heard: Heard) -> None:
        for act, ballots in ((_VOTE, receipt.all_votes()), (_COMMIT, receipt.all_commits())):
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
            spot = self._spot((each.witness, each.id))
            spot.before = heard.links[each.id] = link
            if before_ms is None:
                self._spot((each.witness, each.prev)).waiting.append(each)
                self.waiting[each.witness] += 1
            else:
                self._count_times(each, before_ms, heard)
                looked_at += spot.waiting
                self.waiting[each.witness] -= len(spot.waiting)
                spot.waiting = []

    def _at_before(self, receipt: Receipt) -> int | None:
        """The `at` of the receipt before this one, in ms; None if this receipt is not sound, or not known to be."""
        if receipt.prev is None:
            return _NEVER_MS
        before = self._spot((receipt.witness, receipt.prev)).before
        if before is None or not before.is_sound:
            return None
        return before.at_ms if before.at_ms < receipt.at_ms else None

    def _count_times(self, receipt: Receipt, before_ms: int, heard: Heard) -> None:
        for record_id, ms in counting_times(receipt, before_ms):
            if self._about(record_id).see(receipt.witness, ms):
                heard.about(record_id).see(receipt.witness, ms)

    def _is_held(self, receipt: Receipt) -> bool:
        spot = self._spots.get((receipt.witness, receipt.id))
        return spot is not None and spot.before is not None

    def _spot(self, place: Place) -> Spot:
        return self._spots.setdefault(place, Spot())

    def _about(self, record_id: str) -> Evidence:
        evidence = self._evidence.get(record_id)
        if evidence is None:
            evidence = self._evidence[record_id] = Evidence()
        return evidence


def counting_times(receipt: Receipt, before_ms: int) -> list[tuple[str, int]]:
    """The entries of a sound receipt that count as times. `before_ms`: the `at` of the receipt before it, or 0."""
    return [(record_id, ms) for record_id, ms in receipt.entries() if before_ms < ms <= receipt.at_ms]
