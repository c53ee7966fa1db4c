"""Clients that ask and do not read get a bounded part of the memory."""

import asyncio
from pathlib import Path

import pytest

from node.byte_budget import ByteBudget
from node.store.contract import StoredRecord
from protocol.errors import Code, ProtocolError
from protocol.records.record import Record
from tests.node.http_api.listening import connect, running
from tests.node.http_api.talking import Client, fresh

MIB = 2**20


def large(count: int) -> list[Record]:
    return [fresh(f"garden-{number}", text="x" * 65_000) for number in range(count)]


@pytest.mark.parametrize("query", ["/claims", "/claims?limit=200", "/claims?history=true", "/records?"])
async def test_an_answer_that_has_no_room_is_refused_until_others_are_read(tmp_path: Path, query: str) -> None:
    records = large(96)
    async with running(tmp_path, answer_bytes_max=4 * MIB) as (node, client):
        await client.import_all(node, records)
        if query == "/records?":
            query += "&".join(f"id={record.id}" for record in records)
        stalled = [await connect(node, query) for _ in range(4)]
        async with asyncio.timeout(30):
            while (answer := await ask(client, query)) != (503, "overloaded"):
                assert answer == (200, "")
        assert (await client.get(f"/claims?limit={len(records)}")).status == 200  # a caller on this machine has room
        for _, writer in stalled:
            writer.transport.abort()
        async with asyncio.timeout(30):
            while await ask(client, query) != (200, ""):
                pass


async def ask(client: Client, path: str) -> tuple[int, str]:
    """The status and code that a stranger gets, who shares an address with the stalled clients."""
    answer = await client.get(path, {"Host": "stranger.example"})
    return (200, "") if answer.status == 200 else answer.refusal


async def test_the_store_reads_no_more_bytes_than_asked_for(tmp_path: Path) -> None:
    records = large(8)
    async with running(tmp_path) as (node, client):
        await client.import_all(node, records)
        ids = [record.id for record in records]

        some: dict[str, StoredRecord] = await node.store.records(ids, 200_000)
        one = await node.store.records(ids, 1)
        heads = await node.store.heads(None, None, 0, 8, "", 100_000)

    assert (list(some), list(one), len(heads)) == (ids[:3], ids[:1], 2)


def test_one_address_gets_a_quarter_and_all_strangers_three_quarters() -> None:
    budget = ByteBudget(400, 10, "full")

    for address in "abc":
        budget.add(address, 100)
        budget.check_room(address)
    budget.add("a", 1)

    for address in "ad":
        with pytest.raises(ProtocolError) as refused:
            budget.check_room(address)
        assert refused.value.code is Code.OVERLOADED
    budget.check_room(None)
