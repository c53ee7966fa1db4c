"""`PostgresStore`: a `Store` on a PostgreSQL server.

One session writes, and a few read. What 201 means is up to the server: `synchronous_commit` and its replicas decide
when a commit returns. If the connection ends within a COMMIT, nobody knows whether the batch is stored. Then, as after
any other failure, the store takes no further batch and the node stops: it has answered nobody.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg

from node.store.contract import (
    EVERYTHING,
    RECORDS_MAX,
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
    StoreError,
)
from node.store.postgresql import reading, recalling, usage, writing
from node.store.postgresql.removals import PostgresRemovals
from node.store.postgresql.schema import migrate
from node.store.postgresql.session import SESSION_IDLE_S, connect, connect_pool, explained, place_of
from node.store.postgresql.writership import Writership
from protocol.records.admission import Amount
from protocol.records.named_keys import ManyKeys
from protocol.records.record import SignedRecord
from protocol.records.replay import State
from protocol.witness.recall import Known, Overview, Spoken, Wanted

_P = ParamSpec("_P")
_T = TypeVar("_T")

_READERS: Final = 4

_BEAT_S: Final = SESSION_IDLE_S / 3
"""How often the writer's session says that it is alive."""


class PostgresStore:
    """The store on a server, made by `open`. `node.store.contract.Store` describes the methods."""

    def __init__(
        self, url: str, epoch: str, writer: asyncpg.Connection, writership: Writership, readers: asyncpg.Pool
    ) -> None:
        self.epoch = epoch
        self._url = url
        self._writer = writer
        self._writership = writership
        self._readers = readers
        self.removals = PostgresRemovals(self._read, self._write)
        self._turn = asyncio.Lock()
        self._last: writing.Position | None = None
        self._warnings: list[str] = []
        self._writes: set[asyncio.Future[Any]] = set()
        writer.add_log_listener(self._on_log)
        self._beating = asyncio.create_task(self._beat(), name="heartbeat of the store")

    @classmethod
    async def open(
        cls, url: str, token_bytes: Callable[[int], bytes] = secrets.token_bytes, holder: str = "a node"
    ) -> "PostgresStore":
        """Open the database, and take the right to write. `holder` tells people who has it.

        Raises:
            StoreError: the database cannot be used, or another node writes to it.
        """
        writer = await connect(url, is_writer=True)
        try:
            with explained(url):
                await migrate(writer)
                writership = await Writership.take(writer, holder)
                epoch = await writing.put_epoch(writer, token_bytes(16).hex())
            readers = await connect_pool(url, _READERS)
        except BaseException:
            await writer.close()
            raise
        return cls(url, epoch, writer, writership, readers)

    async def close(self) -> None:
        self._beating.cancel()
        await asyncio.gather(self._beating, *self._writes, return_exceptions=True)
        await self._readers.close()
        await self._writer.close()

    async def commit(self, batch: Batch) -> int:
        return await self._finish(self._commit(batch))

    async def _commit(self, batch: Batch) -> int:
        last, full = await self._write_in_turn(self._commit_once, batch)
        self._last = last
        for named in full:
            named.on_stored()
        return last.event

    async def _commit_once(
        self, connection: asyncpg.Connection, batch: Batch
    ) -> tuple[writing.Position, Iterable[ManyKeys]]:
        last, self._last = self._last or await writing.last_position(connection), None  # None stays if the commit fails
        return await writing.commit(connection, batch, last, self._writership.term)

    async def domain_usage(self) -> dict[str, Amount]:
        return await self._read(usage.of_domains)

    async def key_usage(self, keys: Sequence[str]) -> dict[str, Amount]:
        return await self._read(usage.of_keys, keys)

    async def largest_keys(self, domain: str | None, limit: int) -> list[tuple[str, Amount]]:
        return await self._read(usage.largest_keys, domain, limit)

    async def states(self, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
        return await self._read(reading.states, labels)

    async def history(self, domain: str, label: str) -> list[Past]:
        return await self._read(reading.history, domain, label)

    async def outline(self, domain: str, label: str) -> Outline:
        return await self._read(reading.outline, domain, label)

    async def overview(self, domain: str) -> Overview:
        return await self._read_one_moment(recalling.overview, domain)

    async def known(self, domain: str, wanted: Wanted) -> Known:
        return await self._read_one_moment(recalling.known, domain, wanted)

    async def spoken(self, domain: str, witness: str, receipt_id: str | None) -> Spoken:
        return await self._read_one_moment(recalling.spoken, domain, witness, receipt_id)

    async def records(self, ids: Sequence[str], bytes_max: int | None = None) -> dict[str, StoredRecord]:
        assert len(ids) <= RECORDS_MAX
        return await self._read(reading.records, ids, bytes_max)

    async def held(self, ids: Sequence[str]) -> frozenset[str]:
        assert len(ids) <= RECORDS_MAX
        return await self._read(reading.held, ids)

    async def head(self, domain: str, label: str) -> ShownRecord | None:
        return await self._read(reading.head, domain, label)

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

    async def heads_of_owner(
        self,
        owner: str,
        domain: str | None,
        after: LabelKey | None,
        since: int,
        limit: int,
        bytes_max: int | None = None,
    ) -> list[SignedRecord]:
        return await self._read(reading.heads, reading.Page(domain, after, since, limit, "", bytes_max, owner))

    async def labels_founded(self, founders: Sequence[Founder]) -> dict[Founder, int]:
        return await self._read(reading.labels_founded, founders)

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
        return await self._read(reading.peers)

    async def put_peer(self, peer: Peer) -> None:
        await self._write(writing.put_peer, peer)

    async def pin_peer(self, name: str, key: str) -> bool:
        return await self._write(writing.pin_peer, name, key)

    async def remove_peer(self, name: str) -> bool:
        return await self._write(writing.remove_peer, name)

    async def cursors(self) -> list[Cursor]:
        return await self._read(reading.cursors)

    async def put_cursors(self, cursors: Sequence[Cursor]) -> None:
        await self._write(writing.put_cursors, cursors)

    async def _read(
        self,
        work: Callable[Concatenate[reading.Reader, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        with explained(self._url):
            return await work(self._readers, *args, **kwargs)

    async def _read_one_moment(
        self,
        work: Callable[Concatenate[reading.Reader, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """All statements of the work see the database as the first of them does."""
        with explained(self._url):
            async with self._readers.acquire() as session, session.transaction(isolation="repeatable_read"):
                return await work(session, *args, **kwargs)

    async def _write(
        self,
        work: Callable[Concatenate[asyncpg.Connection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Do the work in one transaction of this term. Calls take their turns in order."""
        return await self._finish(self._write_in_turn(work, *args, **kwargs))

    async def _finish(self, writing: Coroutine[Any, Any, _T]) -> _T:
        """A cancelled caller does not stop the work, so that no commit is left half done."""
        task = asyncio.ensure_future(writing)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _write_in_turn(
        self,
        work: Callable[Concatenate[asyncpg.Connection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        async with self._turn:
            self._warnings.clear()
            with explained(self._url):
                async with self._writer.transaction():
                    await self._writership.check(self._writer)
                    result = await work(self._writer, *args, **kwargs)
            self._check_warnings()
        return result

    def _check_warnings(self) -> None:
        """A COMMIT whose wait for a replica was cancelled succeeds with a warning, though the replica may lack it.

        Raises:
            StoreError: the server warned.
        """
        if self._warnings:
            raise StoreError(
                f"{place_of(self._url)}: the server does not know whether the commit is safe: {self._warnings[0]}",
                "see the server's log and its replicas",
            )

    def _on_log(self, _: Any, message: asyncpg.PostgresLogMessage) -> None:
        if message.severity_en == "WARNING":
            self._warnings.append(message.message)

    async def _beat(self) -> None:
        """Keep the session from ending while nothing is written."""
        while True:
            await asyncio.sleep(_BEAT_S)
            async with self._turn:
                await self._writer.execute("SELECT 1")
