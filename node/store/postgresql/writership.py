"""Writership: the right to write, which one process has at a time.

An advisory lock says who may write. It belongs to the session that writes, so the server frees it when that session
ends. But a lock alone is a hope: a process that was stopped for a while may believe in a lock that another process has
taken in the meantime, and behind a pooler two sessions share one lock. So there is a *term* besides, a fencing token
(M. Kleppmann, "How to do distributed locking", 2016). A new writer raises the term before it reads anything. Each
commit reads the term in its own transaction and locks its row against the next rise, so a commit of an old term fails,
and a term can rise only between two commits.

A process that wants to write has a `Candidacy`: a session that waits for the lock. The same session writes later.
"""

from contextlib import suppress
from functools import partial
from typing import Final, Self

import asyncpg

from node.store.contract import StoreError
from node.store.postgresql.schema import migrate
from node.store.postgresql.session import SILENCE, AwayError, Silence, connect, explained, place_of
from node.store.postgresql.writer_session import WriterSession, taken_over
from node.store.postgresql.writing import CHANNEL, put_meta

_LOCK: Final = 0x646E7772
"""The first half of the lock's key; the second half is the schema's."""

_KEY: Final = f"{_LOCK}, hashtext(current_schema())"

_HOLDERS: Final = f"""
    FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = {_LOCK}
    AND objid::bigint = (hashtext(current_schema())::bigint & 4294967295)
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The sessions that hold the lock, in SQL: at most one."""

IS_HELD: Final = f"EXISTS (SELECT {_HOLDERS})"

# A holder says every two seconds that it is alive. One that was stopped within a statement, for example in the middle
# of a COPY, is not idle for the server, so that `idle_session_timeout` does not end its session.
_END_SILENT: Final = f"""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid IN (SELECT pid {_HOLDERS}) AND wait_event_type = 'Client'
    AND state_change < clock_timestamp() - make_interval(secs => $1)
"""

_RAISE_TERM: Final = f"""
    WITH raised AS (UPDATE writer SET term = term + 1, holder = $1, url = $2 RETURNING term)
    SELECT term, pg_notify({CHANNEL}, 'term') FROM raised
"""


UNFINISHED_MOVE: Final = "unfinished_move"
"""A row of `meta`: a move into this store is not finished."""


async def take_lock(connection: asyncpg.Connection) -> bool:
    """Take the lock for this session if no other session has it. Returns whether it has it now."""
    return bool(await connection.fetchval(f"SELECT pg_try_advisory_lock({_KEY})"))


async def begin_term(connection: asyncpg.Connection, holder: str, at: str = "", *, is_move: bool = False) -> int:
    """Begin a new term of this session, which has the lock. Returns the term. `is_move`: to fill the store.

    Raises:
        StoreError: a move into the store is not finished.
    """
    if not is_move and await connection.fetchval("SELECT 1 FROM meta WHERE name = $1", UNFINISHED_MOVE):
        raise StoreError(
            "a move into this database was not finished",
            "run `dnarc move` again, or give it up: DELETE FROM meta WHERE name = 'unfinished_move'",
        )
    return int(await connection.fetchval(_RAISE_TERM, holder, at))


async def holder_of(connection: asyncpg.Connection) -> str:
    """The process that has the right to write, or had it last."""
    return str(await connection.fetchval("SELECT holder FROM writer"))


def another_writer(holder: str) -> StoreError:
    """The error for a process that cannot wait until another one gives up the right."""
    return StoreError(f"another node writes to this database: {holder}", "stop that node first")


class Candidacy:
    """A session that may get the right to write."""

    def __init__(self, url: str, connection: asyncpg.Connection, silence: Silence) -> None:
        self._url = url
        self._connection = connection
        self._silence = silence

    @classmethod
    async def open(cls, url: str, silence: Silence = SILENCE) -> Self:
        """Open the session, and bring the schema to the version of this program.

        Raises:
            StoreError: the database cannot be used, or the server is a replica.
        """
        connection = await connect(url, silence)
        try:
            with explained(url):
                await migrate(connection)
        except BaseException:
            await connection.close()
            raise
        return cls(url, connection, silence)

    async def keep(self, name: str, proposed: str) -> str:
        """Store this value for the whole fleet if there is none of this name. Returns the value that is stored.

        Raises:
            StoreError: the server cannot be reached.
        """
        with explained(self._url):
            return await put_meta(self._connection, name, proposed)

    async def kept(self, name: str) -> str | None:
        """The value of this name. Raises: StoreError: the server cannot be reached."""
        with explained(self._url):
            value: str | None = await self._connection.fetchval("SELECT value FROM meta WHERE name = $1", name)
            return value

    async def holder(self) -> str:
        """The process that has the right, or had it last. Raises: StoreError: the server cannot be reached."""
        with explained(self._url):
            return await holder_of(self._connection)

    async def take_now(self, holder: str, at: str = "") -> WriterSession | None:
        """Take the right if no process has it. The table then knows this process as `holder`, at the URL `at`.

        Raises:
            StoreError: the server cannot be reached.
        """
        with explained(self._url):
            if not await take_lock(self._connection):
                return None
            return await self._begin_term(holder, at)

    async def take(self, holder: str, at: str) -> WriterSession:
        """Wait until no other process has the right, and take it. A holder that is silent for too long loses its
        session.

        Raises:
            StoreError: the server cannot be reached.
        """
        with explained(self._url):
            # After each wait of this length, a holder that is silent loses its session.
            await self._connection.execute(f"SET lock_timeout = {self._silence.session_s * 1_000:.0f}")
            while not await self._wait():
                await self._end_silent_holder()
            await self._connection.execute("RESET lock_timeout")
            return await self._begin_term(holder, at)

    async def close(self) -> None:
        """Give the wait up. A right that was taken is not touched: its session is another object's now."""
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._connection.close(timeout=1.0)

    async def _wait(self) -> bool:
        try:
            await self._connection.execute(f"SELECT pg_advisory_lock({_KEY})", timeout=self._answer_s)
        except asyncpg.LockNotAvailableError:
            return False
        return True

    async def _end_silent_holder(self) -> None:
        with suppress(asyncpg.InsufficientPrivilegeError):  # then the server ends it, after `statement_timeout`
            await self._connection.execute(_END_SILENT, self._silence.session_s, timeout=self._answer_s)

    async def _begin_term(self, holder: str, at: str) -> WriterSession:
        term = await begin_term(self._connection, holder, at)
        renew = partial(renewed, self._url, self._silence)
        return WriterSession(self._url, self._connection, term, renew, self._silence)

    @property
    def _answer_s(self) -> float:
        """After such a silence of the server, its connection is lost."""
        return self._silence.session_s + self._silence.answer_s


async def renewed(url: str, silence: Silence, term: int) -> tuple[asyncpg.Connection, int]:
    """See `Renew`."""
    connection = await connect(url, silence)
    try:
        with explained(url):
            if not await take_lock(connection):
                await _check_term(connection, term)
                raise AwayError(f"{place_of(url)}: the session before still has the right to write", "wait")
            # It waits for a commit of the session before, so that the caller sees whether it is stored.
            own = await connection.fetchval("UPDATE writer SET term = term + 1 WHERE term = $1 RETURNING term", term)
            if own is None:
                await _check_term(connection, term)
            return connection, own
    except BaseException:
        connection.terminate()
        raise


async def _check_term(connection: asyncpg.Connection, own: int) -> None:
    """Raises: WritershipLostError: the term is not this one."""
    term = await connection.fetchval("SELECT term FROM writer")
    if term != own:
        raise taken_over(term, own)
