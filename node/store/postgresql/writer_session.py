"""The session that writes, from the moment in which this process has the right to write until it has lost it.

Nothing else writes to the database. The session says every two seconds that it is alive. The server ends it after six
seconds of silence, so that another process can take over from a machine that is cut off. That machine notices it by
itself, because it asks whether the server is there when a write takes as long (see `attention`).

A connection may be lost although nobody took over, for example because the server starts anew. Then the session goes on
with another connection: it takes the lock again, and raises the term if the term is still its own. The writes wait
meanwhile. If the connection was lost within a COMMIT, the table of commits tells whether the write is stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg
import msgspec

from node.store.contract import StoreError
from node.store.outage import PROBE_PAUSE_S, Outage
from node.store.postgresql.attention import attention
from node.store.postgresql.session import AwayError, Silence, explained, failure_of, place_of
from node.store.postgresql.writing import Position, Written, last_commit, last_position

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CLOSE_S_MAX: Final = 1.0


class WritershipLostError(StoreError):
    """This session can write nothing more: another process writes now, or the server lacks what it confirmed."""


Renew = Callable[[int], Awaitable[tuple[asyncpg.Connection, int]]]
"""Opens another connection with the right to write, if this term is still the newest. Returns its own term too.

Raises:
    AwayError: that is not possible now.
    WritershipLostError: another process has taken over.
