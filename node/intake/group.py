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
    repeats: dict[int, int] = msgspec.field(default_factory=dict)
    """Positions of records that come twice, with the first position of the same record."""

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

    def refuse_repeats(self) -> None:
        """A repeat of a record that was refused is refused like it, because the node does not hold the record."""
        for position, first in self.repeats.items():
            outcome, repeat = self.outcomes[first], self.outcomes[position]
            if outcome is not None and repeat is not None and outcome.status is Status.REFUSED:
                self.outcomes[position] = msgspec.structs.replace(outcome, signature=repeat.signature)

    def settled(self) -> list[Outcome]:
        """The outcomes of all submissions. No record is left without one."""
        outcomes = [outcome for outcome in self.outcomes if outcome is not None]
        assert len(outcomes) == len(self.outcomes), "every submission has its outcome"
        return outcomes
