"""Attention: a statement that takes long looks whether its server is still there.

A network that is cut off loses what both sides send, and tells neither. The server ends a session after some seconds of
silence. On this side a statement would wait for its answer until `command_timeout`, and a COPY for ever, because the
driver waits for room in its buffer and does not hear of the end of the connection. So another session asks the server
whether it still works for this one, as often as the server would have ended a session that is silent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from node.store.contract import StoreError
from node.store.postgresql.session import AwayError, Silence, connect, explained, place_of

_GRACE_S: Final = 0.1
"""How long after the end of its connection a statement may tell why it has failed."""


@asynccontextmanager
async def attention(
    url: str, connection: asyncpg.Connection, silence: Silence, on_loss: Callable[[StoreError], None]
) -> AsyncIterator[None]:
    """Work on this connection. `on_loss` hears why the server does not work for it any more.

    Raises:
        TimeoutError: the connection has ended, and the work has not noticed it.
    """
    loop = asyncio.get_running_loop()
    looking: list[asyncio.Task[None]] = []

    async def look() -> None:
        while (error := await _loss(url, connection, silence)) is None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(silence.session_s)
        on_loss(error)
        connection.terminate()

    def begin_to_look() -> None:
        looking.append(asyncio.create_task(look(), name="looks for the server"))

    limit = asyncio.timeout(None)

    def end(_: Any) -> None:
        limit.reschedule(loop.time() + _GRACE_S)

    timer = loop.call_later(silence.session_s, begin_to_look)
    try:
        async with limit:
            connection.add_termination_listener(end)
            try:
                yield
            finally:
                connection.remove_termination_listener(end)
    except Exception as error:
        if limit.expired():
            raise TimeoutError("the connection has ended") from error  # whatever the driver made of it
        raise
    finally:
        timer.cancel()
        for task in looking:
            task.cancel()


async def _loss(url: str, connection: asyncpg.Connection, silence: Silence) -> StoreError | None:
    """Why the server does not work for this session. None: it does, or it has no session left to tell."""
    try:
        with explained(url):
            async with asyncio.timeout(silence.answer_s):
                other = await connect(url)
                try:
                    sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
                    is_there = await other.fetchval(sql, connection.get_server_pid())
                finally:
                    other.terminate()
    except StoreError as error:
        return None if isinstance(error.__cause__, asyncpg.PostgresError) else error
    return None if is_there else AwayError(f"{place_of(url)}: the server has ended the session", "wait")
