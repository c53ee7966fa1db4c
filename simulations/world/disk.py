"""Disks without threads, whose power can be cut: the node's own SQL runs on a database in memory.

A piece of work waits for its turn and for the disk. Then it runs as a whole in one turn of the loop. Its answer takes
as long again. So the database always holds exactly the commits so far. A power cut happens before a commit, or between
a commit and its answer: the database stays, and the caller that waited for the answer is gone. A disk that lies about
its writes is not simulated, because no store survives such a disk.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Concatenate, ParamSpec, TypeVar

from node.disk import FolderInUseError, TokenBytes
from node.store.contract import RECORDS_MAX, LabelKey, Past, Store
from node.store.sqlite import SqliteStore, reading
from protocol.records.record import SignedRecord
from protocol.sets.index import key_id
from protocol.witness.domain import WitnessedDomain

_P = ParamSpec("_P")
_T = TypeVar("_T")

FREE_BYTES = 2**40
"""Free space of a disk at first: 1 TiB, so that no disk fills up by itself."""

EVENTS_MAX = 1_000_000
"""Events that `count_events` reads: more than any run writes."""

BUSY_SHARE = 0.5
"""The share of inline reads that find the database busy, so that runs take both ways through the store."""

DiskError = sqlite3.OperationalError
"""The error that a failing disk raises. It is SQLite's."""


