"""Commits: one writer that makes durable whatever has been decided since it last looked (group commit, DeWitt et al.,
1984).

The longer a commit takes, the more the next one carries, so one `fdatasync` serves all who waited. Commits keep the
order of decisions. When one fails, memory is ahead of the disk for good: nothing more is taken, and the node stops.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from node.indexes import Indexes
from node.intake.ledger import Ledger
from node.monitoring.metrics import Writes
from node.store.contract import Batch, LabelKey, Store, StoredRecord
from protocol.errors import Code, ProtocolError
from protocol.records.change import Event
from protocol.records.record import SignedRecord

_IDS_AT_ONCE: Final = 1_000


class Decided:
    """What one group changes: a batch for the store, and the heads that it moves, for those who show them.

    `moved` has the record of each event of the batch, under its stored signature; `complete` brings in those that were
    held before and are heads again. `first_seq` is the number of the first event in the store, once the group is
    committed; 0 before, and where there is none.
    """

    def __init__(self) -> None:
        self.batch = Batch()
        self.heads: dict[LabelKey, SignedRecord] = {}
        self.moved: list[SignedRecord] = []
        self.first_seq = 0

    def write(self, key: LabelKey, ledger: Ledger, taken: Sequence[StoredRecord]) -> None:
        """Enter what a ledger changed by taking these records; one of them, or one held before, may have become the
        head.
        """
        if not taken:
            return
        self.batch.records += taken
        self.batch.states[key] = ledger.state
        self.batch.events += ledger.events
        if len(ledger.verdicts) > len(taken):
            new = {stored.signed.record.id for stored in taken}
            self.batch.verdicts |= {it: verdict for it, verdict in ledger.verdicts.items() if it not in new}
        if ledger.events:
            self.moved += _moved(ledger.events, taken)
            self.heads[key] = self.moved[-1]

    @property
    def incomplete(self) -> list[str]:
        """The ids of records held before that have still to be read: replay did without their bodies."""
        return [it.record.id for it in self.moved if not it.signature]

    def complete(self, held: dict[str, StoredRecord]) -> None:
        """Put these in their places, whole."""
        self.moved = [it if it.signature else held[it.record.id].signed for it in self.moved]
        self.heads = {key: it if it.signature else held[it.record.id].signed for key, it in self.heads.items()}
        self.batch.events = [
            msgspec.structs.replace(event, record=it.record)
            for event, it in zip(self.batch.events, self.moved, strict=True)
        ]

    def merge(self, later: "Decided") -> None:
        self.batch.records += later.batch.records
        self.batch.verdicts |= later.batch.verdicts
        self.batch.states |= later.batch.states
        self.batch.events += later.batch.events
        self.heads |= later.heads
        self.moved += later.moved


class Commits:
    """The queue to the disk. `uncommitted` holds the ids decided and not durable yet, `failed` ends with the store's
    error, `writes` counts what was committed.

    `watchers` are called after each group's commit, in the order of events, before anybody is answered. The queue is
    bounded by ingest's room.
    """

    def __init__(self, store: Store, indexes: Indexes, records_max: int) -> None:
        self.uncommitted: set[str] = set()
        self.writes = Writes()
        self.watchers: list[Callable[[Decided], None]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store = store
        self._indexes = indexes
        self._records_max = records_max
        self._queue: deque[tuple[Decided, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._writer = asyncio.create_task(self._write_forever(), name="commits")

    def enqueue(self, decided: Decided) -> asyncio.Future[None]:
        """Queue for the next commit; done when it is durable.

        Raises:
            ProtocolError: `overloaded` where the store failed before.
        """
        if self._writer.done():
            raise _stopping()
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.uncommitted.update(stored.signed.record.id for stored in decided.batch.records)
        self._queue.append((decided, committed))
        self._wake.set()
        return committed

    async def drained(self) -> None:
        """Wait until everything decided so far is durable."""
        if self.uncommitted or self._queue:
            await self.enqueue(Decided())

    async def close(self) -> None:
        """Make durable what was decided, then stop. Nothing may be decided after it. Where the store fails even now,
        `failed` says so, and whoever waits for a commit hears it.
        """
        if not self._writer.done():
            with contextlib.suppress(ProtocolError):
                await self.drained()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                groups = self._next_groups()
                try:
                    await self._commit(groups)
                except Exception as error:  # the disk's: memory is ahead of it for good
                    self._fail(error, groups)
                    return

    def _next_groups(self) -> list[tuple[Decided, asyncio.Future[None]]]:
        groups = [self._queue.popleft()]
        size = len(groups[0][0].batch.records)
        while self._queue and size + len(self._queue[0][0].batch.records) <= self._records_max:
            groups.append(self._queue.popleft())
            size += len(groups[-1][0].batch.records)
        return groups

    async def _commit(self, groups: list[tuple[Decided, asyncio.Future[None]]]) -> None:
        merged = Decided()
        for decided, _ in groups:
            merged.merge(decided)
        if merged.batch.records:
            last_seq = await self._store_batch(merged.batch)
            for decided, _ in groups:
                await self._complete(decided)
            _number([decided for decided, _ in groups], last_seq - len(merged.batch.events))
        self._indexes.add(stored.signed.record for stored in merged.batch.records)
        self.uncommitted.difference_update(stored.signed.record.id for stored in merged.batch.records)
        for decided, committed in groups:
            for watch in self.watchers:
                watch(decided)
            if not committed.done():
                committed.set_result(None)

    async def _complete(self, decided: Decided) -> None:
        ids = decided.incomplete
        if ids:
            held: dict[str, StoredRecord] = {}
            for begin in range(0, len(ids), _IDS_AT_ONCE):
                held |= await self._store.records(ids[begin : begin + _IDS_AT_ONCE])
            decided.complete(held)

    async def _store_batch(self, batch: Batch) -> int:
        """Returns the number of the store's last event."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        last_seq = await self._store.commit(batch)
        self.writes.commit_s.observe(loop.time() - begun)
        self.writes.commit_records.observe(len(batch.records))
        self.writes.events.update(event.type for event in batch.events)
        return last_seq

    def _fail(self, error: Exception, groups: list[tuple[Decided, asyncio.Future[None]]]) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
        for _, committed in (*groups, *self._queue):
            if not committed.done():
                committed.set_exception(_stopping())
        self._queue.clear()


def _moved(events: Sequence[Event], taken: Sequence[StoredRecord]) -> list[SignedRecord]:
    """The signed record of each event; of one that was held before, as far as it is known."""
    if len(events) == len(taken) and all(map(_is_of, events, taken)):  # each moved the head, in order: nearly always so
        return [stored.signed for stored in taken]
    fresh = {stored.signed.record.id: stored.signed for stored in taken}
    return [fresh.get(event.record.id) or SignedRecord("", event.record) for event in events]


def _is_of(event: Event, stored: StoredRecord) -> bool:
    return event.record is stored.signed.record


def _number(groups: Sequence[Decided], seq: int) -> None:
    """Tell each group what its first event is numbered; `seq` is the last number before all of them."""
    for decided in groups:
        if decided.batch.events:
            decided.first_seq = seq + 1
            seq += len(decided.batch.events)


def _stopping() -> ProtocolError:
    return ProtocolError(Code.OVERLOADED, "the store failed, and this node is stopping: ask another", retry_after=60)
