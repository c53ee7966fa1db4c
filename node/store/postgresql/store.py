"""`PostgresStore`: a `Store` on a PostgreSQL server.

One session writes, and a few read. What 201 means is up to the server: `synchronous_commit` and its replicas decide
when a commit returns. If the connection ends within a COMMIT, nobody knows whether the batch is stored. Then, as after
any other failure, the store takes no further batch and the node ends: it has answered nobody.

The store of a process that follows has no session that writes. It has a position instead: the last commit that the
process knows of. What is told of the store as a whole, its keys and its last event, is told as of that position.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Concatenate, Final, ParamSpec, TypeVar

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
from node.store.outage import Failure, Outage, Outages, Probing
from node.store.postgresql import reading, recalling, usage, writing
from node.store.postgresql.head_batches import HeadBatches
from node.store.postgresql.readers import Readers
from node.store.postgresql.removals import PostgresRemovals
from node.store.postgresql.session import SILENCE, AwayError, Silence, explained, failure_of
from node.store.postgresql.writer_session import WriterSession
from node.store.postgresql.writership import UNFINISHED_MOVE, Candidacy, another_writer
from protocol.limits import SAFE_INTEGER_MAX
from protocol.records.admission import Amount
from protocol.records.record import SignedRecord
from protocol.records.replay import State
from protocol.witness.recall import Known, Overview, Spoken, Wanted
from protocol.witness.testimony import Evidence

_P = ParamSpec("_P")
_T = TypeVar("_T")

READERS: Final = 4
"""Sessions that read. Each is a process of the server."""

_CLOSE_S_MAX: Final = 1.0
"""Seconds for the readers to end what they read. Then their connections are cut."""


class PostgresStore:
    """The store on a server, made by `open`. `node.store.contract.Store` describes the methods."""

    def __init__(
        self,
        url: str,
        epoch: str,
        readers: Readers,
        session: WriterSession | None,
        position: writing.Position | None = None,
        silence: Silence = SILENCE,
    ) -> None:
        """`session` writes; None: this process follows, from `position` on."""
        self.epoch = epoch
        self._url = url
        self._readers = readers
        self._session = session
        self._followed = position
        self._silence = silence
        away = Outage("reads")
        self.outages = Outages(away, Outage("writes") if session is None else session.outage)
        self._probing = Probing(away, self._probe)
        if session is not None:
            session.outage.watchers.append(self._on_outage_of_writes)
        self._heads = HeadBatches(lambda labels: self._read(reading.heads_of, labels))
        self.removals = PostgresRemovals(self._read, self._write, self._remove)

    @classmethod
    async def open(
        cls,
        url: str,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        holder: str = "a node",
        readers: int = READERS,
        silence: Silence = SILENCE,
    ) -> "PostgresStore":
        """Open the database, and take the right to write. `holder` tells people who has it. `readers`: sessions that
        read.

        Raises:
            StoreError: the database cannot be used, or another node writes to it.
        """
        candidacy = await Candidacy.open(url, silence)
        try:
            session = await candidacy.take_now(holder)
            if session is None:
                raise another_writer(await candidacy.holder())
        except BaseException:
            await candidacy.close()
            raise
        return await cls.lead(url, session, token_bytes, readers)

    @classmethod
    async def lead(
        cls,
        url: str,
        session: WriterSession,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        readers: int = READERS,
    ) -> "PostgresStore":
        """The store of the process that writes by this session. The session ends with the store.

        Raises:
            StoreError: the database cannot be used, or another process has taken over.
        """
        try:
            epoch = await session.write_in_turn(writing.noted(writing.put_epoch, token_bytes(16).hex()))
            sessions = await Readers.open(url, readers)
        except BaseException:
            await session.close()
            raise
        return cls(url, epoch, sessions, session, silence=session.silence)

    @classmethod
    async def follow(cls, url: str, silence: Silence = SILENCE) -> "PostgresStore":
        """The store of a process that follows, at the position of the last commit. A writer has opened it before.

        Raises:
            StoreError: the database cannot be used.
        """
        readers = await Readers.open(url, READERS)
        try:
            with explained(url):
                position = await writing.last_position(readers)
                meta = {row[0]: row[1] for row in await readers.fetch("SELECT name, value FROM meta")}
                if "epoch" not in meta or UNFINISHED_MOVE in meta:
                    raise StoreError("no node has written to this database yet", "wait until another one does")
        except BaseException:
            await readers.close()
            raise
        return cls(url, meta["epoch"], readers, None, position, silence)

    @property
    def lost(self) -> "asyncio.Future[StoreError]":
        """Gets the error when the session that writes has ended by itself."""
        return self._writer.lost

    async def close(self) -> None:
        try:
            await self._probing.close()
            if self._session is not None:
                await self._session.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S_MAX):
                    await self._heads.finish()
                    await self._readers.close()
        finally:
            self._readers.terminate()

    @property
    def position(self) -> writing.Position:
        """The last commit that this process wrote, or from which it follows."""
        position = self._followed if self._session is None else self._session.position
        assert position is not None, "a process that follows begins at a position, and a writer at its first write"
        return position

    @property
    def last_commit(self) -> int:
        """The number of the last commit that this process knows of."""
        return self.position.commit

    def reach(self, position: writing.Position) -> None:
        """This process, which follows, has everything up to this position."""
        self._followed = position

    async def commit(self, batch: Batch) -> int:
        return await self._writer.finish(self._commit(batch))

    async def _commit(self, batch: Batch) -> int:
        full, last_event = await self._writer.write_in_turn(writing.commit, batch)
        for named in full:
            named.on_stored()
        return last_event

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

    async def last_said(self, domain: str, ids: Sequence[str], quorum: int) -> dict[str, Evidence]:
        assert len(ids) <= RECORDS_MAX
        return await self._read_one_moment(recalling.last_said, domain, ids, quorum)

    async def spoken(self, domain: str, witness: str, receipt_id: str | None) -> Spoken:
        return await self._read_one_moment(recalling.spoken, domain, witness, receipt_id)

    async def records(self, ids: Sequence[str], bytes_max: int | None = None) -> dict[str, StoredRecord]:
        assert len(ids) <= RECORDS_MAX
        return await self._read(reading.records, ids, bytes_max)

    async def held(self, ids: Sequence[str]) -> frozenset[str]:
        assert len(ids) <= RECORDS_MAX
        return await self._read(reading.held, ids)

    async def head(self, domain: str, label: str) -> ShownRecord | None:
        return await self._heads.head(domain, label)

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
        followed = self._followed
        async for page in self.keys_between(0, SAFE_INTEGER_MAX if followed is None else followed.record):
            for domain, packed in page.items():
                yield domain, packed

    async def keys_between(self, after: int, through: int) -> AsyncIterator[dict[str, list[bytes]]]:
        """The packed keys by domain, in pages, of the records with row numbers above `after` up to `through`."""
        last, page = await self._read(reading.keys, after, through)
        while page:
            yield page
            last, page = await self._read(reading.keys, last, through)

    async def events(
        self, after: int, limit: int, selection: Selection = EVERYTHING, through: int | None = None
    ) -> list[StoredEvent]:
        return await self._read(reading.events, after, limit, selection, through)

    async def last_event(self) -> int:
        followed = self._followed
        return await self._read(reading.last_event) if followed is None else followed.event

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
        async def read() -> _T:
            return await work(self._readers, *args, **kwargs)

        return await self._patiently(read)

    async def _read_one_moment(
        self,
        work: Callable[Concatenate[reading.Reader, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """All statements of the work see the database as the first of them does."""

        async def read() -> _T:
            async with self._readers.acquire() as session, session.transaction(isolation="repeatable_read"):
                return await work(session, *args, **kwargs)

        return await self._patiently(read)

    async def _patiently(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """Read again when the server is back, if it went away."""
        while True:
            try:
                with explained(self._url):
                    return await read()
            except AwayError:
                await self._probing.wait()

    def suspect(self) -> None:
        """Find out whether the server answers, before a read waits for it in vain."""
        self._probing.begin()

    def _on_outage_of_writes(self) -> None:
        if self.outages.writing.trouble is not None:
            self.suspect()

    async def _probe(self) -> Failure | None:
        """Why the server cannot be used now. A session whose connection is lost is opened anew by this.

        If the server is silent, all sessions end, so that no read waits any longer for an answer of before.
        """
        try:
            with explained(self._url):
                async with asyncio.timeout(self._silence.answer_s):
                    await self._readers.fetch("SELECT 1")
        except StoreError as error:
            if isinstance(error.__cause__, TimeoutError):
                self._readers.terminate()
            return failure_of(error)
        return None

    @property
    def _writer(self) -> WriterSession:
        assert self._session is not None, "a process that follows does not write"
        return self._session

    async def _write(
        self,
        work: Callable[Concatenate[asyncpg.Connection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Do the work in one transaction of this term. Calls take their turns in order."""
        return await self._writer.finish(self._writer.write_in_turn(writing.noted(work, *args, **kwargs)))

    async def _remove(
        self,
        work: Callable[Concatenate[asyncpg.Connection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """The same for work that takes something down, of which those who follow are told."""
        return await self._writer.finish(self._writer.write_in_turn(writing.noted_removal(work, *args, **kwargs)))
