"""A group: submissions that go through the pipeline together."""

from collections.abc import Sequence
from typing import Self

import msgspec

from node.intake.arrivals import BY_REQUEST, Delivery, Origin, Submission
from node.intake.decoding import Decoding
from node.intake.label_turns import LabelTurn
from protocol.errors import ProtocolError
from protocol.records.outcome import Outcome, Status
from protocol.records.record import SignedRecord


class Group(msgspec.Struct):
    """Submissions on their way through the pipeline. They may have several origins, but came in one delivery.

    A position is the place of a submission in the group; `origins` and `outcomes` have an entry for each. An outcome is
    None until it is known. `records` holds the records that have no outcome yet, by position. `turns` at labels
    belong to the group until it is decided.
    """

    origins: list[Origin]
    delivery: Delivery
    submissions: Sequence[Submission]
    outcomes: list[Outcome | None]
    records: dict[int, SignedRecord]
    turns: list[LabelTurn] = msgspec.field(default_factory=list)
    repeats: dict[int, list[int]] = msgspec.field(default_factory=dict)
    """Where a record comes again: by the position where it comes first."""

    @classmethod
    def of(cls, submissions: Sequence[Submission], origins: list[Origin], delivery: Delivery = BY_REQUEST) -> Self:
        return cls(origins, delivery, submissions, [None] * len(submissions), {})

    @classmethod
    def of_records(cls, records: Sequence[SignedRecord], origins: list[Origin], delivery: Delivery) -> Self:
        """A group of records that were decoded before."""
        return cls(origins, delivery, (), [None] * len(records), dict(enumerate(records)))

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def size_bytes(self) -> int:
        """The bytes of the records as they came. Known before any of them is decoded."""
        held = sum(len(signed.record.canonical) for signed in self.records.values())
        return held + sum(len(submission.body) for submission in self.submissions)

    async def decode(self, decoding: Decoding) -> None:
        """Decode the submissions. Bytes that are not a record are refused. Other tasks get a turn after some work."""
        link = self.delivery.link
        work = decoding.turns.begin(link)
        for position, submission in enumerate(self.submissions):
            if work.is_long:
                await work.rest()
            try:
                signed = decoding.decode_now(submission)  # without a coroutine for each record
                if signed is None:
                    signed = await decoding.decode_exactly(submission, self.origins[position], link)
                self.records[position] = signed
            except ProtocolError as error:
                self.outcomes[position] = Outcome.refused(submission.signature, error)
        work.end()

    def settle(self, position: int, outcome: Outcome) -> None:
        """The record at this position leaves the pipeline with this outcome."""
        del self.records[position]
        self.outcomes[position] = outcome

    def refuse(self, position: int, error: ProtocolError) -> None:
        signed = self.records.pop(position)
        self.outcomes[position] = Outcome.refused(signed.signature, error, signed.record)

    def with_repeats(self, positions: Sequence[int]) -> list[int]:
        """These positions, and those where their records come again."""
        if not self.repeats:
            return list(positions)
        return [*positions, *(again for first in positions for again in self.repeats.get(first, ()))]

    def settle_repeats(self) -> None:
        """Settle the repeats of each record that has its outcome."""
        for first, repeats in self.repeats.items():
            outcome = self.outcomes[first]
            if outcome is None:
                continue
            for position in repeats:
                self.settle(position, _again(outcome, self.records[position]))

    def settled(self) -> list[Outcome]:
        """The outcomes of all submissions. No record is left without one."""
        outcomes = [outcome for outcome in self.outcomes if outcome is not None]
        assert len(outcomes) == len(self.outcomes), "every submission has its outcome"
        return outcomes


def _again(outcome: Outcome, signed: SignedRecord) -> Outcome:
    """The outcome of a record that comes again: refused as before, because nobody holds it then, and else known."""
    if outcome.status is Status.REFUSED:
        return msgspec.structs.replace(outcome, signature=signed.signature)
    return Outcome(signed.signature, Status.KNOWN, signed.record)
