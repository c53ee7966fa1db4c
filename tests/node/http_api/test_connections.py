"""The limit on open connections: kept exactly, told politely, and never for long."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from node.http_api.connections import LINGERING_MAX, REFUSAL, Doors
from node.monitoring.metrics import Traffic
from node.node import Node
from node.settings import Settings
from simulations.processes.process import running
from tests.node.authority import Authority

CONNECTIONS_MAX = 8
TIMEOUT_S = 30


@asynccontextmanager
async def full(folder: Path) -> AsyncIterator[tuple[Node, list[asyncio.StreamWriter]]]:
    """A node on which every connection that it may have is open."""
    async with Node(Settings(port=0, data=folder, connections_max=CONNECTIONS_MAX)) as node:
        writers = [await admitted(node) for _ in range(CONNECTIONS_MAX)]
        yield node, writers
        for writer in writers:
            await close(writer)


async def connected(node: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = node.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def admitted(node: Node) -> asyncio.StreamWriter:
    """A connection that has had an answer."""
    reader, writer = await connected(node)
    assert (await asked(reader, writer)).startswith(b"HTTP/1.1 200 ")
    return writer


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The head of the answer to a request for the node's health."""
    writer.write(b"GET /domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(TIMEOUT_S):
        return await reader.readuntil(b"\r\n\r\n")


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):  # the other end may have been quicker
        await writer.wait_closed()


async def test_one_connection_past_the_limit_is_told_to_come_back(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        reader, writer = await connected(node)
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
        while not answer.startswith(b"HTTP/1.1 200 "):  # the node hears of the end at some time of its own
            reader, writer = await connected(node)
            writers.append(writer)
            answer = await asked(reader, writer)

        assert node.traffic.connections == CONNECTIONS_MAX


async def test_a_node_without_room_says_so_in_its_health(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _):
        assert node.health() == []
        assert node.warnings() == ["all 8 connections are taken: others are turned away"]


class Turned(asyncio.Protocol):
    """A connection to a server that has room for none."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        assert not self._doors.enter(transport)


async def test_only_so_many_may_read_that_there_is_no_room() -> None:
    doors = Doors(0, Traffic(), linger_s=1_000)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Turned(doors), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    async with asyncio.timeout(TIMEOUT_S):
        lingering = [await asyncio.open_connection(host, port) for _ in range(LINGERING_MAX)]
        told = [await reader.readexactly(len(REFUSAL)) for reader, _ in lingering]
        reader, writer = await asyncio.open_connection(host, port)
        one_more = await reader.read()
        doors.close()
        ends = [await reader.read() for reader, _ in lingering]
    for each in (writer, *(writer for _, writer in lingering)):
        await close(each)
    server.close()

    assert set(told) == {REFUSAL}
    assert one_more == b""
    assert set(ends) == {b""}


async def test_a_node_that_stops_waits_for_nobody_whom_it_turned_away(tmp_path: Path) -> None:
    async with full(tmp_path) as (node, _), asyncio.timeout(TIMEOUT_S):
        reader, writer = await connected(node)
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
        answers = [await asked(reader, writer) for reader, writer in streams]
        streams.append(await asyncio.open_connection(host, int(port), ssl=context))
        refused = await streams[-1][0].readexactly(len(REFUSAL))
        for _, writer in streams:
            await close(writer)

    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 200 "}
    assert refused == REFUSAL


def test_the_limit_holds_on_the_loop_that_a_node_is_served_by(tmp_path: Path) -> None:
    """uvloop's, where that is installed, whose transports are its own."""
    with running("node", tmp_path / "data", "--connections-max", str(CONNECTIONS_MAX)) as node, ExitStack() as stack:
        host, port = node.url.removeprefix("http://").split(":")
        sockets = [stack.enter_context(socket.create_connection((host, int(port)), TIMEOUT_S)) for _ in range(9)]
        answers = [said(each) for each in sockets]

    assert sorted(answer[:13] for answer in answers) == [b"HTTP/1.1 200 "] * CONNECTIONS_MAX + [b"HTTP/1.1 503 "]


def said(connection: socket.socket) -> bytes:
    """The answer, up to the end of its head."""
    connection.sendall(b"GET /domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65_536)
        assert piece, answer
        answer += piece
    return answer
