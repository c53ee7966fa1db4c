"""Testimony: what the witnesses of one domain have said of each record, gathered receipt by receipt.

Receipts of one witness form a chain by `prev`. A receipt is *sound* when its chain reaches back to a first receipt and
every `at` on the way is larger than the one before. Only an entry of a sound receipt counts as a time, and only if the
time lies after the `at` of the receipt before: with that receipt the witness said that it had shown all it saw until
then. So a witness cannot date a record back without a fork that everybody can see.

Votes and commits count in any receipt, sound or not, because the signature of the witness is all that they need. So a
proof needs no chains, and a vote that was counted is never taken back.

Receipts may come in any order, also before the records that they name. What was counted only ever grows: more votes,
more commits, and times that only become smaller. So what a receipt adds is evidence too, and `with_more` merges it.
Evidence never changes, so that all who look at it share it: a receipt that names 400 records says the same of most.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from protocol.witness.policy import Policy
from protocol.witness.receipt import Receipt, receipt_label

_NOBODY: Final[Mapping[str, int]] = MappingProxyType({})

_NOBODY_SAID: Final[Mapping[str, str]] = MappingProxyType({})

_T = TypeVar("_T", int, str)

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

Ballots = Mapping[int, Mapping[str, str]]
"""By round, the witnesses, each with the id of a receipt that says so."""

_NO_BALLOTS: Final[Ballots] = MappingProxyType({})
_NO_NAMES: Final[frozenset[str]] = frozenset()


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What the witnesses have said of one record. Records of which the same was said share what they can.

    `times_ms`: the least time that counts, by witness. `votes` and `commits`: by round, the witnesses, each with the id
    of a receipt that says so (of several, the least). `named`: the witnesses that wrote down a time, of which none
    counts.
    """

    times_ms: Mapping[str, int] = _NOBODY
    votes: Ballots = _NO_BALLOTS
    commits: Ballots = _NO_BALLOTS
    named: frozenset[str] = _NO_NAMES

    def with_more(self, more: "Evidence") -> "Evidence":
        """This and what was said besides."""
        if self is SILENCE:
            return more
        times_ms = _least(self.times_ms, more.times_ms)
        votes, commits = _with_more(self.votes, more.votes), _with_more(self.commits, more.commits)
        named = self.named | more.named
        return Evidence(times_ms, votes, commits, named.difference(times_ms) if named else _NO_NAMES)

    def news_in(self, more: "Evidence") -> "Evidence":
        """The part of this testimony that is new; `SILENCE` if nothing in it is new."""
        if self is SILENCE:
            return more
        news = Evidence(
            _smaller(self.times_ms, more.times_ms),
            _new_in(self.votes, more.votes),
            _new_in(self.commits, more.commits),
            more.named.difference(self.named, self.times_ms) if more.named else _NO_NAMES,
        )
        return news if news.times_ms or news.votes or news.commits or news.named else SILENCE

    def ballots(self) -> Iterator[tuple[Ballot, str]]:
        """Every vote and commit, with the id of its receipt."""
        for act, ballots in ((_VOTE, self.votes), (_COMMIT, self.commits)):
            for number, said in ballots.items():
                for witness, receipt_id in said.items():
                    yield (witness, act, number), receipt_id

    def receipt_of(self, ballot: Ballot) -> str:
        """The id of the receipt with this vote or commit, which was cast."""
        witness, act, number = ballot
        return (self.votes if act is _VOTE else self.commits)[number][witness]

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
        return bool(self.commits) and max(map(len, self.commits.values())) >= policy.quorum

    def deciding_round(self, policy: Policy) -> int | None:
        """The first round in which a quorum commits the record."""
        return min((each for each, witnesses in self.commits.items() if len(witnesses) >= policy.quorum), default=None)


SILENCE: Final = Evidence()
"""Nothing was said."""


class Merges:
    """Merges of evidence, each done once. Use it for the records of one receipt, or of a few.

    A receipt says the same of most records that it names, and they share one `Evidence`. So their merges are the same
    too, and the records go on sharing.
    """

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done: dict[tuple[int, int], tuple[Evidence, Evidence, Evidence, Evidence]] = {}
        """By the identities of what is merged. Both are kept here, so that nothing else gets their identities."""

    def merged(self, known: Evidence, more: Evidence) -> Evidence:
        """What `known.with_more(more)` gives."""
        return more if known is SILENCE else self._merge(known, more)[3]

    def news(self, known: Evidence, more: Evidence) -> tuple[Evidence, Evidence]:
        """What `known.news_in(more)` gives, and all that is known then."""
        return (more, more) if known is SILENCE else self._merge(known, more)[2:]

    def _merge(self, known: Evidence, more: Evidence) -> tuple[Evidence, Evidence, Evidence, Evidence]:
        pair = (id(known), id(more))
        done = self._done.get(pair)
        if done is None:
            news = known.news_in(more)
            after = known if news is SILENCE else known.with_more(news)
            done = self._done[pair] = (known, more, news, after)
        return done


