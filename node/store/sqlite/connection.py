"""A SQLite connection in its own thread, which takes one whole piece of work at a time.

An awaited aiosqlite call costs about 65 us before any work; nearly all of that is the way to the thread and back. A
transaction of six statements would pay six times, so one function with all six statements goes to the thread once.
aiosqlite has no public call for this, so `Connection.run` uses its private calls, here and nowhere else.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import aiosqlite

_P = ParamSpec("_P")
_T = TypeVar("_T")

BUSY_TIMEOUT_S = 10.0
"""How long the first statement waits for the write of another program, such as the sqlite3 shell."""

_BUSY_WAIT_MS = 1_000
"""How long each later statement waits in SQLite before it is tried again: a node that stops waits for the last try."""

_STATEMENTS_KEPT = 256
"""Compiled statements that a connection keeps: four kinds of a commit in 22 sizes each, and those of questions."""

_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Worker(Protocol):
    """Carries out work on one SQLite connection, one piece after another, in the order of the calls."""

    waiting: int
    """Calls without a result so far."""

    async def run(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call the function with the connection; returns or raises what the function does."""

    async def close(self) -> None:
        """Finish the work that was begun, then close."""


class Connect(Protocol):
    """Opens the file, creates it if it is absent, and sets these pragmas (`name = value`)."""

    def __call__(self, path: Path, *pragmas: str) -> Awaitable[Worker]: ...


class Connection:
    """One connection. It carries out calls one after another, in their order."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        """`connection` is open."""
        self._connection = connection
        self._sqlite = connection._conn
        self._execute: Callable[..., Awaitable[Any]] = connection._execute
        self.waiting = 0
        """Calls without a result so far."""

    @classmethod
    async def open(cls, path: Path, *pragmas: str) -> "Connection":
        """Open the file, create it if it is absent, and set these pragmas (`name = value`)."""
        opening = aiosqlite.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, cached_statements=_STATEMENTS_KEPT
        )
        try:
            connection = cls(await opening)
        except sqlite3.Error:
            opening._thread.join()  # it still has to answer this loop, which may be closed soon
            raise
        try:
            await connection.run(_set_pragmas, (*pragmas, f"busy_timeout = {_BUSY_WAIT_MS}"))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def run(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call the function in the connection's thread; returns or raises what the function does.

        The call has its place in the order from now on. Cancelling the caller does not stop the work.
        """
        self.waiting += 1
        try:
            result: _T = await self._execute(work, self._sqlite, *args, **kwargs)
            return result
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Finish the work that was begun, then close."""
        await self._connection.close()


class InlineReader(Protocol):
    """A SQLite connection for short reads in the caller's own thread, which is the thread of the event loop."""

    def run(self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call the function with the connection; returns or raises what the function does. Never waits for a lock."""

    def close(self) -> None: ...


class InlineConnection:
    """A connection in the thread that opened it. A read of a few rows takes a tenth of the way to another thread."""

    def __init__(self, path: Path, *pragmas: str) -> None:
        """Open the file, which exists, and set these pragmas (`name = value`)."""
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        _set_pragmas(self._connection, pragmas)

    def run(self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return work(self._connection, *args, **kwargs)

    def close(self) -> None:
        self._connection.close()


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another program holds the database. Then nothing was written, and the call may be tried again."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _BUSY_CODES


class transaction:  # noqa: N801 - it is used as a function of `contextlib` would be, and takes a third of the time
    """A write transaction: all of its changes become durable, or none."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        # IMMEDIATE takes the write lock now; a transaction that asks for the lock later may be refused at once.
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._roll_back()
            return
        try:
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # if the disk is full, SQLite has rolled back by itself
            self._connection.execute("ROLLBACK")


def _set_pragmas(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> None:
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").close()
