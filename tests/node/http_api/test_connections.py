"""The limit on open connections is exact, and a refused connection is told so before it closes."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from node.fairness import prices
from node.http_api.connections import LINGERING_MAX, REFUSAL
from node.intake.arrivals import Origin, Submission
from node.node import Node
from node.settings.settings import Settings
from protocol.records.admission import Trust
from simulations.processes.process import running
from tests.history import claim, signed
from tests.node.authority import Authority
from tests.waiting import until

CONNECTIONS_MAX = 8
TIMEOUT_S = 120
"""Only ends a test that hangs."""


@asynccontextmanager
async def full(folder: Path) -> AsyncIterator[tuple[Node, list[asyncio.StreamWriter]]]:
    """A node that has as many open connections as it may have, and those connections."""
    async with Node(Settings(port=0, data=folder, connections_max=CONNECTIONS_MAX)) as node:
        writers = [await connect_and_ask(node) for _ in range(CONNECTIONS_MAX)]
        yield node, writers
        for writer in writers:
            await close(writer)


async def connect(node: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = node.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def connect_and_ask(node: Node) -> asyncio.StreamWriter:
    """A connection that got an answer."""
    reader, writer = await connect(node)
    assert (await ask(reader, writer)).startswith(b"HTTP/1.1 200 ")
    return writer


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The head of the answer to a request."""
    writer.write(b"GET /domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(TIMEOUT_S):
        return await reader.readuntil(b"\r\n\r\n")


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):  # the other end may have been quicker
        await writer.wait_closed()


