"""Taking: the records of one frame go through the pipeline, and every record gets an outcome for the link."""

from collections.abc import Sequence

from node.intake.arrivals import Origin, Submission
from node.intake.group import refuse_all
from node.intake.ingest import Ingest
from protocol.errors import TRANSIENT, ProtocolError
from protocol.link.messages import Item
from protocol.records.outcome import Outcome, Status


async def take(ingest: Ingest, items: Sequence[Item], origin: Origin) -> list[Outcome]:
    """Take these records in; returns one outcome for each, in their order, after the commit of the accepted ones.

    If the pipeline takes nothing now, every record is refused with the reason, because the peer needs the ids.
    """
    submissions = [Submission(item.signature, item.body) for item in items]
    try:
        return await ingest.take(submissions, origin)
    except ProtocolError as error:
        return await refuse_all(submissions, origin, error)


def known_ids(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The ids of the records that this node held before."""
    return tuple(each.id for each in outcomes if each.status is Status.KNOWN and each.id is not None)


def refused_ids(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The ids of the records that this node will never take."""
    return tuple(
        each.id for each in outcomes if each.code is not None and each.code not in TRANSIENT and each.id is not None
    )
