"""The limit on open connections is exact, and a refused connection is told so before it closes."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from node.http_api.connections import LINGERING_MAX, REFUSAL, ConnectionLimit
from node.metrics import Traffic
from node.node import Node
from node.settings import Settings
from simulations.processes.process import running
from tests.node.authority import Authority

CONNECTIONS_MAX = 8
TIMEOUT_S = 30
"""Only ends a test that hangs."""

LINGER_S = 1_000
"""Longer than the test takes."""


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


class Refused(asyncio.Protocol):
    """A connection to a server that has no room."""

    def __init__(self, limit: ConnectionLimit) -> None:
        self._limit = limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        assert not self._limit.admit(transport)


async def test_a_limited_number_of_refused_connections_gets_an_answer() -> None:
    limit = ConnectionLimit(0, Traffic(), linger_s=LINGER_S)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Refused(limit), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    async with asyncio.timeout(TIMEOUT_S):
        lingering = [await asyncio.open_connection(host, port) for _ in range(LINGERING_MAX)]
        answers = [await reader.readexactly(len(REFUSAL)) for reader, _ in lingering]
        reader, writer = await asyncio.open_connection(host, port)
        one_more = await reader.read()
        limit.close()
        ends = [await reader.read() for reader, _ in lingering]
    for each in (writer, *(writer for _, writer in lingering)):
        await close(each)
    server.close()

    assert set(answers) == {REFUSAL}
    assert one_more == b""
    assert set(ends) == {b""}


async def test_a_node_that_stops_does_not_wait_for_refused_connections(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        reader, writer = await connect(node)
        await reader.readexactly(len(REFUSAL))
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
