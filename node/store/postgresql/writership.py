"""Writership: the right to write, which one process has at a time.

An advisory lock says who may write. It belongs to the session that writes, so the server frees it when that session
ends. But a lock alone is a hope: a process that was stopped for a while may believe in a lock that another process has
taken in the meantime, and behind a pooler two sessions share one lock. So there is a *term* besides, a fencing token
(M. Kleppmann, "How to do distributed locking", 2016). A new writer raises the term before it reads anything. Each
commit reads the term in its own transaction and locks its row against the next rise, so a commit of an old term fails,
and a term can rise only between two commits.
"""

from typing import Final, Self

import asyncpg

from node.store.contract import StoreError

_LOCK: Final = 0x646E7772
"""The first half of the lock's key; the second half is the schema's."""

_TAKE: Final = f"SELECT pg_try_advisory_lock({_LOCK}, hashtext(current_schema()))"


UNFINISHED_MOVE: Final = "unfinished_move"
"""A row of `meta`: a move into this store is not finished."""


class WritershipLostError(StoreError):
    """Another process writes to this database now."""


class Writership:
    """The right of this process to write."""

    def __init__(self, term: int) -> None:
        self.term = term

    @classmethod
    async def take(cls, connection: asyncpg.Connection, holder: str, *, is_move: bool = False) -> Self:
        """Take the right for this session, which the table then knows as `holder`. `is_move`: to fill the store.

        Raises:
            StoreError: another process has it, the server is a replica, or a move into the store is not finished.
        """
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise StoreError("the server is a replica, which takes no writes", "name the primary server")
        if not await connection.fetchval(_TAKE):
            other = await connection.fetchval("SELECT holder FROM writer")
            raise StoreError(f"another node writes to this database: {other}", "stop that node first")
        if not is_move and await connection.fetchval("SELECT 1 FROM meta WHERE name = $1", UNFINISHED_MOVE):
            raise StoreError(
                "a move into this database was not finished",
                "run `dnarc move` again, or give it up: DELETE FROM meta WHERE name = 'unfinished_move'",
            )
        term = await connection.fetchval("UPDATE writer SET term = term + 1, holder = $1 RETURNING term", holder)
        return cls(term)

    async def check(self, connection: asyncpg.Connection) -> None:
        """Make sure, until the end of the transaction, that nobody has taken over.

        Raises:
            WritershipLostError: somebody has.
        """
        term = await connection.fetchval("SELECT term FROM writer FOR SHARE")
        if term != self.term:
            raise WritershipLostError(
                f"another node took over: the term is {term}, and this node's was {self.term}",
                "this node may no longer write; start it again if it should take part",
            )
