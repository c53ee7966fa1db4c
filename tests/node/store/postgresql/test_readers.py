"""The sessions that read: who waits for one, and what becomes of one that is lost."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from node.store.postgresql.readers import Readers
from node.store.postgresql.session import AwayError
from simulations.processes.postgres import USER, PostgresServer
from tests.node.store.postgresql.relay import FirstOnly, relayed

TIMEOUT_S = 120.0

PROCESS = "SELECT pg_backend_pid()"


@pytest.fixture
async def readers(database_url: str) -> AsyncIterator[Readers]:
    readers = await Readers.open(database_url, 2)
    yield readers
    readers.terminate()


async def test_reads_beyond_the_number_of_sessions_wait_for_one(readers: Readers) -> None:
    rows = await asyncio.gather(*(readers.fetch(PROCESS) for _ in range(5)))

    assert len({row[0][0] for row in rows}) == 2


async def test_a_session_that_was_cut_off_is_opened_anew(readers: Readers) -> None:
    (row,) = await readers.fetch(PROCESS)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await readers.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

    (after,) = await readers.fetch(PROCESS)

    assert after[0] != row[0]


async def test_a_read_that_is_cancelled_leaves_its_session_to_the_next(readers: Readers) -> None:
    async with readers.acquire():  # one session is left
        (row,) = await readers.fetch(PROCESS)
        slow = asyncio.create_task(readers.fetch("SELECT pg_sleep(3600)"))
        waiting = asyncio.create_task(readers.fetch(PROCESS))
        await asyncio.sleep(0)

        slow.cancel()

        assert await waiting == [row]


async def test_a_read_that_is_cancelled_while_it_waits_takes_no_session(readers: Readers) -> None:
    async with readers.acquire(), readers.acquire():
        waiting = asyncio.create_task(readers.fetch(PROCESS))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    assert len(await asyncio.gather(readers.fetch(PROCESS), readers.fetch(PROCESS))) == 2


async def test_a_reader_cannot_write(readers: Readers) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await readers.fetch("CREATE TABLE one (no int)")


async def test_the_end_waits_for_reads_under_way(readers: Readers) -> None:
    reading = asyncio.create_task(readers.fetch("SELECT pg_sleep(0.05)"))
    await asyncio.sleep(0)

    await readers.close()

    assert len(await reading) == 1


async def test_a_server_without_enough_connections_is_noticed_at_the_beginning(server: PostgresServer) -> None:
    shell = await asyncpg.connect(server.url())
    await shell.execute("CREATE ROLE guest LOGIN CONNECTION LIMIT 1")
    try:
        with pytest.raises(AwayError, match="the server has no connection left"):
            await Readers.open(server.url().replace(f"user={USER}", "user=guest"), 2)
    finally:
        await shell.execute("DROP ROLE guest")
        await shell.close()


async def test_an_opening_that_is_cancelled_leaves_no_session(server: PostgresServer) -> None:
    """A process that follows takes over, and is stopped at that moment."""
    network = FirstOnly()
    opened = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'opener' AND state = 'idle'"
    shell = await asyncpg.connect(server.url())
    await shell.execute("CREATE ROLE opener LOGIN")
    try:
        async with relayed(server.folder, network=network) as folder:
            url = server.url().replace(str(server.folder), str(folder)).replace(f"user={USER}", "user=opener")
            opening = asyncio.create_task(Readers.open(url, 2))
            await network.is_held.wait()
            await until(shell, opened, 1)

            opening.cancel()
            await asyncio.wait([opening])

            await until(shell, opened, 0)
    finally:
        await shell.execute("DROP ROLE opener")
        await shell.close()


async def until(shell: asyncpg.Connection, query: str, value: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await shell.fetchval(query) != value:
            pass