def add_said(known: dict[str, Evidence], said: Mapping[str, Evidence]) -> None:
    """Add to what is known, by record id, what was said besides."""
    if not known:
        known.update(said)
        return
    merges = Merges()
    for record_id, more in said.items():
        before = known.get(record_id)
        known[record_id] = more if before is None else merges.merged(before, more)


def _least(known: Mapping[str, _T], more: Mapping[str, _T]) -> Mapping[str, _T]:
    """The least value for each key."""
    if not (known and more):
        return known or more
    return {**known, **_smaller(known, more)}


def _smaller(known: Mapping[str, _T], more: Mapping[str, _T]) -> Mapping[str, _T]:
    """The values in `more` that are not known, or less than the known one."""
    if not (known and more):
        return more
    return {key: value for key, value in more.items() if key not in known or value < known[key]}


def _with_more(known: Ballots, more: Ballots) -> Ballots:
    """These ballots together. Of two receipts with the same one, the least id stays."""
    if not (known and more):
        return known or more
    return {**known, **{number: _least(known.get(number, _NOBODY_SAID), said) for number, said in more.items()}}


def _new_in(known: Ballots, more: Ballots) -> Ballots:
    """The ballots in `more` that are not known."""
    if not (known and more):
        return more
    news = {number: _smaller(known.get(number, _NOBODY_SAID), said) for number, said in more.items()}
    return {number: said for number, said in news.items() if said}


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


FORKS_MAX: Final = 200
"""Forks of one witness that are kept in memory. One proves that it lied, and a liar can lie in every slot."""


class Forks:
    """The forks of the witnesses of a domain, one for each witness and slot, `FORKS_MAX` of each witness."""

    def __init__(self, forks: Iterable[Fork] = ()) -> None:
        self._by_place: dict[ForkPlace, Fork] = {}
        self._counts: Counter[str] = Counter()
        for fork in forks:
            self.note(fork)

    def note(self, fork: Fork) -> None:
        """Keep this fork. It replaces the one that was known of its place."""
        if fork.place not in self._by_place:
            if self._counts[fork.witness] >= FORKS_MAX:
                return
            self._counts[fork.witness] += 1
        self._by_place[fork.place] = fork

    def pairs(self) -> Collection[Fork]:
        """Each pair of receipts of one witness once."""
        forks = sorted(self._by_place.values(), key=lambda fork: fork.rank, reverse=True)
        return {(fork.witness, fork.receipts): fork for fork in forks}.values()


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

    @property
    def due(self) -> list[Receipt]:
        """Those of `waiting` that are sound by now, because the receipt before them is."""
        before = self.before
        return [it for it in self.waiting if it.at_ms > before.at_ms] if before is not None and before.is_sound else []


def any_receipt(_: Receipt) -> bool:
    """Whether this receipt may be counted: yes."""
    return True


