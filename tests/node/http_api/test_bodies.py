"""Bodies take no more memory, all together, than the node has room for."""

import asyncio
from pathlib import Path

from node.node import Node
from node.settings import Settings
from tests.node.http_api.talking import Client

ROOM = 8 * 2**20
"""The least that a node may be set to."""


async def status_of_small_batch(client: Client) -> int:
    answer = await client.send("PUT", "/claims", b"{}".ljust(1_024))
    assert answer.status == 200 or answer.refusal == (503, "overloaded")
    return answer.status


async def until_small_batches_get(client: Client, status: int) -> None:
    async with asyncio.timeout(10):
        while await status_of_small_batch(client) != status:
            pass


async def test_a_body_that_finds_no_room_is_told_to_come_back_and_finds_it_later(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path / "data", bytes_in_flight_max=ROOM)
    async with Node(settings) as node, Client(node.url) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rpartition(":")[2]))
        writer.write(b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % ROOM)
        writer.write(b" " * (ROOM - 512))
        await until_small_batches_get(client, 503)
        answer = await client.send("PUT", "/claims", b"{}".ljust(1_024))
        writer.transport.abort()
        await until_small_batches_get(client, 200)

    assert answer.headers["Retry-After"] == "1"
