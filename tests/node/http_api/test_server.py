"""The server around the routes: it listens where it should, and leaves nothing behind."""

import asyncio
import gc
import socket
import time
from pathlib import Path

import pytest

from node.fairness.turns import TURN_S
from node.http_api import start, url_of
from node.http_api.app import REQUEST_TURNS
from node.http_api.eagerly import Eager
from node.http_api.server import _Connection, _Runner
from node.node import ROUTES, Node
from node.settings.settings import Settings
from tests.node.http_api.talking import Client, fresh
from tests.waiting import within

TIMEOUT_S = 120
"""Only ends a test that hangs."""


async def test_a_port_in_use_is_an_error_and_ends_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match=r"(?i)address already in use"):
        async with Node(Settings(port=taken.getsockname()[1], data=tmp_path / "data")):
            pass

    async with Node(Settings(port=0, data=tmp_path / "data")) as node:
        assert node.url.startswith("http://127.0.0.1:")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_address_stands_in_brackets(tmp_path: Path) -> None:
    async with Node(Settings(host="::1", port=0, data=tmp_path / "data")) as node, Client(node.url) as client:
        answer = await client.put(fresh())

    assert node.url.startswith("http://[::1]:")
    assert answer.status == 422, "the node answered, although it refuses this old claim"


async def test_every_connection_is_of_our_class(node: Node) -> None:
    """`_Runner` and `_Server` use private parts of aiohttp. If an upgrade of aiohttp changes these, this test fails;
    without it, the limit on connections would silently end, and refusals would become aiohttp's own pages.
    """
    runner = await start(node.api, ROUTES, None)
    try:
        assert runner.server is not None
        connection = runner.server()
        logger = connection.access_logger
    finally:
        await runner.cleanup()

    assert (type(runner), type(connection)) == (_Runner, _Connection)
    assert logger is None, "the arguments of the runner reach the connection"


async def test_two_servers_can_serve_one_node(node: Node) -> None:
    runner = await start(node.api, ROUTES, None)
    try:
        async with Client(node.url) as one, Client(url_of(runner, node.settings)) as other:
            await one.put(fresh())
            assert (await other.get("/claims")).body == (await one.get("/claims")).body
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("path", ["/nothing", "/" + "a/" * 100, "/health", "/claims/example/nothing/history"])
async def test_a_request_of_a_stranger_waits_for_those_before_it(node: Node, path: str) -> None:
    """Hundreds of connections with requests that no route takes would each have a part of each turn of the loop."""
    runner = await start(node.api, ROUTES, None)
    try:
        async with Client(url_of(runner, node.settings)) as client:
            await client.get("/health")  # so that the connection is there
            turns, at_once = runner.app[REQUEST_TURNS], Eager()
            turns.count(TURN_S)
            before = [at_once.run(turns.wait(f"10.0.{number}.1")) for number in range(200)]
            here = await client.get(path)
            done_before_here = sum(task is None or task.done() for task in before)
            await client.get(path, {"X-Forwarded-For": "192.0.2.1"})
            done = sum(task is None or task.done() for task in before)
    finally:
        await runner.cleanup()

    assert here.status in (200, 404)
    assert done_before_here < 100, "the operator waits for nobody"
    assert done == 200


async def test_a_node_stops_although_clients_keep_their_connections(tmp_path: Path) -> None:
    async with Node(Settings(port=0, data=tmp_path / "data")) as node:
        port = int(node.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"}")

    async with asyncio.timeout(TIMEOUT_S):
        assert await reader.read() == b""
    writer.transport.abort()


async def send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(65_536))
        await writer.drain()


async def test_a_client_that_goes_on_with_a_refused_body_gets_its_answer_and_is_cut_off_soon(node: Node) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rpartition(":")[2]))
    writer.write(b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    async with within(5):  # aiohttp's own default is 10 s
        answer = await reader.readuntil(b"}")
        with pytest.raises(ConnectionError):
            await send_for_ever(writer)
    writer.transport.abort()

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_path_of_many_slashes_costs_no_more_than_one_of_letters(node: Node) -> None:
    """Aiohttp looks for a route of each beginning of a path, so that 8 kB of slashes cost 10 ms."""
    async with Client(node.url) as client:
        costs_s = {}
        for name, path in (("letters", "/" + "a" * 8_000), ("slashes", "/" * 8_000)):
            begun_s = time.thread_time()
            answers = [await client.get(path) for _ in range(10)]
            costs_s[name] = time.thread_time() - begun_s
            assert {answer.refusal for answer in answers} == {(404, "unknown_route")}

    assert costs_s["slashes"] < 5 * costs_s["letters"]


async def test_a_path_that_leads_nowhere_leaves_little_to_the_garbage_collector(node: Node) -> None:
    """The frames of aiohttp's exception were in a cycle, so that collections held the loop for up to 100 ms during a
    flood of such requests.
    """
    async with Client(node.url) as client:
        await client.get("/nowhere")
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await client.get("/nowhere")
            found = gc.collect()
        finally:
            gc.enable()

    assert found < 20 * 10