"""


class _Unknown(msgspec.Struct, frozen=True):
    """A write whose COMMIT nobody has confirmed: what it returns if it is stored."""

    term: int
    position: Position
    result: Any


class WriterSession:
    """The session of the writer. `term` is its fencing token. `lost` gets the error when it can write nothing more.

    `position` is that after the last write, None before the first one. `outage` says whether writes wait at present.
    """

    def __init__(self, url: str, connection: asyncpg.Connection, term: int, renew: Renew, silence: Silence) -> None:
        """`connection` holds the lock, and raised the term to `term`."""
        self.term = term
        self.silence = silence
        self.position: Position | None = None
        self.outage = Outage("writes")
        self.lost: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        self._url = url
        self._renew = renew
        self._unknown: _Unknown | None = None
        self._turn = asyncio.Lock()
        self._warnings: list[str] = []
        self._writes: set[asyncio.Future[Any]] = set()
        self._ended = asyncio.Event()
        self._use(connection)
        self._beating = asyncio.create_task(self._beat(), name="heartbeat of the writer")

    def _use(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._ended.clear()
        connection.add_log_listener(self._on_log)
        connection.add_termination_listener(self._on_end)

    async def close(self) -> None:
        """End the session when its writes are done. Then another process may write."""
        self._connection.remove_termination_listener(self._on_end)
        self._beating.cancel()
        self.outage.watchers.append(self._give_up_writes)
        self._give_up_writes()
        try:
            await asyncio.gather(self._beating, *self._writes, return_exceptions=True)
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close(timeout=_CLOSE_S_MAX)
        finally:
            self._connection.terminate()  # if this is cancelled: another process could not write

    def _give_up_writes(self) -> None:
        """In an outage, writes would wait for the server for ever. Nobody was told that they are stored."""
        if self.outage.trouble is not None:
            for write in self._writes:
                write.cancel()

    async def finish(self, writing: Coroutine[Any, Any, _T]) -> _T:
        """Await this to its end. A cancelled caller does not stop it, so that no commit is left half done."""
        task = asyncio.ensure_future(writing)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def write_in_turn(
        self,
        work: Callable[Concatenate[asyncpg.Connection, Position, int, _P], Awaitable[Written[_T]]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Do the work in one transaction, from the last position, in this term. Calls take their turns in order.

        While the server is away, the work waits, and is done again if it is not stored.

        Raises:
            WritershipLostError: another process has taken over. Nothing was written.
            StoreError: the server failed for good.
        """

        async def write() -> _T:
            if self._unknown is not None:
                stored, self._unknown = self._unknown, None
                if self.position == stored.position:  # the connection is another one since, which has looked
                    result: _T = stored.result
                    return result
            return await self._write(lambda *place: work(*place, *args, **kwargs))

        async with self._turn:
            return await self._until_done(write)

    async def _write(self, work: Callable[[asyncpg.Connection, Position, int], Awaitable[Written[_T]]]) -> _T:
        self._warnings.clear()
        async with self._connection.transaction():
            await self._check_term()
            last = self.position or await last_position(self._connection)
            result, position = await work(self._connection, last, self.term)
            self._unknown = _Unknown(self.term, position, result)
        self._unknown = None
        self.position = position
        self._check_warnings()
        return result

    async def _until_done(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Try again while the server is away. The first failure may concern the connection only, so it is no outage."""
        failed: AwayError | None = None
        while True:
            try:
                with explained(self._url):
                    await self._reconnect()
                    async with attention(self._url, self._connection, self.silence, self._on_silence):
                        result = await attempt()
            except AwayError as error:
                if isinstance(error.__cause__, TimeoutError):
                    self._connection.terminate()  # the server does not hear that the call was given up
                if failed is not None:
                    self.outage.begin(failure_of(error))
                    await asyncio.sleep(PROBE_PAUSE_S)
                failed = error
            except WritershipLostError as error:
                self._lose(error)
                raise
            else:
                self.outage.end()
                return result

    async def _reconnect(self) -> None:
        """Open another connection if the present one is lost.

        Raises:
            StoreError: the server is away, another process has taken over, or the server lacks a commit.
        """
        if self.lost.done():
            raise self.lost.result()
        if not self._connection.is_closed():
            if self._unknown is None:
                return
            self._connection.terminate()  # its COMMIT may still be under way: a new term waits for its end
        try:
            async with asyncio.timeout(self.silence.answer_s):
                connection, self.term = await self._renew(self.term)
        except (AwayError, WritershipLostError):
            raise
        except StoreError as error:  # whatever is wrong with the server may be put right
            raise AwayError(str(error), error.remedy) from error
        self._use(connection)
        await self._look()

    async def _look(self) -> None:
        """Look at the last commit, which is either the last known one or the one under way.

        Raises:
            WritershipLostError: it is another one.
        """
        term, position = await last_commit(self._connection)
        unknown = self._unknown
        if unknown is not None and (unknown.term, unknown.position) == (term, position):
            self.position = position
        elif self.position is not None and position != self.position:
            raise WritershipLostError(
                f"{place_of(self._url)}: the server lost commits: the last one is {position.commit}, and it was "
                f"{self.position.commit}",
                "start the node again: it goes on from what the server has, and peers bring the rest back",
            )

    async def _check_term(self) -> None:
        """Make sure, until the end of the transaction, that nobody has taken over.

        Raises:
            WritershipLostError: somebody has.
        """
        term = await self._connection.fetchval("SELECT term FROM writer FOR SHARE")
        if term != self.term:
            raise taken_over(term, self.term)

    def _check_warnings(self) -> None:
        """A COMMIT whose wait for a replica was cancelled succeeds with a warning, though the replica may lack it.

        Raises:
            WritershipLostError: the server warned.
        """
        if self._warnings:
            raise WritershipLostError(
                f"{place_of(self._url)}: the server does not know whether the commit is safe: {self._warnings[0]}",
                "see the server's log and its replicas",
            )

    def _on_log(self, _: Any, message: asyncpg.PostgresLogMessage) -> None:
        if message.severity_en == "WARNING":
            self._warnings.append(message.message)

    def _on_silence(self, error: StoreError) -> None:
        self.outage.begin(failure_of(error))

    def _on_end(self, _: Any) -> None:
        self._ended.set()

    def _lose(self, error: StoreError) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    async def _beat(self) -> None:
        """Say that the session is alive, as long as it is. A write says so too."""
        while not self.lost.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.silence.beat_s):
                    await self._ended.wait()
            async with self._turn:
                with suppress(StoreError):  # `lost` has it
                    await self._until_done(self._say_alive)

    async def _say_alive(self) -> None:
        await self._connection.fetchval("SELECT 1", timeout=self.silence.session_s - self.silence.beat_s)


def taken_over(term: int, own: int) -> WritershipLostError:
    """The error of a writer whose term is over."""
    return WritershipLostError(
        f"another node took over: the term is {term}, and this node's was {own}",
        "this node may no longer write; start it again if it should take part",
    )
