"""`PostgresRemovals`: the removals of a `PostgresStore`, on the sessions of that store.

Steps and the end of a removal run in the session that writes, between two commits. All else reads.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from node.store.postgresql import removing
from node.store.removals import Counted, Erasure, Finish, Removal, RemovalKind, Step, Target

Run = Callable[..., Awaitable[Any]]
"""Awaits a function with a session and these arguments."""


class PostgresRemovals:
    """See `node.store.removals.Removals`."""

    def __init__(self, read: Run, write: Run, remove: Run) -> None:
        """`read` uses a session that reads, `write` the one that writes, in a transaction. `remove` does the same, and
        tells the processes that follow.
        """
        self._read = read
        self._write = write
        self._remove = remove

    async def begin(self, kind: RemovalKind, target: Target, by: str, reason: str, time: int) -> Removal:
        removal: Removal = await self._remove(removing.begin, kind, target, by, reason, time)
        return removal

    async def go_on(self, number: int) -> Step:
        step: Step = await self._remove(removing.go_on, number)
        return step

    async def finish(self, number: int) -> Finish:
        finish: Finish = await self._write(removing.finish, number)
        return finish

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
        was_dropped: bool = await self._remove(removing.keep_again, domain)
        return was_dropped
