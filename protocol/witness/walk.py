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
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from protocol.records.record import Record
from protocol.records.replay import Tip, Verdict, verdict_on_follower
from protocol.witness.policy import Policy
from protocol.witness.testimony import Evidence

_UNSEEN_MS = 1 << 62
"""Later than every time: a decided candidate may be one that too few witnesses saw."""


class Certainty(StrEnum):
    """How sure the head of a label is."""

    CLAIMED = "claimed"
    """An ordinary domain: the timestamps of the authors order the records."""
    ORDERED = "ordered"
    """A forecast: honest witnesses saw the head, and nothing is decided yet."""
    FINAL = "final"
    """A quorum of witnesses decided the head and every record before it."""


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
        if not self.chain:
            return None
        return Certainty.FINAL if self.final == len(self.chain) else Certainty.ORDERED

    @property
    def is_contested(self) -> bool:
        return Verdict.RIVAL in self.verdicts.values()


class Standing(msgspec.Struct, frozen=True):
    """What the walk needs to know of one record: when it was ordered, in ms, and whether it is decided."""

    ordered_ms: int | None
    is_decided: bool


_UNKNOWN = Standing(None, is_decided=False)


def walk(policy: Policy | None, records: Iterable[Record], evidence: Callable[[str], Evidence]) -> Walk:
    """Walk the records of one label, given in any order, with or without repeats.

    `policy`: None while the domain has no policy record; then every record is pending. `evidence` gives what witnesses
    said of a record id.
    """
    by_id = {record.id: record for record in records}
    standings = {each: _standing(policy, evidence(each)) for each in by_id}
    slots = slots_of(by_id)
    chain, final, doubly_decided = _chain(slots, standings)
    verdicts = _Judge(by_id, slots, standings, chain).verdicts()
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
    return before is not None and record.signedby in (before.signedby, before.newowner)


def choose(candidates: Iterable[tuple[Record, Standing]]) -> tuple[Record, Standing] | None:
    """The candidate that the walk takes: a decided one, else the one seen first; None while there is neither."""
    eligible = [each for each in candidates if each[1].is_decided]
    eligible = eligible or [each for each in candidates if each[1].ordered_ms is not None]
    return min(eligible, key=_precedence, default=None)


def _precedence(candidate: tuple[Record, Standing]) -> tuple[int, str]:
    record, standing = candidate
    return (_UNSEEN_MS if standing.ordered_ms is None else standing.ordered_ms, record.id)


def _standing(policy: Policy | None, evidence: Evidence) -> Standing:
    return _UNKNOWN if policy is None else Standing(evidence.ordered_ms(policy), evidence.is_decided(policy))


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


class _Judge:
    """Gives each record of a label its verdict, once the chain is known."""

    def __init__(
        self,
        by_id: dict[str, Record],
        slots: dict[str | None, list[Record]],
        standings: dict[str, Standing],
        chain: list[Record],
    ) -> None:
        self._by_id = by_id
        self._slots = slots
        self._standings = standings
        self._on_chain = {record.id for record in chain}

    def verdicts(self) -> dict[str, Verdict]:
        return {record.id: self._verdict(record) for record in self._by_id.values()}

    def _verdict(self, record: Record) -> Verdict:
        before = self._by_id[record.prev] if record.prev in self._on_chain and record.prev is not None else None
        if record.id in self._on_chain:
            return Verdict.FOUNDED if before is None else verdict_on_follower(tip_of(before), record)
        if before is not None and not tip_of(before).names(record.signedby):
            return Verdict.NOT_OWNER
        if self._standings[record.id].ordered_ms is None and not self._is_place_decided(record):
            return Verdict.PENDING
        if record.prev is None:
            return Verdict.RIVAL
        return Verdict.ORPHAN if before is None else Verdict.STALE

    def _is_place_decided(self, record: Record) -> bool:
        return any(self._standings[each.id].is_decided for each in self._slots.get(record.prev, ()))


def tip_of(record: Record) -> Tip:
    """The record as the tip that the next one is judged by."""
    return Tip(record.id, record.timestamp, record.signedby, record.newowner)