class VirtualDisk:
    """The disk of one machine. Its contents outlive the node.

    `is_failing`: every piece of work fails, as with a broken cable. `free`: free space in bytes.
    """

    def __init__(self, random: Random, latency_s: float = 0.0005) -> None:
        """`random`: draws how long each piece of work takes. `latency_s`: the mean time that half a piece of work
        takes, in seconds.
        """
        self.latency_s = latency_s
        self.is_failing = False
        self.free = FREE_BYTES
        self.commits = 0
        self.on_written: Callable[[], None] | None = None
        """Called when a file was written, before the writer is answered."""
        self._random = random
        self._secrets: dict[Path, str] = {}
        self._databases: dict[Path, sqlite3.Connection] = {}
        self._walks: dict[str, _Walk] = {}
        self._files: dict[Path, bytes] = {}
        self._holder: object | None = None

    @contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        if self._holder is not None:
            raise FolderInUseError(folder)
        holder = self._holder = object()
        try:
            yield
        finally:
            if self._holder is holder:
                self._holder = None

    def secret(self, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
        if path not in self._secrets:
            self._secrets[path] = token_bytes(size_bytes).hex()
        return self._secrets[path]

    def place_secret(self, path: Path, seed: bytes) -> None:
        """Store this key, as an operator does who brings it along. The node has not started yet."""
        self._secrets[path] = seed.hex()

    def place(self, path: Path, content: bytes | None) -> None:
        """Write a file, or remove it (None), as an operator does while the node is not running."""
        assert self._holder is None, "an operator does not replace the files of a running node"
        if content is None:
            self._files.pop(path, None)
        else:
            self._files[path] = content

    async def open_store(self, folder: Path, token_bytes: TokenBytes, url: str | None = None) -> Store:
        assert url is None, "a simulated node has a disk of its own"
        return await SqliteStore.open(folder / "dnarc.db", token_bytes, self.connect, self.connect_inline)

    async def read(self, path: Path) -> bytes | None:
        """The content of a file; None if the file does not exist."""
        return self._files.get(path)

    async def write(self, path: Path, content: bytes) -> None:
        """Replace the content of a file. A power cut leaves the old content or the new one."""
        await asyncio.sleep(self.draw_pause_s())
        if self.is_failing:
            raise DiskError("disk I/O error")
        self._files[path] = content
        if self.on_written is not None:
            self.on_written()
        await asyncio.sleep(self.draw_pause_s())

    def free_bytes(self, _folder: Path) -> int:
        return self.free

    async def connect(self, path: Path, *_pragmas: str) -> "VirtualWorker":
        """Connect to the database of this path. All connections share one database in memory, where pragmas about files
        and syncing have no effect.
        """
        database = self._databases.get(path)
        if database is None:
            database = self._databases[path] = sqlite3.connect(":memory:", isolation_level=None)
            database.execute("PRAGMA foreign_keys = ON")
        return VirtualWorker(self, database)

    def connect_inline(self, path: Path, *_pragmas: str) -> "VirtualInlineReader":
        """Connect to the same database as `connect` does."""
        return VirtualInlineReader(self, self._databases[path])

    def power_cut(self) -> None:
        """Release the disk from the node that held it. Everything that was committed stays."""
        self._holder = None

    def backup(self) -> dict[Path, bytes]:
        """Copies of all databases as they are committed now, by path."""
        return {path: database.serialize() for path, database in self._databases.items()}

    def restore(self, backup: dict[Path, bytes]) -> None:
        """Replace the databases by those of the backup. The node must not be running."""
        assert self._holder is None, "the files of a running node are not replaced"
        for path, image in backup.items():
            self._databases[path].deserialize(image)
        self._walks.clear()

    def records(self) -> list[SignedRecord]:
        """Every record on this disk, read past the node, as with the `sqlite3` shell."""
        found = []
        for database in self._databases.values():
            last, page = reading.keys(database, 0)
            while page:
                ids = [key_id(key).hex() for keys in page.values() for key in keys]
                for begin in range(0, len(ids), RECORDS_MAX):
                    stored = reading.records(database, ids[begin : begin + RECORDS_MAX], None)
                    found += [stored[record_id].signed for record_id in sorted(stored)]
                last, page = reading.keys(database, last)
        return found

    def erased(self) -> frozenset[bytes]:
        """The ids of all records on this disk whose bodies are erased."""
        sql = "SELECT id FROM erasures JOIN records ON records.no = record"
        return frozenset(row[0] for database in self._databases.values() for row in database.execute(sql))

    def walked(self, domain: str) -> WitnessedDomain:
        """A witnessed domain as its records on this disk give it, walked past the node."""
        return self._walks.setdefault(domain, _Walk(domain)).read(self._databases)

    def histories(self) -> dict[LabelKey, list[Past]]:
        """The stored records of each label, as far as replay needs them."""
        labels = dict.fromkeys((signed.record.domain, signed.record.label) for signed in self.records())
        return {key: reading.history(database, *key) for database in self._databases.values() for key in labels}

    def count_events(self, kind: str) -> int:
        """How many events of this type (`accepted` or `reverted`) are stored on this disk."""
        events = [it for database in self._databases.values() for it in reading.events(database, 0, EVENTS_MAX)]
        return sum(it.event.type == kind for it in events)

    def close(self) -> None:
        for database in self._databases.values():
            database.close()

    def draw_busy(self) -> bool:
        """Whether the next inline read finds the database busy."""
        return self._random.random() < BUSY_SHARE

    def draw_pause_s(self) -> float:
        """Seconds that the next half of a piece of work takes."""
        return min(self._random.expovariate(1.0), 10.0) * self.latency_s


class _Walk:
    """A witnessed domain, walked on as its records come to a disk."""

    def __init__(self, name: str) -> None:
        self._domain = WitnessedDomain(name)
        self._last: dict[Path, int] = {}

    def read(self, databases: Mapping[Path, sqlite3.Connection]) -> WitnessedDomain:
        """The domain with all records that are committed."""
        for path, database in databases.items():
            last, page = reading.keys(database, self._last.get(path, 0))
            while page:
                ids = [key_id(key).hex() for key in page.get(self._domain.name, ())]
                for begin in range(0, len(ids), RECORDS_MAX):
                    stored = reading.records(database, ids[begin : begin + RECORDS_MAX], None)
                    self._domain.add(each.signed.record for each in stored.values())
                self._last[path] = last
                last, page = reading.keys(database, last)
        return self._domain


class VirtualWorker:
    """A connection to a database of a virtual disk, in the place of `node.store.sqlite.connection.Worker`.

    `waiting`: pieces of work that are not answered yet.
    """

    def __init__(self, disk: VirtualDisk, database: sqlite3.Connection) -> None:
        self.waiting = 0
        self._disk = disk
        self._database = database
        self._free_s = 0.0

    async def run(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Do a piece of work in its turn, which is fixed by the moment of the call. A caller that is cancelled does not
        stop the work.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[_T] = loop.create_future()

        def carry_out() -> None:
            try:
                if self._disk.is_failing:
                    raise DiskError("disk I/O error")
                result = work(self._database, *args, **kwargs)
            except Exception as error:
                loop.call_at(done_s, _answer_with_error, answered, error)
            else:
                loop.call_at(done_s, _answer, answered, result)

        begin_s = max(loop.time(), self._free_s)
        carried_out_s = begin_s + self._disk.draw_pause_s()
        self._free_s = done_s = carried_out_s + self._disk.draw_pause_s()
        loop.call_at(carried_out_s, carry_out)
        self.waiting += 1
        try:
            return await answered
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Wait for the work that was begun. The database stays on the disk."""
        while self.waiting:
            with suppress(DiskError):  # whoever waits for that work hears of the disk
                await self.run(lambda _: None)


class VirtualInlineReader:
    """Reads in the caller's own turn of the loop, in the place of `node.store.sqlite.connection.InlineReader`."""

    def __init__(self, disk: VirtualDisk, database: sqlite3.Connection) -> None:
        self._disk = disk
        self._database = database

    def run(self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._disk.is_failing:
            raise DiskError("disk I/O error")
        if self._disk.draw_busy():
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return work(self._database, *args, **kwargs)

    def close(self) -> None:
        """Do nothing, because the database stays on the disk."""


def _answer(answered: "asyncio.Future[_T]", result: _T) -> None:
    if not answered.done():
        answered.set_result(result)


def _answer_with_error(answered: "asyncio.Future[_T]", error: Exception) -> None:
    if not answered.done():
        answered.set_exception(error)
