"""Ballots of one slot: who voted for which candidate in which round, and who contradicted themselves.

An honest witness votes once in a round of a slot, and commits once. Two votes, or two commits, for two candidates of
one slot in one round are evidence that the witness lied. Both still count, because what was counted is never uncounted.
The pair of receipts is kept, so that everybody can check it.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from protocol.witness.testimony import Evidence


class Ballot(StrEnum):
    """What a witness says once in a round of a slot."""

    VOTE = "vote"
    COMMIT = "commit"


class BallotFork(msgspec.Struct, frozen=True):
    """Two ballots of one witness for two candidates of one slot in one round: evidence that the witness lied.

    `prev` names the slot in its label. `receipts`: the ids of the receipts that hold the ballots, sorted. One receipt
    may hold both, and stands twice then.
    """

    witness: str
    prev: str | None
    ballot: Ballot
    round: int
    receipts: tuple[str, str]


class SlotBallots:
    """The ballots of one slot that has two candidates or more."""

    def __init__(self, prev: str | None) -> None:
        """`prev` names the slot in its label."""
        self._prev = prev
        self._first: dict[tuple[str, Ballot, int], tuple[str, str]] = {}
        self.forks: dict[str, BallotFork] = {}
        """By witness, the first fork that was found."""

    def count(self, record_id: str, evidence: Evidence) -> None:
        """Compare what was said of this candidate with what was said of the others."""
        for witness, ballot, number, receipt_id in _ballots(evidence):
            first_id, first_receipt_id = self._first.setdefault((witness, ballot, number), (record_id, receipt_id))
            if first_id != record_id and witness not in self.forks:
                one, other = sorted((first_receipt_id, receipt_id))
                self.forks[witness] = BallotFork(witness, self._prev, ballot, number, (one, other))


def _ballots(evidence: Evidence) -> Iterator[tuple[str, Ballot, int, str]]:
    """Witness, kind, round and receipt of each ballot for one record."""
    for ballot, rounds in ((Ballot.VOTE, evidence.votes), (Ballot.COMMIT, evidence.commits)):
        for number, witnesses in rounds.items():
            for witness, receipt_id in witnesses.items():
                yield witness, ballot, number, receipt_id
