"""`SqliteRemovals`: the removals of a `SqliteStore`, on the connections of that store.

Steps and the end of a removal run on the connection that writes, between two commits. All else reads.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from node.store.removals import Counted, Erasure, Finish, Removal, RemovalKind, Step, Target
from node.store.sqlite import removing

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Run(Protocol):
    """Calls a function with a connection and these arguments.

    It tries again while another program holds the database.
    """

    def __call__(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Awaitable[_T]: ...


class SqliteRemovals:
    """See `node.store.removals.Removals`."""

    def __init__(self, read: Run, write: Run, settle: Callable[[], Awaitable[None]]) -> None:
        """`read` uses a connection that reads, `write` the one that writes. `settle` writes the counts of usage that
        are in memory, so that a drop finds all of them in the database.
        """
        self._read = read
        self._write = write
        self._settle = settle

    async def begin(self, kind: RemovalKind, target: Target, by: str, reason: str, time: int) -> Removal:
        await self._settle()
        return await self._write(removing.begin, kind, target, by, reason, time)

    async def go_on(self, number: int) -> Step:
        return await self._write(removing.go_on, number)

    async def finish(self, number: int) -> Finish:
        return await self._write(removing.finish, number)

    async def unfinished(self) -> list[Removal]:
        return await self._read(removing.unfinished)

    async def removal(self, number: int) -> Removal:
        return await self._read(removing.removal, number)

    async def list(self, before: int | None, limit: int) -> "list[Removal]":
        return await self._read(removing.listed, before, limit)

    async def count(self, target: Target) -> Counted:
        return await self._read(removing.count, target)

    async def erasures(self, ids: Sequence[str]) -> dict[str, Erasure]:
        return await self._read(removing.erasures, ids)

    async def dropped(self) -> frozenset[str]:
        return await self._read(removing.dropped)

    async def keep_again(self, domain: str) -> bool:
        return await self._write(removing.keep_again, domain)
