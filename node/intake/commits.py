"""Commits: one writer makes durable everything that was decided since its last commit (group commit, DeWitt et al.,
1984).

The longer a commit takes, the more batches the next commit carries, so that one `fdatasync` serves all groups that
wait. A commit may wait a moment for further clients (`node.intake.commit_delay`). Commits keep the order of decisions.
If a commit fails, memory stays ahead of the disk for good: the node takes nothing more and stops.

A slow commit is not a failure: another program may hold the database, or the disk may be slow. The batch waits and is
committed later. Callers that do not want to wait get `overloaded` after some seconds.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Final, TypeVar

import msgspec

from node.indexes import Indexes
from node.intake.commit_delay import CommitDelay
from node.intake.counts import CommitCounts
from node.store.contract import Batch, Store, StoredEvent
from node.store.recent_records import RecentRecords
from protocol.errors import Code, ProtocolError
from protocol.records.change import Event

_Key = TypeVar("_Key")

_IDS_AT_ONCE: Final = 1_000

STALLED_S: Final = 5.0
"""A commit that takes longer than this is stalled: clients get `overloaded`, and health warns."""

CLOSING_S_MAX: Final = 2.0
"""How long a stopping node waits for its last commits. Nobody was told that they are durable."""


class Committed(msgspec.Struct, frozen=True):
    """What one group changed. It is durable; `events` are the events of the batch with their numbers in the store."""

    batch: Batch
    events: list[StoredEvent]


class _Queued(msgspec.Struct):
    """The batch of one group in the queue. `ids` are those of its records. `waits`: the group's source waits as long as
    the commit takes.
    """

    batch: Batch
    ids: list[str]
    committed: asyncio.Future[None]
    waits: bool


class Commits:
    """The queue to the disk.

    `uncommitted` holds the ids of records that are decided and not durable yet. `failed` ends with the store's error.
    `writes` counts what was committed. `recent` are the records that were announced lately. `is_stalled`: the commit
    under way takes longer than `STALLED_S`.

    `watchers` are called after the commit of each group, in the order of events, before any client is answered.
    `count_arrived` tells how many records are in the pipeline and not decided yet; the intake sets it. The room of the
    intake bounds the queue.
    """

    def __init__(
        self,
        store: Store,
        indexes: Indexes,
        records_max: int,
        stalled_s: float = STALLED_S,
        delay: CommitDelay | None = None,
    ) -> None:
        """`records_max`: records in one commit. `stalled_s`: seconds after which a commit is stalled. `delay`: how long
        a commit waits for more records.
        """
        self.uncommitted: set[str] = set()
        self.writes = CommitCounts()
        self.recent = RecentRecords()
        self.watchers: list[Callable[[Committed], None]] = []
        self.count_arrived: Callable[[], int] = lambda: 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store = store
        self._indexes = indexes
        self._records_max = records_max
        self._stalled_s = stalled_s
        self.is_stalled = False
        self._queue: deque[_Queued] = deque()
        self._queued_records = 0
        self._committing: list[_Queued] = []
        self._wake = asyncio.Event()
        self._delay = delay or CommitDelay()
        self._waiting: asyncio.Future[None] | None = None
        """Done when the wait of a commit for more records ends; None: no commit waits."""
        self._writer = asyncio.create_task(self._write_forever(), name="commits")

    def enqueue(self, batch: Batch, *, waits: bool = True) -> asyncio.Future[None]:
        """Queue a batch for the next commit; the future is done when the batch is durable.

        `waits`: the caller waits however long that takes. Otherwise the future ends with `overloaded` once the commits
        are stalled, and the batch is committed later.

        Raises:
            ProtocolError: `overloaded` if the store failed before.
        """
        if self._writer.done():
            raise _stopping()
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ids = [stored.signed.record.id for stored in batch.records]
        self.uncommitted.update(ids)
        self._queue.append(_Queued(batch, ids, committed, waits))
        self._queued_records += len(ids)
        self._wake.set()
        if self._waiting is not None and self._begins_now():
            _end(self._waiting)
        if self.is_stalled and not waits:
            committed.set_exception(stalled())
        return committed

    async def drain(self) -> None:
        """Wait until everything decided so far is durable. Raises: ProtocolError: `overloaded` while stalled."""
        if self._committing or self._queue:
            await self.enqueue(Batch(), waits=False)

    async def close(self) -> None:
        """Make durable what was decided, then stop. Nothing may be decided afterwards.

        If the store fails now, `failed` has the error, and so has every caller that waits for a commit.
        """
        if not self._writer.done():
            with contextlib.suppress(ProtocolError, TimeoutError):
                async with asyncio.timeout(CLOSING_S_MAX):
                    await self.drain()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        self._refuse_queued()

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                if not self._begins_now():
                    await self._wait_for_more()
                self._committing = self._next_batches()
                try:
                    await self._commit(self._committing)
                except Exception as error:  # of the disk: memory stays ahead of it for good
                    self._fail(error)
                    return
                self._committing = []

    async def _wait_for_more(self) -> None:
        """Wait for records that are likely to come at once (see `node.intake.commit_delay`)."""
        has_waited = False
        while wait_s := self._wait_s():
            has_waited = True
            await self._wait(wait_s)
        if has_waited:
            self._delay.on_waited(have_come=self._begins_now())

    async def _wait(self, wait_s: float) -> None:
        """Wait this long, or until the next commit begins now."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        end = loop.call_later(wait_s, _end, self._waiting)
        try:
            await self._waiting
        finally:
            self._waiting = None
            end.cancel()

    def _wait_s(self) -> float:
        if self._begins_now():
            return 0.0
        return self._delay.wait_s(self._queued_records, self.count_arrived(), asyncio.get_running_loop().time())

    def _begins_now(self) -> bool:
        """Whether the next commit waits for no more records: all that are expected are queued, or the commit is for a
        source that waits, such as a link, or for a caller of `drain`.
        """
        for each in self._queue:
            if each.waits or not each.ids:
                return True
        return self._delay.is_enough(self._queued_records)

    def _next_batches(self) -> list[_Queued]:
        batches = [self._queue.popleft()]
        size = len(batches[0].batch.records)
        while self._queue and size + len(self._queue[0].batch.records) <= self._records_max:
            batches.append(self._queue.popleft())
            size += len(batches[-1].batch.records)
        self._queued_records -= size
        return batches

    async def _commit(self, queued: Sequence[_Queued]) -> None:
        merged = queued[0].batch
        if len(queued) > 1:
            merged = Batch()
            for each in queued:
                merged.add(each.batch)
        last_seq = await self._store_batch(merged) if merged.records or merged.walked else 0
        first_seq = last_seq - len(merged.events) + 1
        told = []
        for each in queued:
            told.append(Committed(each.batch, await self._stored_events(each.batch, first_seq)))
            first_seq += len(each.batch.events)
        self._indexes.add([stored.signed.record for stored in merged.records])
        for each in queued:
            self.uncommitted.difference_update(each.ids)
        for each, committed in zip(queued, told, strict=True):
            for watch in self.watchers:
                watch(committed)
            if not each.committed.done():
                each.committed.set_result(None)

    async def _stored_events(self, batch: Batch, first_seq: int) -> list[StoredEvent]:
        """The events of a batch as the store has them.

        Records that were held before may be heads again, or be final now. Replay and the walk did without their bodies,
        so those that are not recent are read now.
        """
        events, records = batch.events, batch.records
        if batch.is_plain:
            return [
                StoredEvent(seq, event, stored.signed.signature)
                for seq, event, stored in zip(count(first_seq), events, records)
            ]
        entries = {stored.signed.record.id: stored.signed for stored in records}
        entries |= self.recent.get([event.record.id for event in events if event.record.id not in entries])
        missing = [event.record.id for event in events if event.record.id not in entries]
        for begin in range(0, len(missing), _IDS_AT_ONCE):
            found = await self._store.records(missing[begin : begin + _IDS_AT_ONCE])
            entries |= {record_id: stored.signed for record_id, stored in found.items()}
        stored = []
        for seq, event in enumerate(events, first_seq):  # a call for each would take half of the time
            signed = entries[event.record.id]
            whole = Event(event.type, signed.record, event.previous, event.reason)
            stored.append(StoredEvent(seq, whole, signed.signature))
        return stored

    async def _store_batch(self, batch: Batch) -> int:
        """Returns the number of the store's last event."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        stalling = loop.call_later(self._stalled_s, self._stall)
        try:
            last_seq = await self._store.commit(batch)
        finally:
            stalling.cancel()
            self.is_stalled = False
        ended = loop.time()
        self._delay.on_committed(len(batch.records) + self._queued_records, begun, ended)
        self.writes.commit_s.observe(ended - begun)
        self.writes.commit_records.observe(len(batch.records))
        for event in batch.events:
            self.writes.events[event.type] += 1
        return last_seq

    def _stall(self) -> None:
        """The commit under way takes too long: tell the callers that do not wait. No others enter meanwhile."""
        self.is_stalled = True
        for each in (*self._committing, *self._queue):
            if not each.waits and not each.committed.done():
                each.committed.set_exception(stalled())

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
        self._refuse_queued()

    def _refuse_queued(self) -> None:
        """Tell every caller that still waits that this node stops."""
        for each in (*self._committing, *self._queue):
            if not each.committed.done():
                each.committed.set_exception(_stopping())
        self._queue.clear()
        self._queued_records = 0


def count_off(uncommitted: Counter[_Key], keys: Iterable[_Key]) -> None:
    """Each of these keys was committed once more. `uncommitted` keeps those that were decided more often."""
    for key in keys:
        left = uncommitted.pop(key) - 1
        if left:
            uncommitted[key] = left


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def stalled() -> ProtocolError:
    """The error for clients while commits take too long."""
    detail = "this node has waited too long for its database: send the claim again later; it may be known by then"
    return ProtocolError(Code.OVERLOADED, detail, retry_after=int(STALLED_S))


def _stopping() -> ProtocolError:
    return ProtocolError(Code.OVERLOADED, "this node is stopping, and takes nothing more: ask another", retry_after=60)
