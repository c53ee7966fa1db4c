"""What a stranger sends is read in pieces, and costs the node and everybody else little, whatever shape it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from node.http_api import start
from node.http_api.answers.direct_writer import WatchedConnection
from node.http_api.paced_connection import QUEUED_BYTES_MAX
from node.node import ROUTES, Node
from node.settings.settings import Settings
from node.world import World
from tests.history import claim, signed
from tests.node.http_api.talking import NOW, batch

TIMEOUT_S = 120
"""Only ends a test that hangs."""

FILLER = b"X: " + b"x" * 8_000 + b"\r\n"
REQUEST = b"GET /domains HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node for which callers on loopback are strangers."""
    settings = Settings(port=0, data=tmp_path, loopback_trusted=False, trusted_proxies=["192.0.2.0/24"])
    async with Node(settings, World(now_s=lambda: NOW)) as node:
        yield node


async def connect(node: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = node.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def ask(node: Node, request: bytes) -> bytes:
    """All that a node answers until it closes the connection; nothing if the node resets it."""
    reader, writer = await connect(node)
    writer.write(request)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def chunked(body: bytes) -> bytes:
    """The body in chunks of one byte."""
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


async def test_a_body_in_chunks_of_one_byte_is_read(node: Node) -> None:
    body = batch([signed(claim(f"label-{number}", at=NOW)) for number in range(20)])
    head = b"PUT /claims HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = await ask(node, head + chunked(body))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b'"accepted"') == 20


async def test_a_large_body_is_read_although_it_comes_before_its_request_is_handled(node: Node) -> None:
    records = [signed(claim(f"label-{number}", at=NOW, padding="x" * 30_000)) for number in range(30)]
    body = batch(records)
    head = b"PUT /claims HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)

    answer = await ask(node, head + body)

    assert len(body) > 10 * QUEUED_BYTES_MAX
    assert answer.count(b'"accepted"') == 30


async def test_requests_that_come_at_once_are_answered_in_their_order(node: Node) -> None:
    """They have more bytes than a connection may have in its queue."""
    many = [b"GET /claims/example/label-%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(1_300)]
    last = b"GET /domains HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answer = await ask(node, b"".join(many) + last)

    assert len(b"".join(many)) > QUEUED_BYTES_MAX
    assert answer.count(b"HTTP/1.1 404 ") == 1_300
    assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_requests_with_long_targets_that_come_at_once_are_all_answered(node: Node) -> None:
    """Together they have more bytes than a head may have. Once the tenth of them was refused for that."""
    long = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 8_000)
    count = 8 * QUEUED_BYTES_MAX // len(long)
    last = b"GET /domains HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    answer = await ask(node, long * count + last)

    assert (answer.count(b"HTTP/1.1 404 "), answer.count(b"HTTP/1.1 200 ")) == (count, 1)


async def test_a_connection_that_was_refused_costs_nothing_until_it_closes(node: Node) -> None:
    """Its unread bytes waited for a turn that never took them, in each turn of the loop for a second."""
    runner = await start(node.api, ROUTES, None)
    try:
        host, port = runner.addresses[0][:2]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /domains HTTP/1.1\r\n" + FILLER * 30)
        await reader.readuntil(b"HTTP/1.1 431 ")
        refused = [(it.is_refused, it._next_turn) for it in runner.server.connections]  # type: ignore[union-attr]
        writer.close()
    finally:
        await runner.cleanup()

    assert refused == [(True, None)]


async def test_requests_that_wait_for_their_answers_are_never_held_up(node: Node) -> None:
    """Once they had more bytes together than a queue may have, each of them waited 0.05 s."""
    request = b"GET /domains HTTP/1.1\r\nHost: x\r\n" + FILLER + b"\r\n"
    runner = await start(node.api, ROUTES, None)
    try:
        host, port = runner.addresses[0][:2]
        reader, writer = await asyncio.open_connection(host, port)
        held = []
        for _ in range(QUEUED_BYTES_MAX // len(request) + 2):
            writer.write(request)
            await reader.readuntil(b"[]")
            held += [it._is_held for it in runner.server.connections]  # type: ignore[union-attr]
        writer.close()
    finally:
        await runner.cleanup()

    assert held == [False] * (QUEUED_BYTES_MAX // len(request) + 2)


async def test_a_head_has_a_limit_of_bytes(node: Node) -> None:
    fitting, more = QUEUED_BYTES_MAX // len(FILLER) - 1, QUEUED_BYTES_MAX // len(FILLER) + 2

    answers = [
        await ask(node, b"GET /domains HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + FILLER * count + b"\r\n")
        for count in (fitting, more)
    ]

    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 200 ", b"HTTP/1.1 431 "]
    assert b'"code":"too_large"' in answers[1]
    assert b'"bytes_max":65536' in answers[1]


async def test_a_long_head_behind_a_request_under_way_ends_the_connection(node: Node) -> None:
    listen = b"GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"

    reader, writer = await connect(node)
    writer.write(listen)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"GET /domains HTTP/1.1\r\n" + FILLER * 20)

    async with asyncio.timeout(TIMEOUT_S):
        with suppress(ConnectionError):
            while await reader.read(1_024):
                pass
    writer.close()


def test_aiohttp_still_has_the_names_that_the_connection_uses() -> None:
    used = ["_reading_paused", "_buffer_paused", "_messages", "_current_request", "_request_count", "_upgraded"]
    used += ["_waiter", "_paused", "_close", "_force_close", "_request_in_progress", "_handler_waiter", "_manager"]
    used += ["_parser", "_keepalive", "_keepalive_handle", "_keepalive_timeout", "_next_keepalive_close_time"]
    called = ["_pause_transport_reading", "_resume_transport_reading", "resume_reading", "data_received"]
    called += ["_process_keepalive"]

    slots = {name for each in WatchedConnection.__mro__ for name in getattr(each, "__slots__", ())}

    assert [name for name in used if name not in slots] == []
    assert [name for name in called if not hasattr(WatchedConnection, name)] == []
