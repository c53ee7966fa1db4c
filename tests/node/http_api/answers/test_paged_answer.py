"""An answer of many pages holds one page in memory, and an answer that breaks off never looks complete."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from node.fairness.byte_budget import ByteBudget
from node.http_api.answers.answer_room import AnswerRoom, AnswerRooms
from node.http_api.answers.paged_answer import DICT, answer_pages
from node.node import Node
from protocol.records.record import SignedRecord
from tests.history import claim, signed
from tests.node.http_api.talking import NOW, Client

RECORD = signed(claim("garden", text="x" * 60_000))
Pages = AsyncGenerator[list[SignedRecord], None]

SOCKET_BYTES_MAX = 100 * 2**20
"""More than the sockets of both ends hold together."""


@asynccontextmanager
async def serving(pages: Callable[[], Pages]) -> AsyncIterator[str]:
    """The URL of a server that answers with these pages."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await answer_pages(request, pages(), DICT, AnswerRoom(AnswerRooms(ByteBudget(2**30, 0, "")), None, None))

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_a_store_that_fails_in_the_middle_breaks_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def pages() -> Pages:
        yield [RECORD]
        yield [RECORD]
        raise OSError("the disk is gone")

    async with serving(pages) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.get(url) as response:
                await response.read()

    assert ["the disk is gone" in (record.exc_text or "") for record in caplog.records] == [True]


async def test_a_client_that_leaves_stops_the_reading_without_a_log_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = asyncio.Event()

    async def pages() -> Pages:
        try:
            while True:
                yield [RECORD]
        finally:
            closed.set()

    async with serving(pages) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].rstrip("/")))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(100_000)
        writer.transport.abort()
        async with asyncio.timeout(120):
            await closed.wait()

    assert caplog.records == []


async def test_a_client_that_reads_nothing_stops_the_reading_of_the_store() -> None:
    read = 0

    async def pages() -> Pages:
        nonlocal read
        while True:
            read += 1
            yield [RECORD]

    async with serving(pages) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].rstrip("/")), limit=1_024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(100)
        before = -1
        while before != read:  # until the buffers of the sockets are full
            before = read
            for _ in range(1_000):
                await asyncio.sleep(0)
        writer.transport.abort()

    assert read * len(RECORD.record.canonical) < SOCKET_BYTES_MAX


async def test_a_store_that_fails_before_the_first_page_is_answered_by_a_problem(client: Client, node: Node) -> None:
    await client.put(claim("garden", at=NOW))
    await node.store.close()

    answer = await client.get("/claims")

    assert answer.refusal == (500, "internal")
    assert b"Error" not in answer.body.replace(b"Internal Server Error", b"")
