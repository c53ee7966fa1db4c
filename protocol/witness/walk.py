"""The walk: the pure function that turns the records of a witnessed label, and what witnesses said, into its state.

A *slot* is a place in the chain of a label: the foundings, or the records on one `prev`. The *candidates* of a slot are
the records that may stand there. In each slot the witnesses decide one candidate, so that the timestamp that an author
writes orders nothing. The walk starts at the founding and takes, slot by slot, the decided candidate; while nothing is
decided, the candidate that witnesses saw first, which is a forecast.

A record is *final* when it and every record before it on the chain are decided. More records and more receipts never
take a final record back, as long as at most `faulty` witnesses lie.

Here `prev` is needed after the founding: whoever delays the writes of an owner cannot change their order, and nobody
can take up an offer after the owner withdrew it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from protocol.records.record import Record
from protocol.records.replay import REASONS, Tip, Verdict, verdict_on_follower
from protocol.witness.policy import Policy
from protocol.witness.testimony import SILENCE, Evidence

WITNESSED_REASONS: Final = REASONS | {
    Verdict.FOUNDED: "the founding that the witnesses saw first or decided, so its signer owns the label",
    Verdict.ORPHAN: "its `prev` names a record that is not on the chain: that record lost, or it is not here",
    Verdict.STALE: "signed by a key that may write here, but the witnesses decided, or saw first, another record",
    Verdict.RIVAL: "a founding, but the witnesses saw another founding first, or decided it",
}
"""The reason for each verdict in words for people, where the author's time orders nothing."""

UNSEEN_MS: Final = 1 << 62
"""Later than every time: a decided candidate may be one that too few witnesses saw."""

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global.
_FOUNDED: Final = Verdict.FOUNDED
_PENDING: Final = Verdict.PENDING


class Certainty(StrEnum):
    """How sure the head of a label is."""

    CLAIMED = "claimed"
    """An ordinary domain: the timestamps of the authors order the records."""
    ORDERED = "ordered"
    """A forecast: honest witnesses saw the head, and nothing is decided yet."""
    FINAL = "final"
    """A quorum of witnesses decided the head and every record before it."""


def certainty_of(length: int, final: int) -> Certainty | None:
    """How sure the head of a chain of this length is, of which this many records are final; None if it is empty."""
    if not length:
        return None
    return Certainty.FINAL if final == length else Certainty.ORDERED