async def test_one_connection_past_the_limit_is_told_to_come_back_later(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect(node)
        writer.write(b"GET /domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        traffic = (node.traffic.connections, node.traffic.connections_refused)
        await close(writer)

    assert answer == REFUSAL
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: " in answer
    assert b'"code":"overloaded"' in answer
    assert traffic == (CONNECTIONS_MAX, 1)


async def test_a_connection_that_ends_makes_room_for_another(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, writers), asyncio.timeout(TIMEOUT_S):
        await close(writers.pop())
        answer = b""
        while not answer.startswith(b"HTTP/1.1 200 "):  # the node notices the end some time later
            reader, writer = await connect(node)
            writers.append(writer)
            answer = await ask(reader, writer)

        assert node.traffic.connections == CONNECTIONS_MAX


async def test_a_node_without_room_warns_of_it_and_stays_healthy(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _):
        assert node.health() == []
        assert node.warnings() == ["all 8 connections are taken: others are turned away"]


async def test_a_limited_number_of_refused_connections_stays_open_for_its_request(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        while True:
            oldest, *others = [await connect(node) for _ in range(LINGERING_MAX + 1)]
            if not await oldest[0].read():
                break
            for _, writer in (oldest, *others):  # on a busy machine its time may be over before the last one comes
                await close(writer)
        for _, writer in others:
            writer.write(b"GET /domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = [await reader.readexactly(len(REFUSAL)) for reader, _ in others]
        for _, writer in (oldest, *others):
            await close(writer)

    assert set(answers) == {REFUSAL}


async def test_a_refused_connection_that_sends_nothing_is_told_so_and_closed(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect(node)
        answer = await reader.read()
        await close(writer)

    assert answer == REFUSAL


async def test_health_is_answered_without_a_place(tmp_path: Path) -> None:
    """An orchestrator that cannot ask would take the node for broken, and start it again."""
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect(node)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        await close(writer)

    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body) == {
        "status": "ok",
        "problems": [],
        "warnings": ["all 8 connections are taken: others are turned away"],
    }


async def test_a_node_that_stops_does_not_wait_for_refused_connections(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        _, writer = await connect(node)
    await close(writer)

    assert node.traffic.connections == 0


async def test_the_limit_holds_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=authority.ca)
    settings = Settings(
        port=0,
        data=tmp_path / "data",
        connections_max=CONNECTIONS_MAX,
        tls_certificate=authority.chain,
        tls_key=authority.key,
    )
    async with Node(settings) as node, asyncio.timeout(TIMEOUT_S):
        host, port = node.url.removeprefix("https://").split(":")
        streams = [await asyncio.open_connection(host, int(port), ssl=context) for _ in range(CONNECTIONS_MAX)]
        answers = [await ask(reader, writer) for reader, writer in streams]
        streams.append(await asyncio.open_connection(host, int(port), ssl=context))
        streams[-1][1].write(b"GET /domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
        refused = await streams[-1][0].readexactly(len(REFUSAL))
        for _, writer in streams:
            await close(writer)

    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 200 "}
    assert refused == REFUSAL


def test_the_limit_holds_on_the_loop_that_dnarc_serve_uses(tmp_path: Path) -> None:
    """That is uvloop if it is installed. Its transports are not asyncio's."""
    with running("node", tmp_path / "data", "--connections-max", str(CONNECTIONS_MAX)) as node, ExitStack() as stack:
        host, port = node.url.removeprefix("http://").split(":")
        address = (host, int(port))
        sockets = [
            stack.enter_context(socket.create_connection(address, TIMEOUT_S)) for _ in range(CONNECTIONS_MAX + 1)
        ]
        answers = [ask_over(each) for each in sockets]

    assert sorted(answer[:13] for answer in answers) == [b"HTTP/1.1 200 "] * CONNECTIONS_MAX + [b"HTTP/1.1 503 "]


def ask_over(connection: socket.socket) -> bytes:
    """The answer to a request, up to the end of its head."""
    connection.sendall(b"GET /domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65_536)
        assert piece, answer
        answer += piece
    return answer


STRANGERS: dict[str, Any] = {"loopback_trusted": False, "trusted_proxies": ["192.0.2.0/24"], "port": 0}
"""With these settings the addresses 127.0.0.1, 127.0.0.2 and so on belong to strangers."""


async def connect_from(node: Node, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = node.url.partition("://")[2].split(":")
    return await asyncio.open_connection(host, int(port), local_addr=(address, 0))


async def is_served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    try:
        return (await ask(reader, writer)).startswith(b"HTTP/1.1 200 ")
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def test_silent_connections_of_one_address_keep_nobody_out(tmp_path: Path) -> None:
    async with Node(Settings(data=tmp_path, connections_max=16, **STRANGERS)) as node, asyncio.timeout(TIMEOUT_S):
        silent = [await connect_from(node, "127.0.0.1") for _ in range(32)]
        others = [await connect_from(node, f"127.0.0.{number}") for number in range(2, 10)]
        served = [await is_served(*each) for each in others]
        for _, writer in (*silent, *others):
            await close(writer)

    assert all(served)


async def test_silent_connections_of_many_addresses_give_way_to_whoever_comes(tmp_path: Path) -> None:
    async with Node(Settings(data=tmp_path, connections_max=16, **STRANGERS)) as node, asyncio.timeout(TIMEOUT_S):
        silent = [await connect_from(node, f"127.0.1.{number}") for number in range(1, 33)]
        newcomer = await connect_from(node, "127.0.0.1")
        served = await is_served(*newcomer)
        ends = [await silent[0][0].read()]
        for _, writer in (*silent, newcomer):
            await close(writer)

    assert served
    assert ends == [b""]


SLOW_CLIENTS = {
    "a body that does not end": b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{",
    "an answer that nobody reads": b"GET /claims/example?history=true HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
}


@pytest.mark.parametrize("begin", SLOW_CLIENTS.values(), ids=SLOW_CLIENTS.keys())
async def test_connections_that_wait_for_their_clients_give_way_to_whoever_comes(tmp_path: Path, begin: bytes) -> None:
    """A body may come at the least speed for half an hour, and an answer may be read as slowly."""
    settings = Settings(data=tmp_path, connections_max=16, answer_bytes_max=2**30, body_timeout=600.0, **STRANGERS)
    large = [signed(claim(f"label-{number}", at=int(time.time()), padding="x" * 60_000)) for number in range(40)]
    async with Node(settings) as node, asyncio.timeout(TIMEOUT_S):
        await node.ingest.take(
            [Submission(each.signature, each.record.canonical) for each in large], Origin(Trust.PEER)
        )
        slow = [await connect_from(node, f"127.0.1.{number}") for number in range(1, 13)]
        for _, writer in slow:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(begin)
        newcomer = await connect_from(node, "127.0.0.1")
        while not await is_served(*newcomer):
            newcomer[1].close()
            newcomer = await connect_from(node, "127.0.0.1")
        for _, writer in (*slow, newcomer):
            writer.transport.abort()


async def test_health_warns_of_strangers_that_are_turned_away(tmp_path: Path) -> None:
    async with Node(Settings(data=tmp_path, connections_max=8, **STRANGERS)) as node, asyncio.timeout(TIMEOUT_S):
        streams, heads = [], []
        for _ in range(3):
            reader, writer = await connect_from(node, "127.0.0.1")
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            streams.append((reader, writer))
        warnings = node.warnings()
        for _, writer in streams:
            await close(writer)

    assert sorted(head[:13] for head in heads) == [b"HTTP/1.1 200 "] * 2 + [b"HTTP/1.1 503 "]
    assert any(warning.startswith("connections were turned away in the last 60 s") for warning in warnings)


async def test_a_head_that_is_not_whole_in_time_is_refused(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, head_timeout=0.05)
    async with Node(settings) as node, asyncio.timeout(TIMEOUT_S):
        answer = b""
        while not answer:  # on a busy machine the time may be over before the first byte arrives
            reader, writer = await connect(node)
            writer.write(b"GET /domains HTTP/1.1\r\nX:")
            with suppress(ConnectionError):
                answer = await reader.read()
            await close(writer)
        head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["code"] == "timeout"


async def test_a_connection_that_sends_nothing_is_closed_without_a_word(tmp_path: Path) -> None:
    async with Node(Settings(port=0, data=tmp_path, head_timeout=0.05)) as node, asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect(node)
        answer = await reader.read()
        await close(writer)

    assert answer == b""


async def test_the_time_to_the_head_does_not_run_between_requests(tmp_path: Path) -> None:
    """A connection that waits for its next request is closed after `idle_timeout`, which is longer."""
    async with (
        Node(Settings(port=0, data=tmp_path, head_timeout=0.05)) as node,
        Node(Settings(port=0, data=tmp_path / "clock", head_timeout=0.2)) as clock,
        asyncio.timeout(TIMEOUT_S),
    ):
        reader, writer = await connect(node)
        while not await is_served(reader, writer):  # on a busy machine the time may be over before the first request
            await close(writer)
            reader, writer = await connect(node)
        await reader.readexactly(2)
        passing = await connect(clock)
        await passing[0].read()  # until more than the time to the head has passed
        again = await is_served(reader, writer)
        for each in (writer, passing[1]):
            await close(each)

    assert again


async def test_a_connection_between_requests_is_closed_after_the_idle_timeout(tmp_path: Path) -> None:
    async with Node(Settings(port=0, data=tmp_path, idle_timeout=0.05)) as node, asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect(node)
        await ask(reader, writer)
        rest = await reader.read()
        await close(writer)

    assert rest == b"[]"


def tls_settings(folder: Path, **chosen: Any) -> tuple[Settings, ssl.SSLContext]:
    authority = Authority(folder)
    files: dict[str, Any] = {"tls_certificate": authority.chain, "tls_key": authority.key}
    return Settings(data=folder / "data", **files, **chosen), ssl.create_default_context(cafile=authority.ca)


async def test_connections_without_a_tls_greeting_are_counted_and_give_way(tmp_path: Path) -> None:
    settings, context = tls_settings(tmp_path, connections_max=CONNECTIONS_MAX, **STRANGERS)
    async with Node(settings) as node, asyncio.timeout(TIMEOUT_S):
        silent = [await connect_from(node, f"127.0.1.{number}") for number in range(1, 65)]
        host, port = node.url.removeprefix("https://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        served = await is_served(reader, writer)
        taken = node.traffic.connections
        for _, each in (*silent, (reader, writer)):
            await close(each)

    assert served
    assert taken == CONNECTIONS_MAX * 3 // 4
    assert node.traffic.connections == 0


async def test_strangers_may_begin_few_tls_handshakes_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake costs work. With this share, one of an address uses up what it may use in eight minutes."""
    monkeypatch.setattr(prices, "SHARE_MAX", 1e-6)
    settings, context = tls_settings(tmp_path, **STRANGERS)
    async with Node(settings) as node, asyncio.timeout(TIMEOUT_S):
        _, first = await connect_from(node, "127.0.1.1")
        reader, second = await connect_from(node, "127.0.1.1")
        end = await reader.read()
        host, port = node.url.removeprefix("https://").split(":")
        served = await is_served(*(other := await asyncio.open_connection(host, int(port), ssl=context)))
        for each in (first, second, other[1]):
            await close(each)

    assert (end, served) == (b"", True)
    assert node.traffic.connections_refused == 1


async def test_a_tls_handshake_that_takes_too_long_gives_its_place_back(tmp_path: Path) -> None:
    settings, _ = tls_settings(tmp_path, port=0, head_timeout=0.05)
    async with Node(settings) as node, asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect_from(node, "127.0.0.1")
        end = await reader.read()
        await until(lambda: node.traffic.connections == 0)
        await close(writer)

    assert end == b""


async def test_bytes_that_are_no_tls_give_their_place_back(tmp_path: Path) -> None:
    settings, _ = tls_settings(tmp_path, port=0)
    async with Node(settings) as node, asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect_from(node, "127.0.0.1")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()
        await until(lambda: node.traffic.connections == 0)
        await close(writer)

    assert node.traffic.connections == 0
