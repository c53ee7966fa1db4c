"""The site accepts some connections in each turn of the loop: neither one alone, nor all that wait."""

import asyncio
import socket
from itertools import pairwise
from pathlib import Path

from node.http_api.site import BEGINNINGS_MAX, WAITING_MAX
from node.node import Node
from node.settings.settings import Settings

TIMEOUT_S = 120
"""Only ends a test that hangs."""


async def test_a_turn_of_the_loop_accepts_some_of_the_connections_that_wait(node: Node) -> None:
    host, port = node.url.removeprefix("http://").split(":")
    clients = [socket.create_connection((host, int(port))) for _ in range(100)]

    counts = [node.traffic.connections]
    async with asyncio.timeout(TIMEOUT_S):
        while counts[-1] < len(clients):
            await asyncio.sleep(0)
            counts.append(node.traffic.connections)
    for client in clients:
        client.close()

    assert counts[0] == 0
    assert max(after - before for before, after in pairwise(counts)) == BEGINNINGS_MAX


async def test_connections_of_a_network_of_strangers_keep_no_other_one_waiting(tmp_path: Path) -> None:
    """A quarter of those that wait may be of one network. Further ones are closed, and the kernel's queue is empty."""
    strangers = Settings(port=0, data=tmp_path, loopback_trusted=False, trusted_proxies=["192.0.2.0/24"])
    async with Node(strangers) as node, asyncio.timeout(TIMEOUT_S):
        host, port = node.url.removeprefix("http://").split(":")
        flood = [socket.create_connection((host, int(port)), source_address=("127.1.0.1", 0)) for _ in range(120)]
        other = socket.create_connection((host, int(port)), source_address=("127.2.0.1", 0))
        other.setblocking(False)
        traffic, counts = node.traffic, [0]
        while traffic.connections + traffic.connections_refused < len(flood) + 1:
            await asyncio.sleep(0)
            counts.append(traffic.connections)

        await asyncio.get_running_loop().sock_sendall(other, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await asyncio.get_running_loop().sock_recv(other, 1_000)
        for client in [*flood, other]:
            client.close()

    assert answer.startswith(b"HTTP/1.1 200")
    assert WAITING_MAX // 4 < counts[-1] < len(flood)
    assert max(after - before for before, after in pairwise(counts)) < BEGINNINGS_MAX
