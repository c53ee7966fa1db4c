"""All request bodies together take at most the memory that the node has for them."""

import asyncio
from pathlib import Path

from node.node import Node
from node.settings import Settings
from tests.node.http_api.talking import Client

BUDGET_BYTES = 8 * 2**20
"""The smallest value of the setting."""

SMALL_BYTES = 1_024


async def put_small_batch(client: Client) -> int:
    answer = await client.send("PUT", "/claims", b"{}".ljust(SMALL_BYTES))
    assert answer.status == 200 or answer.refusal == (503, "overloaded")
    return answer.status


async def wait_until_small_batches_get(client: Client, status: int) -> None:
    async with asyncio.timeout(10):
        while await put_small_batch(client) != status:
            pass


async def test_a_body_without_room_is_told_to_come_back_and_has_room_later(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path / "data", bytes_in_flight_max=BUDGET_BYTES)
    async with Node(settings) as node, Client(node.url) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rpartition(":")[2]))
        writer.write(b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BUDGET_BYTES)
        writer.write(b" " * (BUDGET_BYTES - SMALL_BYTES // 2))
        await wait_until_small_batches_get(client, 503)
        answer = await client.send("PUT", "/claims", b"{}".ljust(SMALL_BYTES))
        writer.transport.abort()
        await wait_until_small_batches_get(client, 200)

    assert answer.headers["Retry-After"] == "1"
