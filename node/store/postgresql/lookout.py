"""The lookout of a process that follows: a session that hears of each commit, and sees how far the writer is.

The server tells of a commit when it is durable (`LISTEN`, `NOTIFY`). A message may be lost with its connection, so a
message only says that it is time to look. The news stands in tables, so a lookout that was cut off looks again and has
missed nothing.
"""

import asyncio
from contextlib import suppress
from typing import Final, Self

import asyncpg
import msgspec

from node.store.postgresql.session import SILENCE, Silence, connect, explained
from node.store.postgresql.writership import IS_HELD
from node.store.postgresql.writing import CHANNEL, COMMITS_KEPT, Position

# Rows of old commits are removed, and a removal with them. So a long absence counts as a removal. The subquery lets the
# server keep one plan, as in `reading`.
_LOOK: Final = f"""
    SELECT commits.no, record, label, event, writer.term, writer.url, (SELECT value FROM meta WHERE name = 'epoch'),
        no - $1 >= {COMMITS_KEPT}
        OR EXISTS (SELECT FROM commits AS missed WHERE missed.no > (SELECT $1::bigint) AND missed.removal)
    FROM commits, writer ORDER BY no DESC LIMIT 1
"""


class Sight(msgspec.Struct, frozen=True):
    """What there is to see at one moment.

    `term` is that of the writer, or of the last one, and `writer` the URL at which it answers. `epoch` is that of the
    store. `is_removal`: something was erased, dropped or kept again since the commit from which the lookout looked.
    """

    position: Position
    term: int
    writer: str
    epoch: str
    is_removal: bool


class Lookout:
    """A session that looks."""

    def __init__(self, url: str, connection: asyncpg.Connection, answer_s: float) -> None:
        """`answer_s`: after such a silence of the server, its connection is lost."""
        self._url = url
        self._answer_s = answer_s
        self._connection = connection
        self._told = asyncio.Event()
        connection.add_termination_listener(lambda _: self._told.set())

    @classmethod
    async def open(cls, url: str, silence: Silence = SILENCE) -> Self:
        """Raises: StoreError: the server cannot be reached, or cannot be used."""
        lookout = cls(url, await connect(url), silence.answer_s)
        try:
            with explained(url):
                channel = await lookout._connection.fetchval(f"SELECT {CHANNEL}")
                await lookout._connection.add_listener(channel, lambda *_: lookout._told.set())
        except BaseException:
            await lookout.close()
            raise
        return lookout

    async def wait(self, seconds: float) -> bool:
        """Wait until something is told, for this long at most. Returns whether something was told."""
        # `asyncio.wait_for` before Python 3.12 loses a cancellation that comes together with the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        was_told = self._told.is_set()
        self._told.clear()
        return was_told

    async def look(self, after: int) -> Sight:
        """What there is to see. `after` is the number of the commit that the caller knows.

        Raises:
            StoreError: the server cannot be reached.
        """
        with explained(self._url):
            row = await self._connection.fetchrow(_LOOK, after, timeout=self._answer_s)
        assert row is not None, "both tables have a row from the beginning"
        *numbers, term, writer, epoch, is_removal = row
        return Sight(Position(*numbers), term, writer, epoch, is_removal)

    async def is_there_a_writer(self) -> bool:
        """Whether a process has the right to write. Raises: StoreError: the server cannot be reached."""
        with explained(self._url):
            return bool(await self._connection.fetchval(f"SELECT {IS_HELD}", timeout=self._answer_s))

    async def close(self) -> None:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._connection.close(timeout=1.0)
