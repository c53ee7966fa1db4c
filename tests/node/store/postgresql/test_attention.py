"""Attention: a write that gets no answer finds out why, and is stored once."""

import asyncio
import socket
from collections.abc import Callable

import asyncpg
import pytest

from node.store.postgresql import PostgresStore, Silence
from node.store.postgresql.session import watch_for_silence
from simulations.processes.postgres import PostgresServer
from tests.node.store.postgresql.relay import Network, relayed
from tests.node.store.store_batches import batch_of, claim

SchemaUrl = Callable[[str], str]

SILENCE = Silence(session_s=0.8, answer_s=0.4)

BYTES = 20_000
"""Of a record. A hundred of them are more than all buffers between the store and its server hold."""


async def stored(url: str) -> tuple[int, int]:
    """How many records and how many events the database has."""
    shell = await asyncpg.connect(url)
    try:
        row = await shell.fetchrow("SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM events)")
    finally:
        await shell.close()
    assert row is not None
    return row[0], row[1]


@pytest.mark.parametrize(
    ("cut_at", "is_open_to_others"), [(b'COPY "records"', False), (b"COMMIT;", False), (b"COMMIT;", True)]
)
async def test_a_write_whose_connection_is_cut_off_is_stored_once(
    server: PostgresServer, schema_url: SchemaUrl, cut_at: bytes, *, is_open_to_others: bool
) -> None:
    """In the middle of a COPY the driver waits for room in its buffer, and does not hear that the connection has ended.
    If others reach the server, they hear that it has ended the session.
    """
    network = Network(is_open_to_others=is_open_to_others)
    batch = batch_of([claim(f"plot-{number}", about="x" * BYTES) for number in range(100)])
    async with relayed(server.folder, network.to_server, network=network) as folder:
        url = schema_url("one").replace(str(server.folder), str(folder))
        store = await PostgresStore.open(url, readers=1, silence=SILENCE)
        is_away = asyncio.Event()
        store.outages.writing.watchers.append(is_away.set)
        network.cut_at = cut_at
        try:
            commit = asyncio.create_task(store.commit(batch))
            await is_away.wait()
            if not is_open_to_others:
                network.mend()
            last = await commit
        finally:
            network.mend()
            await store.close()

    assert last == 100
    assert await stored(schema_url("one")) == (100, 100)


async def test_a_store_that_is_cut_off_closes_and_its_writes_are_given_up(
    server: PostgresServer, schema_url: SchemaUrl
) -> None:
    network = Network()
    async with relayed(server.folder, network.to_server, network=network) as folder:
        url = schema_url("one").replace(str(server.folder), str(folder))
        store = await PostgresStore.open(url, readers=1, silence=SILENCE)
        network.cut_at = b"COMMIT;"
        commit = asyncio.create_task(store.commit(batch_of([claim()])))
        await network.is_cut.wait()

        await store.close()

        with pytest.raises(asyncio.CancelledError):
            await commit
        network.mend()
    assert await stored(schema_url("one")) == (0, 0)


def test_the_kernel_ends_a_connection_whose_other_end_is_gone() -> None:
    with socket.socket() as over_network, socket.socket(socket.AF_UNIX) as local:
        for each in (over_network, local):
            watch_for_silence(each)

        options = [
            over_network.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        ]
        assert over_network.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert options == [5, 2, 3, 12_000]
