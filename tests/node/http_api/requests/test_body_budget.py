"""All request bodies together take at most the memory that the node has for them, and none may stall for long."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.http_api.requests.body_budget import BYTES_PER_SECOND_MIN, Pace
from node.node import Node
from node.settings.settings import Settings
from tests.node.http_api.talking import Client

BUDGET_BYTES = 8 * 2**20
"""The smallest value of the setting."""

SMALL_BYTES = 1_024


async def put_small_batch(client: Client) -> int:
    answer = await client.send("PUT", "/claims", b"{}".ljust(SMALL_BYTES))
    assert answer.status == 200 or answer.refusal == (503, "overloaded")
    return answer.status


async def wait_until_small_batches_get(client: Client, status: int) -> None:
    async with asyncio.timeout(120):
        while await put_small_batch(client) != status:
            pass


async def test_a_body_without_room_is_told_to_come_back_and_has_room_later(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path / "data", bytes_in_flight_max=BUDGET_BYTES)
    async with Node(settings) as node, Client(node.url) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rpartition(":")[2]))
        writer.write(b"PUT /claims HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % BUDGET_BYTES)
        writer.write(b" " * (BUDGET_BYTES - SMALL_BYTES // 2))
        await wait_until_small_batches_get(client, 503)
        answer = await client.send("PUT", "/claims", b"{}".ljust(SMALL_BYTES))
        writer.transport.abort()
        await wait_until_small_batches_get(client, 200)

    assert answer.headers["Retry-After"] == "1"


MIB = 2**20


@asynccontextmanager
async def stalling(node: Node, count: int, address: str) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many uploads of this address that stall shortly before their 8 MiB."""
    port = int(node.url.rpartition(":")[2])
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in streams:
        head = f"PUT /claims HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\nContent-Length: {8 * MIB}\r\n\r\n"
        writer.write(head.encode() + b" " * (8 * MIB - 1))
    yield [reader for reader, _ in streams]
    for _, writer in streams:
        writer.transport.abort()


async def first_head(readers: list[asyncio.StreamReader]) -> bytes:
    """The head of the first answer that comes on any of these connections."""
    async with asyncio.timeout(120):
        heads = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader in readers]
        answered, pending = await asyncio.wait(heads, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()
    return answered.pop().result()


async def test_an_upload_past_the_quarter_of_its_address_is_refused_and_others_are_not(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, trusted_proxies=["127.0.0.0/8"], bytes_in_flight_max=32 * MIB)
    async with Node(settings) as node, Client(node.url) as client, stalling(node, 2, "192.0.2.1") as readers:
        refused = await first_head(readers)
        other = await client.send("PUT", "/claims", b"{}".ljust(MIB), {"X-Forwarded-For": "192.0.2.2"})

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert other.status == 200


async def test_an_upload_that_stalls_gives_way_to_smaller_ones(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, trusted_proxies=["127.0.0.0/8"], bytes_in_flight_max=32 * MIB)
    async with (
        Node(settings) as node,
        Client(node.url) as client,
        stalling(node, 1, "192.0.2.1") as one,
        stalling(node, 1, "192.0.2.2") as other,
        stalling(node, 1, "192.0.2.3") as third,
    ):
        statuses = set()
        giving_way = asyncio.create_task(first_head([*one, *other, *third]))
        while not giving_way.done():
            answer = await client.send("PUT", "/claims", b"{}".ljust(MIB), {"X-Forwarded-For": "192.0.2.4"})
            statuses.add(answer.status)

    assert giving_way.result().startswith(b"HTTP/1.1 503 ")
    assert statuses == {200}


async def test_uploads_of_strangers_give_way_to_this_machine(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, trusted_proxies=["127.0.0.0/8"], bytes_in_flight_max=BUDGET_BYTES)
    async with Node(settings) as node, Client(node.url) as client, stalling(node, 1, "192.0.2.1") as readers:
        giving_way = asyncio.create_task(first_head(readers))
        while not giving_way.done():
            assert (await client.send("PUT", "/claims", b"{}".ljust(SMALL_BYTES))).status == 200

    assert giving_way.result().startswith(b"HTTP/1.1 503 ")


async def test_an_upload_that_stalls_is_cut_off(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, body_timeout=0.05)
    async with Node(settings) as node, stalling(node, 1, "192.0.2.1") as [reader], asyncio.timeout(120):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["code"] == "timeout"


@pytest.mark.parametrize(("pieces", "seconds_left"), [(0, 10.0), (1, 10.0), (10, 10.0)])
def test_a_body_that_is_fast_for_long_may_stall_no_longer(pieces: int, seconds_left: float) -> None:
    pace = Pace(timeout_s=10.0)

    for _ in range(pieces):
        pace.on_piece(MIB, waited_s=0.1)

    assert pace.left_s == seconds_left


def test_a_body_at_exactly_the_least_speed_goes_on_for_ever() -> None:
    pace = Pace(timeout_s=10.0)

    for _ in range(1_000):
        pace.on_piece(BYTES_PER_SECOND_MIN, waited_s=1.0)

    assert pace.left_s == 10.0


def test_a_body_below_the_least_speed_ends_when_it_is_too_far_behind() -> None:
    pace = Pace(timeout_s=10.0)

    for _ in range(20):
        pace.on_piece(BYTES_PER_SECOND_MIN // 2, waited_s=1.0)

    assert pace.left_s == 0.0