class Testimony:
    """All that the witnesses of one policy have said."""

    def __init__(self, policy: Policy, forked: Iterable[str] = (), waiting: Mapping[str, int] = _NOBODY) -> None:
        """`policy` names the witnesses; receipts of other keys count for nothing. `forked` and `waiting`: what is known
        of receipts that are not here.
        """
        self.policy = policy
        self.waiting = Counter(waiting)
        """Bytes of the receipts of each witness that are not counted as sound."""
        self.due: dict[Place, None] = {}
        """Where receipts wait that are sound by now, and are to be counted by `count_due`."""
        self._evidence: dict[str, Evidence] = {}
        self._spots: dict[Place, Spot] = {}
        self._forked = set(forked)

    def evidence(self, record_id: str) -> Evidence:
        """What was said of this record until now."""
        return self._evidence.get(record_id, SILENCE)

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
        """The receipts here that are not counted as sound."""
        spot = self._spots.get(place)
        return [] if spot is None else spot.waiting

    def due_at(self, place: Place) -> list[Receipt]:
        """The receipts here that are due."""
        spot = self._spots.get(place)
        return [] if spot is None else spot.due

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

    def add(self, receipt: Receipt, may_count: Callable[[Receipt], bool] = any_receipt) -> Heard:
        """Count this receipt, and those after it that become sound by it and may be counted now. The others are due."""
        heard = Heard()
        if receipt.witness not in self.policy.witnesses or self._is_held(receipt):
            return heard
        self._note_sibling(receipt)
        self._settle([receipt], heard, may_count)
        return heard

    def count_due(self, may_count: Callable[[Receipt], bool]) -> Heard:
        """Count the receipts that are due and may be counted now, and those that become sound by them."""
        heard = Heard()
        for place in [place for place in self.due if place in self._spots]:
            del self.due[place]
            self._settle(self._take_due(place, may_count), heard, may_count)
        return heard

    def _note_sibling(self, receipt: Receipt) -> None:
        siblings = self._spot((receipt.witness, receipt.prev)).receipts
        insort(siblings, receipt.id)
        if len(siblings) >= SIBLINGS_KEPT:
            self._forked.add(receipt.witness)
            del siblings[SIBLINGS_KEPT:]

    def _settle(self, receipts: Iterable[Receipt], heard: Heard, may_count: Callable[[Receipt], bool]) -> None:
        """Make these receipts sound if they are, and then all that waited for them and may be counted."""
        looked_at = list(receipts)
        while looked_at:
            each = looked_at.pop()
            before_ms = self._at_before(each)
            link = Link(each.witness, each.prev, each.at_ms, is_sound=before_ms is not None)
            self._spot((each.witness, each.id)).before = heard.links[each.id] = link
            self._count(said_in(each, before_ms), heard)
            if before_ms is None:
                self._spot((each.witness, each.prev)).waiting.append(each)
                self.waiting[each.witness] += each.size_bytes
            else:
                looked_at += self._take_due((each.witness, each.id), may_count)

    def _take_due(self, place: Place, may_count: Callable[[Receipt], bool]) -> list[Receipt]:
        """Take the receipts that are sound here and may be counted from those that wait. The others become due."""
        spot = self._spots[place]
        due = spot.due
        taken = {receipt.id: receipt for receipt in due if may_count(receipt)}
        if len(taken) < len(due):
            self.due[place] = None
        self.waiting[place[0]] -= sum(receipt.size_bytes for receipt in taken.values())
        spot.waiting = [receipt for receipt in spot.waiting if receipt.id not in taken]
        return list(taken.values())

    def _count(self, said: Mapping[str, Evidence], heard: Heard) -> None:
        """Count what a receipt says, and note what of it is news."""
        merges, added, evidence = Merges(), dict[str, Evidence](), self._evidence
        for record_id, more in said.items():
            before = evidence.get(record_id)
            if before is None:  # as most records of the only witness of a domain
                evidence[record_id] = added[record_id] = more
                continue
            news, after = merges.news(before, more)
            if news is not SILENCE:
                evidence[record_id], added[record_id] = after, news
        add_said(heard.said, added)

    def _at_before(self, receipt: Receipt) -> int | None:
        """The `at` of the receipt before this one, in ms; None if this receipt is not sound, or not known to be."""
        if receipt.prev is None:
            return _NEVER_MS
        before = self._spot((receipt.witness, receipt.prev)).before
        if before is None or not before.is_sound:
            return None
        return before.at_ms if before.at_ms < receipt.at_ms else None

    def _is_held(self, receipt: Receipt) -> bool:
        spot = self._spots.get((receipt.witness, receipt.id))
        return spot is not None and spot.before is not None

    def _spot(self, place: Place) -> Spot:
        return self._spots.setdefault(place, Spot())


def said_in(receipt: Receipt, before_ms: int | None) -> dict[str, Evidence]:
    """What a receipt says of each record that it names. Its votes and commits count in any case.

    `before_ms`: the `at` of the sound receipt before it, 0 before the first; None if it is not sound, so that no time
    counts.
    """
    witness, cast_in = receipt.witness, {receipt.witness: receipt.id}
    said: dict[str, Evidence] = {}
    merges = Merges()

    def say(record_id: str, more: Evidence) -> None:
        before = said.get(record_id)
        said[record_id] = more if before is None else merges.merged(before, more)

    for entries, votes in ((receipt.first, {0: cast_in}), (receipt.seen, _NO_BALLOTS)):
        by_ms: dict[int, Evidence] = {}  # records of one commit were seen at the same time
        for record_id, ms in entries.items():
            if ms not in by_ms:
                counts = before_ms is not None and before_ms < ms <= receipt.at_ms
                times_ms, named = ({witness: ms}, _NO_NAMES) if counts else (_NOBODY, frozenset({witness}))
                by_ms[ms] = Evidence(times_ms, votes, named=named)
            say(record_id, by_ms[ms])
    for number, record_ids in receipt.votes.items():
        vote = Evidence(votes={number: cast_in})
        for record_id in record_ids:
            say(record_id, vote)
    for number, record_ids in receipt.commits.items():
        commit = Evidence(commits={number: cast_in})
        for record_id in record_ids:
            say(record_id, commit)
    return said
