"""A slot: the candidates of one place in the chain of a witnessed label, and what is known of them together.

Most slots have a single candidate. So a slot makes what only a choice among several candidates needs (`Rivalry`) when
the second candidate comes.
"""

from collections.abc import Callable, Iterator

import msgspec

from protocol.records.record import Record
from protocol.witness.testimony import Ballot, Evidence, Fork
from protocol.witness.walk import UNSEEN_MS, Standing


class Slot(msgspec.Struct, gc=False):
    """The candidates of one slot by record id, those of them that are decided, and the first by the witnesses' times.

    `is_reachable`: whether the chain can still come here. `best` is `(ordered_ms, id)` of the ordered candidate that
    comes first; None while no candidate is ordered. `best_decided` is that of the decided candidates. `rivalry`: None
    while there is only one candidate. Liars decide thousands in one slot, so nothing here looks at all of them.
    """

    candidates: dict[str, Record] = msgspec.field(default_factory=dict)
    decided: dict[str, None] = msgspec.field(default_factory=dict)
    is_reachable: bool = False
    best: tuple[int, str] | None = None
    best_decided: tuple[int, str] | None = None
    rivalry: "Rivalry | None" = None

    @property
    def undecided(self) -> int:
        """How many candidates wait for a decision: all, or none if the slot is decided or cannot be reached."""
        return len(self.candidates) if self.is_reachable and not self.decided else 0

    def look_at(self, record_id: str, standing: Standing) -> None:
        """The standing of this candidate is new, or better than before."""
        if standing.ordered_ms is not None:
            place = (standing.ordered_ms, record_id)
            self.best = place if self.best is None else min(self.best, place)
        if standing.is_decided:
            self.decided[record_id] = None
            place = (UNSEEN_MS if standing.ordered_ms is None else standing.ordered_ms, record_id)
            self.best_decided = place if self.best_decided is None else min(self.best_decided, place)


class Rivalry(msgspec.Struct, gc=False):
    """The votes and commits in a slot with several candidates.

    `cast` are the least two ids for which each was cast. `forks`: for each witness the first round in which it
    contradicts itself.
    """

    cast: dict[Ballot, tuple[str, ...]] = msgspec.field(default_factory=dict)
    forks: dict[str, Fork] = msgspec.field(default_factory=dict)

    def find_forks(self, record: Record, said: Evidence, evidence: Callable[[str], Evidence]) -> Iterator[Fork]:
        """Count these votes and commits for the candidate; yields the contradictions that they bring or change.

        `evidence` gives all that was said of a candidate.
        """
        for ballot, _ in said.ballots():
            ids = self._count(record.id, ballot)
            if len(ids) < 2 or record.id not in ids:
                continue
            one, other = sorted(evidence(each).receipt_of(ballot) for each in ids)
            witness, act, number = ballot
            fork = Fork(witness, act, record.label, record.prev, number, (one, other))
            known = self.forks.get(witness)
            if known is None or fork.rank <= known.rank:
                self.forks[witness] = fork
                yield fork

    def _count(self, record_id: str, ballot: Ballot) -> tuple[str, ...]:
        """Count a vote or commit for this candidate; returns the least two ids for which it was cast."""
        ids = self.cast.get(ballot, ())
        if record_id not in ids:
            ids = self.cast[ballot] = tuple(sorted((*ids, record_id))[:2])
        return ids
