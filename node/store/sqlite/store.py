"""`SqliteStore`: the default `Store` of a node.

One connection writes and two connections read, each in its own thread. In WAL mode readers see the last commit and
block nobody. `synchronous = FULL` makes a commit survive a power cut (https://sqlite.org/wal.html). Other programs may
write to the peers table at any time. The caller must keep a second node away from the file, because the writer numbers
rows by itself.

If another program holds the write lock, the disk has not failed: SQLite says `SQLITE_BUSY` and writes nothing. The
store tries the call again until the lock ends.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import structlog

from node.store.contract import (
    EVERYTHING,
    RECORDS_MAX,
    STATES_FEW,
    Batch,
    Cursor,
    Founder,
    LabelKey,
    Outline,
    Past,
    Peer,
    Selection,
    ShownRecord,
    StoredEvent,
    StoredRecord,
)
from node.store.sqlite import reading, recalling, usage, writing
from node.store.sqlite.connection import Connect, Connection, InlineConnection, InlineReader, Worker, is_busy
from node.store.sqlite.deriving import derive_missing
from node.store.sqlite.faults import explain
from node.store.sqlite.files import OpenFiles, check_finished
from node.store.sqlite.handwritten import SkippedRow
from node.store.sqlite.known_labels import KnownLabels
from node.store.sqlite.long_log import IDLE_S, LOG_PAGES, fill_log
from node.store.sqlite.readers import Readers
from node.store.sqlite.removals import SqliteRemovals
from node.store.sqlite.schema import migrate
from node.store.sqlite.usage import Tail
from protocol.records.admission import Amount
from protocol.records.record import SignedRecord
from protocol.records.replay import State
from protocol.witness.recall import Known, Overview, Spoken, Wanted
from protocol.witness.testimony import Evidence

_P = ParamSpec("_P")
_T = TypeVar("_T")

_READERS = 2

KEYS_FEW: Final = 1_000
"""Keys of a label that are read in the loop's thread, in 0.6 ms. A listed peer may have a label name any number, and
30,000 held the loop for 17 ms.
"""

ROWS_FEW: Final = 500
"""Rows of witnessed labels that are read in the loop's thread, in 2 ms. Anybody may make a label of their own domain as
long as they like: 10,000 records held the loop for 0.2 s.
"""

_SLOW_READ_S = 0.002
"""A read in the loop's thread that takes longer shows that the disk is slow: cold pages took at most 5.7 ms, with p99
0.5 ms, at 1,000,000 labels on a local disk."""

_SLOW_S = 1.0
"""Seconds after a slow read in which the threads of the readers do all reading."""

LABELS_AT_OPEN: Final = 10_000
"""Labels that are read when the store is opened, in about 10 ms, so that the filter of a small store is complete."""

LABELS_AT_ONCE: Final = 1_000
"""Labels of a larger store that are read at once afterwards. A commit that comes meanwhile waits 1 ms longer."""

_LABELS_PAUSE_S = 0.003
"""Between two such reads, so that commits have most of the time: 6 s for 1,000,000 labels, 1.2 s of them of a core."""

_SKIPPED_MAX = 100
"""Rows that the log warns of."""

log = structlog.get_logger()

_BUSY_PAUSE_S = 0.05
"""Between two tries of a call, while another program holds the database."""

_WRITER_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",  # so that what is erased or moved leaves no bytes in free places
    f"wal_autocheckpoint = {LOG_PAGES}",
    "temp_store = MEMORY",  # an INSERT of many rows keeps a journal of its own: less system time without a file
    "cache_size = -65536",  # KiB: ids fall anywhere in their index, and this holds the inner pages of many millions
)
_READER_PRAGMAS = ("query_only = ON",)


class SqliteStore:
    """The embedded store, made by `open`. `node.store.contract.Store` describes the methods."""

    def __init__(
        self,
        epoch: str,
        files: OpenFiles,
        writer: Worker,
        readers: Sequence[Worker],
        inline: InlineReader,
        known_labels: KnownLabels,
    ) -> None:
        self.epoch = epoch
        self.outages = None
        self._files = files
        self._skipped: set[SkippedRow] = set()
        self._writer = writer
        self._connections = [writer, *readers]
        self._readers = Readers(readers)
        self._inline = inline
        self._last: writing.LastNumbers | None = None
        self._tail: Tail | None = None
        self._recent = writing.RecentNumbers()
        self.removals = SqliteRemovals(self._read, self._write, self._settle_usage)
        self._inline_again_s = float("-inf")
        self._known_labels = known_labels
        self._is_loading_labels = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock = asyncio.get_running_loop().time

    @classmethod
    async def open(
        cls,
        path: Path,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        connect: Connect = Connection.open,
        connect_inline: Callable[..., InlineReader] = InlineConnection,
        labels_at_open: int = LABELS_AT_OPEN,
    ) -> "SqliteStore":
        """Open the database file; create it if it is absent. Its folder must exist.

        `token_bytes` draws the epoch of a new store. `connect` opens the connections, each with its own thread;
        `connect_inline` opens the connection for short reads in the thread of the loop. Up to `labels_at_open` labels
        are in the filter of labels when this returns.

        Raises:
            StoreError: the file cannot be used, for example because a newer program wrote it.
        """
        check_finished(path)
        opened: list[Worker] = []
        try:
            opened.append(await connect(path, *_WRITER_PRAGMAS))
            await opened[0].run(migrate)
            await opened[0].run(derive_missing)
            known_labels = KnownLabels()
            await opened[0].run(known_labels.load, labels_at_open)
            epoch = await opened[0].run(writing.put_epoch, token_bytes(16).hex())
            while len(opened) <= _READERS:
                opened.append(await connect(path, *_READER_PRAGMAS))
            inline = connect_inline(path, *_READER_PRAGMAS)
        except BaseException as error:
            await _close(opened)
            if isinstance(error, sqlite3.Error):
                raise explain(error, path) from error
            raise
        store = cls(epoch, OpenFiles(path), opened[0], opened[1:], inline, known_labels)
        store._complete_known_labels()
        return store

    def fill_log(self, path: Path, idle_s: float = IDLE_S) -> None:
        """Give the log its full size, after `idle_s` seconds without a commit. `path` is that of the database."""
        self._start(fill_log(self._writer, path, lambda: self._last, idle_s), "log")

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do this work in a task that ends with the store at the latest."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _complete_known_labels(self) -> None:
        """Read the labels of a large store into the filter, if they are not there and are not being read."""
        if not (self._known_labels.is_complete or self._is_loading_labels):
            self._is_loading_labels = True
            self._start(self._load_known_labels(), "labels")

    async def _load_known_labels(self) -> None:
        """After an error of the disk, the filter denies nothing."""
        with suppress(sqlite3.Error):
            while not self._known_labels.is_complete:
                await asyncio.sleep(_LABELS_PAUSE_S)
                await self._write(self._known_labels.load, LABELS_AT_ONCE)
            self._is_loading_labels = False

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._inline.close()
        await _close(self._connections)

    async def commit(self, batch: Batch) -> int:
        last_event = await _patiently(self._writer, self._commit, batch)
        self._complete_known_labels()
        return last_event

    def _commit(self, connection: sqlite3.Connection, batch: Batch) -> int:
        """Runs in the writer's thread. If the file was removed or replaced, SQLite writes on and nothing is kept."""
        last, self._last = self._last or writing.last_numbers(connection), None  # None stays if the commit fails
        tail = self._take_tail(connection)
        self._known_labels.add(batch.states.keys() - (batch.held_labels or ()))
        self._last = writing.commit(connection, batch, last, tail, self._recent)
        self._tail = tail
        self._files.check()
        return self._last.event

    def _take_tail(self, connection: sqlite3.Connection) -> Tail:
        """The counts that are not in the database yet. They are counted anew if the caller fails to put them back."""
        tail, self._tail = self._tail or Tail.load(connection), None
        return tail

    async def domain_usage(self) -> dict[str, Amount]:
        return await self._write(self._with_tail, usage.of_domains)

    async def key_usage(self, keys: Sequence[str]) -> dict[str, Amount]:
        return await self._write(self._with_tail, usage.of_keys, keys)

    async def largest_keys(self, domain: str | None, limit: int) -> list[tuple[str, Amount]]:
        await self._settle_usage()
        return await self._read(usage.largest_keys, domain, limit)

    async def _settle_usage(self) -> None:
        await self._write(self._with_tail, usage.settle)

    def _with_tail(
        self,
        connection: sqlite3.Connection,
        work: Callable[Concatenate[sqlite3.Connection, Tail, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Runs in the writer's thread, so that no commit is under way."""
        tail = self._take_tail(connection)
        result = work(connection, tail, *args, **kwargs)
        self._tail = tail
        return result

    async def states(self, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
        if len(labels) <= STATES_FEW:
            labels = self._known_labels.among(labels)
            if not labels:
                return {}
            try:
                return await self._read_quickly(reading.states, labels, KEYS_FEW)
            except reading.ManyKeysError:
                return await self._read(reading.states, labels)
        return await self._read(self._states, labels)

    def _states(self, connection: sqlite3.Connection, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
        """Runs in a reader's thread, because the filter takes 1 ms for 1,000 labels."""
        return reading.states(connection, self._known_labels.among(labels))

    async def history(self, domain: str, label: str) -> list[Past]:
        return await self._read(reading.history, domain, label)

    async def outline(self, domain: str, label: str) -> Outline:
        return await self._read(reading.outline, domain, label)

    async def overview(self, domain: str) -> Overview:
        return await self._read(recalling.overview, domain)

    async def known(self, domain: str, wanted: Wanted) -> Known:
        is_short = len(wanted.labels) + len(wanted.ids) + len(wanted.places) <= STATES_FEW
        if is_short:
            with suppress(recalling.ManyRowsError):
                return await self._read_quickly(recalling.known, domain, wanted, ROWS_FEW)
        return await self._read(recalling.known, domain, wanted)

    async def last_said(self, domain: str, ids: Sequence[str], quorum: int) -> dict[str, Evidence]:
        assert len(ids) <= RECORDS_MAX
        return await self._read(recalling.last_said, domain, ids, quorum)

    async def spoken(self, domain: str, witness: str, receipt_id: str | None) -> Spoken:
        return await self._read(recalling.spoken, domain, witness, receipt_id)

    async def records(self, ids: Sequence[str], bytes_max: int | None = None) -> dict[str, StoredRecord]:
        assert len(ids) <= RECORDS_MAX
        return await self._read(reading.records, ids, bytes_max)

    async def held(self, ids: Sequence[str]) -> frozenset[str]:
        assert len(ids) <= RECORDS_MAX
        return await self._read(reading.held, ids)

    async def head(self, domain: str, label: str) -> ShownRecord | None:
        return await self._read_quickly(reading.head, domain, label)

    async def heads(
        self,
        domain: str | None,
        after: LabelKey | None,
        since: int,
        limit: int,
        prefix: str = "",
        bytes_max: int | None = None,
    ) -> list[SignedRecord]:
        return await self._read(reading.heads, reading.Page(domain, after, since, limit, prefix, bytes_max))

    async def labels_founded(self, founders: Sequence[Founder]) -> dict[Founder, int]:
        return await self._read(reading.labels_founded, founders)

    async def heads_of_owner(
        self,
        owner: str,
        domain: str | None,
        after: LabelKey | None,
        since: int,
        limit: int,
        bytes_max: int | None = None,
    ) -> list[SignedRecord]:
        return await self._read(reading.heads_of_owner, owner, reading.Page(domain, after, since, limit, "", bytes_max))

    async def keys(self) -> AsyncIterator[tuple[str, list[bytes]]]:
        last, page = await self._read(reading.keys, 0)
        while page:
            for domain, packed in page.items():
                yield domain, packed
            last, page = await self._read(reading.keys, last)

    async def events(
        self, after: int, limit: int, selection: Selection = EVERYTHING, through: int | None = None
    ) -> list[StoredEvent]:
        return await self._read(reading.events, after, limit, selection, through)

    async def last_event(self) -> int:
        return await self._read(reading.last_event)

    async def peers(self) -> list[Peer]:
        peers, skipped = await self._read(reading.peers)
        self._tell(skipped)
        return peers

    async def put_peer(self, peer: Peer) -> None:
        await self._write(writing.put_peer, peer)

    async def pin_peer(self, name: str, key: str) -> bool:
        return await self._write(writing.pin_peer, name, key)

    async def remove_peer(self, name: str) -> bool:
        return await self._write(writing.remove_peer, name)

    async def cursors(self) -> list[Cursor]:
        cursors, skipped = await self._read(reading.cursors)
        self._tell(skipped)
        return cursors

    async def put_cursors(self, cursors: Sequence[Cursor]) -> None:
        await self._write(writing.put_cursors, cursors)

    def _tell(self, skipped: Sequence[SkippedRow]) -> None:
        """Warn of each row once, because the tables are read every few seconds."""
        for row in skipped:
            if row not in self._skipped and len(self._skipped) < _SKIPPED_MAX:
                self._skipped.add(row)
                log.warning("a row written by hand is skipped", table=row.table, row=row.name, reason=row.reason)

    async def _read_quickly(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Read in this thread, which takes a few microseconds; while the disk is slow, give the work to a reader."""
        begun_s = self._clock()
        if begun_s >= self._inline_again_s:
            try:
                return self._inline.run(work, *args, **kwargs)
            except sqlite3.Error as error:
                if not is_busy(error):
                    raise
            finally:
                end_s = self._clock()
                if end_s - begun_s > _SLOW_READ_S:
                    self._inline_again_s = end_s + _SLOW_S
        return await self._read(work, *args, **kwargs)

    async def _read(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        return await _patiently(self._readers, work, *args, **kwargs)

    async def _write(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        return await _patiently(self._writer, work, *args, **kwargs)


async def _patiently(
    worker: Worker | Readers,
    work: Callable[Concatenate[sqlite3.Connection, _P], _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T:
    """Try the call again while another program holds the database."""
    while True:
        try:
            return await worker.run(work, *args, **kwargs)
        except sqlite3.Error as error:
            if not is_busy(error):
                raise
        await asyncio.sleep(_BUSY_PAUSE_S)


async def _close(connections: Sequence[Worker]) -> None:
    """Close the connections in reverse order. The writer closes last and moves the WAL into the file."""
    for connection in reversed(connections):
        await connection.close()
