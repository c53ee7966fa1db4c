"""Parts of a group that are decided later than the rest of it: late records, and those of witnessed domains.

Parts of several groups are joined to one group for their decision. Its outcomes are handed back to the groups, and each
part is settled when they are on disk.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from node.intake.arrivals import BY_REQUEST, Delivery
from node.intake.group import Group
from node.store.contract import Batch
from protocol.errors import ProtocolError


class Deferred(msgspec.Struct, frozen=True):
    """Positions of a group that are decided later. `settled` is done when they have outcomes that are committed."""

    positions: frozenset[int]
    settled: Awaitable[object]

    def with_others(self, others: "Deferred | None") -> "Deferred":
        """These positions and others of the same group."""
        if others is None:
            return self
        return Deferred(self.positions | others.positions, asyncio.gather(self.settled, others.settled))


class Entry(msgspec.Struct, frozen=True):
    """Records of one group that are decided later, at once: those of one label, or of a witnessed domain."""

    group: Group
    positions: Sequence[int]
    settled: asyncio.Future[None]


def joined(entries: Sequence[Entry]) -> Group:
    """The records of these entries as one group, in their order."""
    places = _places(entries)
    records = [group.records[position] for group, position in places]
    return Group.of_records(records, [group.origins[position] for group, position in places], BY_REQUEST)


def hand_back(entries: Sequence[Entry], decided: Group) -> None:
    """Settle the records of these entries with the outcomes of the group that they were joined to."""
    for (group, position), outcome in zip(_places(entries), decided.settled(), strict=True):
        group.settle(position, outcome)


def _places(entries: Sequence[Entry]) -> list[tuple[Group, int]]:
    return [(entry.group, position) for entry in entries for position in entry.positions]


def wait_for_commits(entries: Sequence[Entry]) -> bool:
    """Whether everybody who brought these entries waits while commits fall behind (`Delivery.waits`)."""
    return all(entry.group.delivery.waits for entry in entries)


def announce_each(announce: Callable[[Batch, Delivery], None], entries: Sequence[Entry], batch: Batch) -> None:
    """Tell others of the new records of each group."""
    by_id = {stored.signed.record.id: stored for stored in batch.records}
    for entry in entries:
        ids = [outcome.id for at in entry.positions if (outcome := entry.group.outcomes[at]) is not None]
        new = [by_id.pop(record_id) for record_id in ids if record_id in by_id]
        announce(Batch(records=new), entry.group.delivery)


def settle(entries: Sequence[Entry], committed: asyncio.Future[None]) -> None:
    """The records of these entries are decided and committed, or the commit has failed."""
    error = None if committed.cancelled() else committed.exception()
    for entry in entries:
        if entry.settled.done():  # its client has gone
            continue
        if committed.cancelled():
            entry.settled.cancel()
        elif error is not None:
            entry.settled.set_exception(error)
        else:
            entry.settled.set_result(None)


def fail(entries: Sequence[Entry], error: BaseException) -> None:
    """Nothing becomes of these entries; whoever waits for one gets the error."""
    for entry in entries:
        if isinstance(error, asyncio.CancelledError):
            entry.settled.cancel()
        elif not entry.settled.done():
            entry.settled.set_exception(error)


def refuse(entries: Sequence[Entry], error: ProtocolError) -> None:
    """Refuse the records of these entries with this error."""
    for entry in entries:
        for position in entry.positions:
            entry.group.refuse(position, error)
        if not entry.settled.done():
            entry.settled.set_result(None)


def ignore(settled: asyncio.Future[None]) -> None:
    """Its error is for the caller, who may have gone."""
    if not settled.cancelled():
        settled.exception()
