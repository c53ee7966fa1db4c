"""The voter: what a witness says of each open slot, and when. Tendermint, one small agreement for each slot.

    Buchman, Kwon, Milosevic, "The latest gossip on BFT consensus", 2018 (arXiv:1807.04938)

In the words of the paper: a vote is a *prevote*, a commit is a *precommit*, the speaker of a round is its *proposer*,
and the *highest quorum*, the latest round in which a quorum voted for one record, is the pair `validValue` and
`validRound`. The vote of round 0 is the first candidate that the witness saw, so nobody proposes in round 0.

**Safety.** Claim: two records of one slot are never both decided while at most f of n witnesses lie, n >= 3f + 1. Let q
be the quorum, so that any two quorums share more than f witnesses. Let j be the first round in which q witnesses commit
some record x.

1. In round j no other record y gets q commits: a commit needs q votes of round j, two quorums of votes share an honest
   witness, and an honest witness votes once a round.
2. At least q - f honest witnesses committed x in j, so they hold x as their highest quorum.
3. In round j + 1 they vote for x, unless they hold q votes for some y in a round above their last commit. There are
   none yet; and without those q - f witnesses only n - (q - f) < q votes are left, so y gets no quorum in j + 1.
4. The same step leads from each round to the next. So no quorum ever votes for another record than x after round j.

The steps ask three things of an honest witness: one vote and one commit a round for ever, also after a crash; a commit
only while it is in that round; and no memory shorter than its promises. The node's part of that is the file of the
newest receipt, which is on disk before the receipt leaves.

**Liveness.** The time of a round starts only when a quorum has voted in it or later, so that a witness which hears of a
slot late finds the others waiting. Rounds become longer, up to 16 s, until messages fit into one. A round belongs to a
speaker, so that one liar who shows a vote to the last to leave cannot keep a race open.

Time is handed in as `now_ms`, milliseconds of a clock that never goes back, because rounds must end also while the wall
clock is put right. Receipts are dated by the wall clock: `now_ms + wall_offset_ms`. The machine acts only on what its
node has committed to its own disk, so a vote that it counted survives its crash. Its own vote of round 0 also counts in
the receipt that carries it.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

import msgspec

from protocol.witness.policy import Policy
from protocol.witness.receipt import BALLOTS_MAX, ENTRIES_MAX, receipt_label
from protocol.witness.testimony import Evidence

SlotKey = tuple[str, str | None]
"""A label, and the `prev` of the candidates; None: the foundings."""

RECEIPT_INTERVAL_MS: Final = 100
"""Time between two receipts that are not full."""

ROUND_MS: Final = 1_000
"""Length of round 0. Each next round is twice as long, up to `ROUND_MS_MAX`."""

ROUND_MS_MAX: Final = 16_000

_ROUND_DOUBLINGS_MAX: Final = 4


class _Slot(msgspec.Struct, gc=False):
    """An open slot, as this witness sees it.

    `candidates`: when each was stored, in ms, oldest first. `round` began at `entered_ms`; its time runs from
    `running_ms`, None while no quorum has voted in it. `my_votes` and `my_commits` are record ids by round. `timer_ms`
    is the timer that is set.
    """

    key: SlotKey
    entered_ms: int
    round: int = 0
    running_ms: int | None = None
    candidates: dict[str, int] = msgspec.field(default_factory=dict)
    my_votes: dict[int, str] = msgspec.field(default_factory=dict)
    my_commits: dict[int, str] = msgspec.field(default_factory=dict)
    timer_ms: int | None = None

    @property
    def length_ms(self) -> int:
        return min(ROUND_MS << min(self.round, _ROUND_DOUBLINGS_MAX), ROUND_MS_MAX)

    def enter(self, number: int, now_ms: int) -> None:
        self.round, self.entered_ms, self.running_ms = number, now_ms, None

    def may_commit(self, now_ms: int) -> bool:
        """Whether the witness may commit in its round, once a quorum voted: once, and not so late that others may have
        left the round when they hear of it.
        """
        is_late = self.running_ms is not None and now_ms >= self.running_ms + self.length_ms * 3 // 4
        return self.round not in self.my_commits and not is_late


class OpenSlot(msgspec.Struct, frozen=True):
    """How an open slot stands, for people: its candidates, and the round in which this witness is."""

    key: SlotKey
    candidates: Collection[str]
    round: int


class Voter:
    """The witness `key` of one domain.

    Tell it of candidates, of changed testimony and of closed slots, each after the commit to the own disk. Call `go_on`
    after that, and whenever `next_at_ms` has come, and ask `draft` for the next receipt. What a draft says counts as
    said: sign the receipt, write it to the file of the newest receipt, and only then store it and let it leave.
    """

    def __init__(self, domain: str, policy: Policy, key: str, evidence: Callable[[str], Evidence]) -> None:
        """`key` is a witness of the policy. `evidence` gives what was said of a candidate of an open slot until now."""
        self.wall_offset_ms = 0
        """What the wall clock shows beside `now_ms`. The caller keeps it up to date."""
        assert key in policy.witnesses, "only a witness votes"
        self._domain = domain
        self._policy = policy
        self._key = key
        self._evidence = evidence
        self._slots: dict[SlotKey, _Slot] = {}
        self._slot_of: dict[str, SlotKey] = {}
        self._timers: list[tuple[int, str, str]] = []
        self._changed: dict[SlotKey, None] = {}
        self._to_see: dict[str, int] = {}
        self._to_vote: dict[tuple[str, int], None] = {}
        self._to_commit: dict[tuple[str, int], None] = {}
        self._newest: str | None = None
        self._newest_at_ms = 0
        self._wait_until_ms = 0

    def resume(self, newest: str, at_ms: int) -> None:
        """Go on after this receipt, the newest one that ever left. Everything that the witness said is in the testimony
        already: call this before anything else.
        """
        self._newest, self._newest_at_ms = newest, at_ms

    @property
    def next_at_ms(self) -> int | None:
        """When to call `go_on` and `draft` next; None: not before something else happens."""
        timer = self._timers[0][0] if self._timers else None
        receipt = self._wait_until_ms if self._has_to_say() else None
        return min((at for at in (timer, receipt) if at is not None), default=None)

    def open_slots(self) -> Iterator[OpenSlot]:
        """The slots that are not decided, as this witness sees them, oldest first."""
        for slot in self._slots.values():
            yield OpenSlot(slot.key, slot.candidates.keys(), slot.round)

    @property
    def open_count(self) -> int:
        """How many slots are not decided."""
        return len(self._slots)

    def knows(self, record_id: str) -> bool:
        """Whether this record is a candidate of an open slot."""
        return record_id in self._slot_of

    def on_candidate(self, key: SlotKey, record_id: str, now_ms: int) -> None:
        """This record is stored, and may stand in this slot, which is not decided.

        Not for a record below a slot where another candidate is decided: what cannot win any more costs nothing.
        """
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot(key, now_ms)
        elif record_id in slot.candidates:
            return
        slot.candidates[record_id] = now_ms
        self._slot_of[record_id] = key
        evidence = self._evidence(record_id)
        is_voted_on = evidence.votes or evidence.commits
        if is_voted_on:
            self._recall(slot, evidence, record_id, now_ms)
        self._see(slot, evidence, record_id, now_ms)
        if is_voted_on or len(slot.candidates) > 1:
            self._changed[key] = None  # of a slot where nobody voted, nothing but an entry is due

    def on_testimony(self, record_ids: Iterable[str]) -> None:
        """More was said of these records, and is committed here."""
        self._changed |= {self._slot_of[each]: None for each in record_ids if each in self._slot_of}

    def on_closed(self, key: SlotKey) -> list[str]:
        """This slot is decided, or cannot be reached any more: nothing more is owed. Returns its candidates."""
        slot = self._slots.pop(key, None)
        if slot is None:
            return []
        for record_id in slot.candidates:
            del self._slot_of[record_id]
            self._to_see.pop(record_id, None)
        if self._to_vote or self._to_commit:
            for ballots, queue in ((slot.my_votes, self._to_vote), (slot.my_commits, self._to_commit)):
                for number, record_id in ballots.items():
                    queue.pop((record_id, number), None)
        return list(slot.candidates)

    def go_on(self, now_ms: int) -> None:
        """Do all that is due in the slots that changed, and in those whose time has come."""
        while self._timers and self._timers[0][0] <= now_ms:
            _, label, prev = heapq.heappop(self._timers)
            self._changed[label, prev or None] = None
        changed, self._changed = self._changed, {}
        for key in changed:
            if key in self._slots:
                self._go_on(self._slots[key], now_ms)

    def draft(self, now_ms: int) -> dict[str, Any] | None:
        """The fields of the next receipt; None if there is nothing to say, or the last one left too recently.

        The receipt's `at` is larger than that of the one before, whatever the clock does.
        """
        if not self._has_to_say() or now_ms < self._wait_until_ms:
            return None
        entries = list(islice(self._to_see.items(), ENTRIES_MAX))
        self._commit_with_votes(entries, now_ms)
        ballots = self._next_ballots()
        fields = self._fields(entries, ballots, now_ms)
        for record_id, _ in entries:
            del self._to_see[record_id]
        for queue, record_id, number in ballots:
            del (self._to_commit if queue == "commit" else self._to_vote)[record_id, number]
        is_full = self._has_to_say()
        self._wait_until_ms = now_ms if is_full else now_ms + RECEIPT_INTERVAL_MS
        return fields

    def on_signed(self, receipt_id: str, at_ms: int) -> None:
        """The last draft became this receipt: the next one names it in `prev`."""
        self._newest, self._newest_at_ms = receipt_id, at_ms

    def _has_to_say(self) -> bool:
        return bool(self._to_see or self._to_vote or self._to_commit)

    def _next_ballots(self) -> list[tuple[str, str, int]]:
        """Commits first: they end a race."""
        commits = (("commit", *each) for each in self._to_commit)
        votes = (("vote", *each) for each in self._to_vote)
        return list(islice(chain(commits, votes), BALLOTS_MAX))

    def _fields(
        self, entries: list[tuple[str, int]], ballots: list[tuple[str, str, int]], now_ms: int
    ) -> dict[str, Any]:
        after_ms = self._newest_at_ms + 1
        times_ms = {record_id: max(ms, after_ms) for record_id, ms in entries}
        at_ms = max(now_ms + self.wall_offset_ms, after_ms, 1_000, *times_ms.values())
        said: dict[str, dict[str, Any]] = {"first": {}, "seen": {}, "vote": {}, "commit": {}}
        for record_id, ms in times_ms.items():
            said["first" if self._is_first(record_id) else "seen"][record_id] = ms
        for kind, record_id, number in ballots:
            said[kind].setdefault(str(number), []).append(record_id)
        fields = {
            "domain": self._domain,
            "label": receipt_label(self._key),
            "signedby": self._key,
            "timestamp": at_ms // 1000,
            "at": at_ms,
            "prev": self._newest,
        }
        return {name: value for name, value in (fields | said).items() if value not in (None, {})}

    def _is_first(self, record_id: str) -> bool:
        key = self._slot_of.get(record_id)
        return key is not None and self._slots[key].my_votes.get(0) == record_id

    def _recall(self, slot: _Slot, evidence: Evidence, record_id: str, now_ms: int) -> None:
        """Take up what this witness said of the record in an earlier life."""
        slot.my_votes |= {number: record_id for number, who in evidence.votes.items() if self._key in who}
        slot.my_commits |= {number: record_id for number, who in evidence.commits.items() if self._key in who}
        latest = max((*slot.my_votes, *slot.my_commits), default=0)
        if latest > slot.round:
            slot.enter(latest, now_ms)

    def _see(self, slot: _Slot, evidence: Evidence, record_id: str, now_ms: int) -> None:
        """Owe the candidate an entry, unless it has one. The first entry of a slot is the vote of round 0."""
        if self._key in evidence.times_ms or slot.my_votes.get(0) == record_id:
            return
        slot.my_votes.setdefault(0, record_id)
        self._to_see[record_id] = max(1, now_ms + self.wall_offset_ms)

    def _go_on(self, slot: _Slot, now_ms: int) -> None:
        """Leave rounds, vote, commit; and set the next timer."""
        tally = self._tally(slot)
        while self._leave_round(slot, tally, now_ms):
            pass
        self._vote(slot, tally, now_ms)
        self._commit(slot, tally, now_ms)
        self._set_timer(slot, now_ms)

    def _tally(self, slot: _Slot) -> "_Tally":
        evidence = {each: self._evidence(each) for each in slot.candidates}
        return _Tally(self._policy, evidence)

    def _leave_round(self, slot: _Slot, tally: "_Tally", now_ms: int) -> bool:
        """Go to a later round, if this one is over or enough others are ahead; returns whether it did."""
        ahead = tally.round_of_others(self._key)
        if ahead > slot.round:
            slot.enter(ahead, now_ms)
            return True
        if slot.running_ms is None and tally.voters_from(slot.round) >= self._policy.quorum:
            slot.running_ms = now_ms
        if slot.running_ms is None or now_ms < slot.running_ms + slot.length_ms:
            return False
        slot.enter(slot.round + 1, now_ms)
        return True

    def _vote(self, slot: _Slot, tally: "_Tally", now_ms: int) -> None:
        number = slot.round
        if number == 0 or number in slot.my_votes:
            return
        record_id = self._choice(slot, tally, now_ms)
        if record_id is not None:
            slot.my_votes[number] = record_id
            self._to_vote[record_id, number] = None

    def _choice(self, slot: _Slot, tally: "_Tally", now_ms: int) -> str | None:
        """The record to vote for in this round; None while the speaker may still speak, or there is nothing."""
        speaker = self._policy.speaker(slot.round)
        if speaker != self._key:
            proposed = tally.vote_of(speaker, slot.round)
            if proposed is not None and self._may_follow(slot, tally, proposed):
                return proposed
            if proposed is None and now_ms < slot.entered_ms + slot.length_ms // 2:
                return None
        return tally.highest_quorum(slot.my_commits) or tally.favourite()

    def _may_follow(self, slot: _Slot, tally: "_Tally", proposed: str) -> bool:
        """Whether a vote for the speaker's record breaks no promise: the lock of Tendermint."""
        if not slot.my_commits:
            return True
        locked = max(slot.my_commits)
        return slot.my_commits[locked] == proposed or tally.has_quorum_from(proposed, locked)

    def _commit(self, slot: _Slot, tally: "_Tally", now_ms: int) -> None:
        if slot.running_ms is not None and slot.may_commit(now_ms):
            record_id = tally.quorum_in(slot.round)
            if record_id is not None:
                self._owe_commit(slot, record_id)

    def _commit_with_votes(self, entries: Iterable[tuple[str, int]], now_ms: int) -> None:
        """Commit the records to which a vote of round 0, which leaves now, is the last vote of a quorum.

        The vote is in the same receipt, or in one before. So whoever has the commit has the vote, and both survive a
        crash or neither. The only witness of a domain needs one receipt instead of two.
        """
        needed = self._policy.quorum
        for record_id, _ in entries:
            slot = self._slots[self._slot_of[record_id]]
            if slot.round or slot.my_votes.get(0) != record_id or not slot.may_commit(now_ms):
                continue
            voters = self._evidence(record_id).votes.get(0, ())
            if len(voters) + (self._key not in voters) >= needed:
                self._owe_commit(slot, record_id)

    def _owe_commit(self, slot: _Slot, record_id: str) -> None:
        slot.my_commits[slot.round] = record_id
        self._to_commit[record_id, slot.round] = None

    def _set_timer(self, slot: _Slot, now_ms: int) -> None:
        due: list[int] = []
        if slot.running_ms is not None:
            due.append(slot.running_ms + slot.length_ms)
        if slot.round and slot.round not in slot.my_votes:
            due.append(slot.entered_ms + slot.length_ms // 2)
        at_ms = min([each for each in due if each > now_ms], default=None)
        if at_ms is not None and at_ms != slot.timer_ms:
            heapq.heappush(self._timers, (at_ms, slot.key[0], slot.key[1] or ""))
        slot.timer_ms = at_ms


class _Tally:
    """The votes in one slot, counted."""

    def __init__(self, policy: Policy, evidence: dict[str, Evidence]) -> None:
        """`evidence`: what was said of each candidate, in the order in which they were stored."""
        self._policy = policy
        self._evidence = evidence
        self._latest: dict[str, int] = {}
        for each in evidence.values():
            for number, witnesses in each.votes.items():
                for witness in witnesses:
                    self._latest[witness] = max(number, self._latest.get(witness, 0))

    def voters_from(self, number: int) -> int:
        """How many witnesses voted in this round or later."""
        return sum([latest >= number for latest in self._latest.values()])

    def round_of_others(self, key: str) -> int:
        """A round that an honest other witness reached: the (faulty + 1)-th highest of the others' latest votes."""
        rounds = sorted([latest for witness, latest in self._latest.items() if witness != key], reverse=True)
        return rounds[self._policy.faulty] if len(rounds) > self._policy.faulty else 0

    def vote_of(self, witness: str, number: int) -> str | None:
        """The record that this witness votes for in this round; of several, the one with the least id."""
        voted = (each for each, evidence in self._evidence.items() if witness in evidence.votes.get(number, ()))
        return min(voted, default=None)

    def quorum_in(self, number: int) -> str | None:
        """The record that a quorum votes for in this round."""
        quorum = self._policy.quorum
        for each, evidence in self._evidence.items():
            if len(evidence.votes.get(number, ())) >= quorum:
                return each
        return None

    def has_quorum_from(self, record_id: str, number: int) -> bool:
        """Whether a quorum votes for this record in this round or a later one."""
        votes = self._evidence[record_id].votes
        return any(each >= number and len(who) >= self._policy.quorum for each, who in votes.items())

    def highest_quorum(self, my_commits: dict[int, str]) -> str | None:
        """The record of the latest round with a quorum of votes for one record. An own commit counts as a quorum."""
        quorums = {
            number: each
            for each, it in self._evidence.items()
            for number, who in it.votes.items()
            if len(who) >= self._policy.quorum
        } | my_commits
        return quorums[max(quorums)] if quorums else None

    def favourite(self) -> str | None:
        """The candidate that the walk would take now."""
        ordered = ((self._order(each), each) for each in self._evidence)
        return min(((ms, each) for ms, each in ordered if ms is not None), default=(0, None))[1]

    def _order(self, record_id: str) -> int | None:
        return self._evidence[record_id].ordered_ms(self._policy)
