"""A group: submissions that go through the pipeline together, and the one step that turns bytes into records."""

import asyncio
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from node.intake.arrivals import Origin, Submission
from protocol.errors import ProtocolError
from protocol.records.outcome import Outcome
from protocol.records.record import SignedRecord, check_signature_spelling, decode, decode_canonical

_TURN_RECORDS: Final = 64
"""Records that are decoded before other tasks get a turn: under 1 ms if their bytes are canonical already."""


class Group(msgspec.Struct):
    """Submissions on their way through the pipeline.

    A position is the place of a submission in the group. `records` holds the records that have no outcome yet, by
    position. `outcomes` holds the outcomes so far.
    """

    origin: Origin
    outcomes: list[Outcome | None]
    records: dict[int, SignedRecord]

    @classmethod
    async def decode(cls, submissions: Sequence[Submission], origin: Origin) -> Self:
        """Decode the bytes of these submissions; those that are not a record are refused."""
        group = cls(origin, [None] * len(submissions), {})
        to_record = decode if origin.link is None else decode_canonical
        for position, submission in enumerate(submissions):
            if position % _TURN_RECORDS == _TURN_RECORDS - 1:
                await asyncio.sleep(0)
            try:
                check_signature_spelling(submission.signature)
                group.records[position] = SignedRecord(submission.signature, to_record(submission.body))
            except ProtocolError as error:
                group.outcomes[position] = Outcome.refused(submission.signature, error)
        return group

    def refuse(self, position: int, error: ProtocolError) -> None:
        signed = self.records.pop(position)
        self.outcomes[position] = Outcome.refused(signed.signature, error, signed.record)

    def settle(self, position: int, outcome: Outcome) -> None:
        del self.records[position]
        self.outcomes[position] = outcome

    def settled(self) -> list[Outcome]:
        """The outcome of every submission, by position. No record is left without one."""
        outcomes = [outcome for outcome in self.outcomes if outcome is not None]
        assert len(outcomes) == len(self.outcomes), "every submission has its outcome"
        return outcomes


async def refuse_all(submissions: Sequence[Submission], origin: Origin, error: ProtocolError) -> list[Outcome]:
    """The outcomes of submissions that the pipeline does not take now: the error, for each that is a record."""
    group = await Group.decode(submissions, origin)
    for position in list(group.records):
        group.refuse(position, error)
    return group.settled()
