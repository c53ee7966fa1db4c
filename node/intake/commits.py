"""Commits: one writer that makes durable whatever has been decided since it last looked (group commit, DeWitt et al.,
1984).

The longer a commit takes, the more the next one carries, so one `fdatasync` serves all who waited. Commits keep the
order of decisions. When one fails, memory is ahead of the disk for good: nothing more is taken, and the node stops.

A commit that only takes long is no failure: another program may hold the database, or the disk may be slow. The batch
stays and is committed when that ends. Callers who do not want to wait are told `overloaded` after some seconds.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from node.indexes import Indexes
from node.intake.counts import CommitCounts
from node.intake.ledger import Ledger
from node.store.contract import Batch, LabelKey, Store, StoredRecord
from protocol.errors import Code, ProtocolError
from protocol.records.change import Event
from protocol.records.record import SignedRecord

_IDS_AT_ONCE: Final = 1_000

STALLED_S: Final = 5.0
"""A commit that takes longer than this is stalled: clients get `overloaded`, and health warns."""

CLOSING_S_MAX: Final = 2.0
"""How long a node that stops waits for its last commits. Nobody was told that they are durable."""


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


class _Group(msgspec.Struct):
    """A decided group in the queue. `waits`: its caller waits as long as the commit takes."""

    decided: Decided
    committed: asyncio.Future[None]
    waits: bool


class Commits:
    """The queue to the disk. `uncommitted` holds the ids decided and not durable yet, `failed` ends with the store's
    error, `writes` counts what was committed. `is_stalled`: the commit under way takes longer than `STALLED_S`.

    `watchers` are called after each group's commit, in the order of events, before anybody is answered. The queue is
    bounded by ingest's room.
    """

    def __init__(self, store: Store, indexes: Indexes, records_max: int, stalled_s: float = STALLED_S) -> None:
        """`records_max`: records in one commit. `stalled_s`: seconds after which a commit is stalled."""
        self.uncommitted: set[str] = set()
        self.writes = CommitCounts()
        self.watchers: list[Callable[[Decided], None]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store = store
        self._indexes = indexes
        self._records_max = records_max
        self._stalled_s = stalled_s
        self.is_stalled = False
        self._queue: deque[_Group] = deque()
        self._committing: list[_Group] = []
        self._wake = asyncio.Event()
        self._writer = asyncio.create_task(self._write_forever(), name="commits")

    def enqueue(self, decided: Decided, *, waits: bool = True) -> asyncio.Future[None]:
        """Queue for the next commit; done when it is durable. `waits`: the caller waits however long that takes;
        otherwise the future ends with `overloaded` once the commits are stalled, and the group is committed later.

        Raises:
            ProtocolError: `overloaded` where the store failed before.
        """
        if self._writer.done():
            raise _stopping()
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.uncommitted.update(stored.signed.record.id for stored in decided.batch.records)
        self._queue.append(_Group(decided, committed, waits))
        self._wake.set()
        if self.is_stalled and not waits:
            committed.set_exception(stalled())
        return committed

    async def drained(self) -> None:
        """Wait until everything decided so far is durable. Raises: ProtocolError: `overloaded` while stalled."""
        if self.uncommitted or self._queue:
            await self.enqueue(Decided(), waits=False)

    async def close(self) -> None:
        """Make durable what was decided, then stop. Nothing may be decided after it. Where the store fails even now,
        `failed` says so, and whoever waits for a commit hears it.
        """
        if not self._writer.done():
            with contextlib.suppress(ProtocolError, TimeoutError):
                async with asyncio.timeout(CLOSING_S_MAX):
                    await self.drained()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                self._committing = self._next_groups()
                try:
                    await self._commit(self._committing)
                except Exception as error:  # the disk's: memory is ahead of it for good
                    self._fail(error)
                    return

    def _next_groups(self) -> list[_Group]:
        groups = [self._queue.popleft()]
        size = len(groups[0].decided.batch.records)
        while self._queue and size + len(self._queue[0].decided.batch.records) <= self._records_max:
            groups.append(self._queue.popleft())
            size += len(groups[-1].decided.batch.records)
        return groups

    async def _commit(self, groups: Sequence[_Group]) -> None:
        merged = Decided()
        for group in groups:
            merged.merge(group.decided)
        if merged.batch.records:
            last_seq = await self._store_batch(merged.batch)
            for group in groups:
                await self._complete(group.decided)
            _number([group.decided for group in groups], last_seq - len(merged.batch.events))
        self._indexes.add(stored.signed.record for stored in merged.batch.records)
        self.uncommitted.difference_update(stored.signed.record.id for stored in merged.batch.records)
        for group in groups:
            for watch in self.watchers:
                watch(group.decided)
            if not group.committed.done():
                group.committed.set_result(None)

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
        stalling = loop.call_later(self._stalled_s, self._stall)
        try:
            last_seq = await self._store.commit(batch)
        finally:
            stalling.cancel()
            self.is_stalled = False
        self.writes.commit_s.observe(loop.time() - begun)
        self.writes.commit_records.observe(len(batch.records))
        self.writes.events.update(event.type for event in batch.events)
        return last_seq

    def _stall(self) -> None:
        """The commit under way takes too long: tell the callers who do not wait. Nobody else comes in meanwhile."""
        self.is_stalled = True
        for group in (*self._committing, *self._queue):
            if not group.waits and not group.committed.done():
                group.committed.set_exception(stalled())

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
        for group in (*self._committing, *self._queue):
            if not group.committed.done():
                group.committed.set_exception(_stopping())
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


def stalled() -> ProtocolError:
    """What a client hears while commits take too long."""
    detail = "this node has waited too long for its database: send the claim again later; it may be known by then"
    return ProtocolError(Code.OVERLOADED, detail, retry_after=int(STALLED_S))


def _stopping() -> ProtocolError:
    return ProtocolError(Code.OVERLOADED, "the store failed, and this node is stopping: ask another", retry_after=60)
