"""The site accepts some connections in each turn of the loop: neither one alone, nor all that wait."""

import asyncio
import socket
from itertools import pairwise

from node.http_api.site import ACCEPTS_MAX
from node.node import Node

TIMEOUT_S = 30
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
    assert max(after - before for before, after in pairwise(counts)) == ACCEPTS_MAX
