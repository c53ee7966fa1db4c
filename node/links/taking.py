"""Taking: the records of one frame on their way through the pipeline, and what the link is told became of them.

On a link a record is the very bytes that were signed, so another spelling is refused here, before anything is paid for
it. Everything else is the pipeline's to decide, as for records that come any other way.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from node.intake.arrivals import Origin, Outcome, Status, Submission
from node.intake.ingest import Ingest
from protocol.errors import TRANSIENT, Code, ProtocolError
from protocol.link.messages import Item
from protocol.link.orders import Taken
from protocol.records.record import Record, decode

_TURN_RECORDS: Final = 64
"""Records decoded before other tasks get a turn."""

_NO_RECORD: Final = Taken(None, None, None, Code.MALFORMED)


class Haul(msgspec.Struct, frozen=True):
    """What became of a frame: a result for each record, in order; the ids of those that were here before."""

    results: list[Taken]
    known: tuple[str, ...]

    @property
    def accepted(self) -> int:
        return sum(result.refusal is None for result in self.results) - len(self.known)

    @property
    def refused(self) -> tuple[str, ...]:
        """The ids of those that will never be taken."""
        return tuple(
            each.id for each in self.results if each.id and each.refusal is not None and each.refusal not in TRANSIENT
        )


async def take(ingest: Ingest, items: Sequence[Item], origin: Origin) -> Haul:
    """Take these in; returns after the commit of what was accepted."""
    records = await _decoded(items)
    submissions = [
        Submission(item.signature, record.canonical, record)
        for item, record in zip(items, records, strict=True)
        if record is not None
    ]
    outcomes = await _outcomes(ingest, submissions, origin)
    known = tuple(each.id for each in outcomes if each.status is Status.KNOWN and each.id is not None)
    return Haul(list(_results(records, outcomes)), known)


async def _decoded(items: Sequence[Item]) -> list[Record | None]:
    """The record of each item; None where the bytes are none, or are not canonical."""
    records: list[Record | None] = []
    for position, item in enumerate(items):
        if position % _TURN_RECORDS == _TURN_RECORDS - 1:
            await asyncio.sleep(0)
        body = item.body
        try:
            record = decode(body)
        except ProtocolError:
            records.append(None)
        else:
            records.append(record if record.canonical == body else None)
    return records


async def _outcomes(ingest: Ingest, submissions: Sequence[Submission], origin: Origin) -> list[Outcome]:
    """What the pipeline says; where it takes nothing for now, that is said of every record."""
    if not submissions:
        return []
    try:
        return await ingest.take(submissions, origin)
    except ProtocolError as error:
        return [Outcome.refused(each.signature, error) for each in submissions]


def _results(records: Sequence[Record | None], outcomes: Sequence[Outcome]) -> Iterator[Taken]:
    decided = iter(outcomes)
    for record in records:
        if record is None:
            yield _NO_RECORD
            continue
        code = next(decided).code
        is_reserved = code is Code.MALFORMED and record.is_reserved
        yield Taken(record.id, record.domain, record.timestamp, code, is_reserved)
