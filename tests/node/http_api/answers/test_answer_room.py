"""Clients that ask and do not read get a bounded part of the memory."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from node.fairness.byte_budget import ByteBudget
from node.http_api.answers.answer_room import ANSWER_BYTES_MIN, COPIES, AnswerRoom, AnswerRooms
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
        async with asyncio.timeout(120):
            while (answer := await ask(client, query)) != (503, "overloaded"):
                assert answer == (200, "")
        assert (await client.get(f"/claims?limit={len(records)}")).status == 200  # a caller on this machine has room
        for _, writer in stalled:
            writer.transport.abort()
        async with asyncio.timeout(120):
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


class Connection(asyncio.Transport):
    """The connection to a client."""

    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


def rooms(give_way_s: float) -> AnswerRooms:
    """Rooms for three answers of strangers that hold one page of 1 MiB each, and for one of another caller."""
    page_bytes = ANSWER_BYTES_MIN + COPIES * MIB
    return AnswerRooms(ByteBudget(4 * page_bytes, page_bytes, "full"), give_way_s)


async def test_answers_that_are_not_read_give_way_to_others_that_of_the_address_with_most_first() -> None:
    shared = rooms(give_way_s=0.0)
    connections = [Connection() for _ in range(3)]
    answers = [AnswerRoom(shared, address, connection) for address, connection in zip("aab", connections, strict=True)]

    with ExitStack() as stack:
        for answer, pages in zip(answers, (0.4, 0.6, 0.9), strict=True):
            answer.open(int(pages * MIB))
            stack.enter_context(answer.waiting())
        newcomer = AnswerRoom(shared, "c", Connection())
        newcomer.open(MIB)
        one_more = AnswerRoom(shared, "d", Connection())
        one_more.open(MIB)

    assert [connection.is_aborted for connection in connections] == [True, False, True]


async def test_answers_that_are_read_do_not_give_way() -> None:
    shared = rooms(give_way_s=60.0)
    connections = [Connection() for _ in range(3)]

    with ExitStack() as stack:
        for address, connection in zip("abc", connections, strict=True):
            answer = AnswerRoom(shared, address, connection)
            answer.open(MIB)
            stack.enter_context(answer.waiting())
        with pytest.raises(ProtocolError) as refused:
            AnswerRoom(shared, "d", Connection()).open(MIB)

    assert refused.value.code is Code.OVERLOADED
    assert not any(connection.is_aborted for connection in connections)
