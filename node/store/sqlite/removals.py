"""`SqliteRemovals`: the removals of a `SqliteStore`, on the connections of that store.

Steps and the end of a removal run on the connection that writes, between two commits. All else reads.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from node.store.removals import Counted, Erasure, Finish, Removal, RemovalKind, Step, Target
from node.store.sqlite import removing

Run = Callable[..., Awaitable[Any]]
"""Calls a function with a connection and these arguments, and tries again while another program holds the database."""


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
        removal: Removal = await self._write(removing.begin, kind, target, by, reason, time)
        return removal

    async def go_on(self, number: int) -> Step:
        step: Step = await self._write(removing.go_on, number)
        return step

    async def finish(self, number: int) -> Finish:
        end: Finish = await self._write(removing.finish, number)
        return end

    async def unfinished(self) -> list[Removal]:
        found: list[Removal] = await self._read(removing.unfinished)
        return found

    async def removal(self, number: int) -> Removal:
        removal: Removal = await self._read(removing.removal, number)
        return removal

    async def list(self, before: int | None, limit: int) -> "list[Removal]":
        found: list[Removal] = await self._read(removing.listed, before, limit)
        return found

    async def count(self, target: Target) -> Counted:
        counted: Counted = await self._read(removing.count, target)
        return counted

    async def erasures(self, ids: Sequence[str]) -> dict[str, Erasure]:
        found: dict[str, Erasure] = await self._read(removing.erasures, ids)
        return found

    async def dropped(self) -> frozenset[str]:
        found: frozenset[str] = await self._read(removing.dropped)
        return found

    async def keep_again(self, domain: str) -> bool:
        was_dropped: bool = await self._write(removing.keep_again, domain)
        return was_dropped