class Walk(msgspec.Struct, frozen=True):
    """The state of a witnessed label.

    `chain`: the records accepted, oldest first; the last one is the head. `final`: how many of them are final.
    `verdicts` and `ordered_ms` are by record id; an ordered time is in milliseconds, None while it is unknown.
    `doubly_decided`: slots of the chain with two decided records, named by their `prev`; then more than `faulty`
    witnesses lied.
    """

    chain: tuple[Record, ...]
    final: int
    verdicts: dict[str, Verdict]
    ordered_ms: dict[str, int | None]
    doubly_decided: tuple[str | None, ...]

    @property
    def head(self) -> Record | None:
        return self.chain[-1] if self.chain else None

    @property
    def certainty(self) -> Certainty | None:
        """How sure the head is; None if there is no head."""
        return certainty_of(len(self.chain), self.final)


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What the walk needs to know of one record: when it was ordered, in ms, and whether it is decided."""

    ordered_ms: int | None
    is_decided: bool

    @property
    def is_unknown(self) -> bool:
        """Whether the record is neither ordered nor decided."""
        return self.ordered_ms is None and not self.is_decided


_UNKNOWN = Standing(None, is_decided=False)


def walk(policy: Policy | None, records: Iterable[Record], evidence: Callable[[str], Evidence]) -> Walk:
    """Walk the records of one label, given in any order, with or without repeats.

    `policy`: None while the domain has no policy record; then every record is pending. `evidence` gives what witnesses
    said of a record id.
    """
    by_id = {record.id: record for record in records}
    standings = {each: standing_of(policy, evidence(each)) for each in by_id}
    slots = slots_of(by_id)
    chain, final, doubly_decided = _chain(slots, standings)
    on_chain = {record.id: record for record in chain}
    decided = {prev for prev, slot in slots.items() if any(standings[each.id].is_decided for each in slot)}
    verdicts = {
        record.id: judge(
            record,
            on_chain.get(record.prev) if record.prev else None,
            is_on_chain=record.id in on_chain,
            is_waiting=standings[record.id].ordered_ms is None and record.prev not in decided,
        )
        for record in by_id.values()
    }
    ordered_ms = {each: standing.ordered_ms for each, standing in standings.items()}
    return Walk(tuple(chain), final, verdicts, ordered_ms, tuple(doubly_decided))


def slots_of(by_id: dict[str, Record]) -> dict[str | None, list[Record]]:
    """The candidates of each slot of a label, by `prev`; None: the foundings."""
    slots: dict[str | None, list[Record]] = defaultdict(list)
    for record in by_id.values():
        if is_candidate(record, by_id):
            slots[record.prev].append(record)
    return slots


def is_candidate(record: Record, by_id: dict[str, Record]) -> bool:
    """Whether the record may stand in its slot: a founding, or signed by a key that a held `prev` names."""
    if record.prev is None:
        return True
    before = by_id.get(record.prev)
    return before is not None and may_follow(record, before)


def may_follow(record: Record, before: Record) -> bool:
    """Whether the record may stand after the one that its `prev` names: that one names its signer."""
    return record.signedby in (before.signedby, before.newowner)


def choose(candidates: Sequence[tuple[Record, Standing]]) -> tuple[Record, Standing] | None:
    """The candidate that the walk takes: a decided one, else the one seen first; None while there is neither."""
    eligible = [each for each in candidates if each[1].is_decided]
    eligible = eligible or [each for each in candidates if each[1].ordered_ms is not None]
    return min(eligible, key=_precedence, default=None)


def _precedence(candidate: tuple[Record, Standing]) -> tuple[int, str]:
    record, standing = candidate
    return (UNSEEN_MS if standing.ordered_ms is None else standing.ordered_ms, record.id)


def standing_of(policy: Policy | None, evidence: Evidence) -> Standing:
    """What the walk needs to know of a record; `policy`: None while the domain has no policy record."""
    return _UNKNOWN if policy is None else Standing(evidence.ordered_ms(policy), evidence.is_decided(policy))


class Standings:
    """The standings of records under one policy. Neighbours mostly share their evidence, so the last one is kept."""

    __slots__ = ("_last", "_policy")

    def __init__(self, policy: Policy | None) -> None:
        """`policy`: None while the domain has no policy record."""
        self._policy = policy
        self._last = (SILENCE, standing_of(policy, SILENCE))

    def of(self, evidence: Evidence) -> Standing:
        """What the walk needs to know of a record of which this was said."""
        last, standing = self._last
        if evidence is not last:
            standing = standing_of(self._policy, evidence)
            self._last = (evidence, standing)
        return standing


def _chain(
    slots: dict[str | None, list[Record]], standings: dict[str, Standing]
) -> tuple[list[Record], int, list[str | None]]:
    """The chain, how many of its records are final, and the slots in which two records are decided."""
    chain: list[Record] = []
    doubly_decided: list[str | None] = []
    final, prev = 0, None
    while (chosen := choose([(each, standings[each.id]) for each in slots.get(prev, ())])) is not None:
        record, standing = chosen
        if standing.is_decided and final == len(chain):
            final += 1
        if sum(standings[each.id].is_decided for each in slots[prev]) > 1:
            doubly_decided.append(prev)
        chain.append(record)
        prev = record.id
    return chain, final, doubly_decided


def judge(record: Record, before: Record | None, *, is_on_chain: bool, is_waiting: bool) -> Verdict:
    """The verdict on one record of a label.

    `before`: the record that `prev` names, if that is on the chain. `is_waiting`: too few witnesses saw the record, and
    nothing is decided in its slot.
    """
    if is_on_chain:
        return _FOUNDED if before is None else verdict_on_follower(tip_of(before), record)
    if before is not None and not tip_of(before).names(record.signedby):
        return Verdict.NOT_OWNER
    if is_waiting:
        return _PENDING
    if record.prev is None:
        return Verdict.RIVAL
    return Verdict.ORPHAN if before is None else Verdict.STALE


def tip_of(record: Record) -> Tip:
    """The record as the tip that the next one is judged by."""
    return Tip(record.id, record.timestamp, record.signedby, record.newowner)
