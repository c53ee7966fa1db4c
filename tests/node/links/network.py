"""Nodes that link with each other on loopback, and peers that are no nodes, for the tests of links."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from node.node import Node
from node.settings import Settings
from node.store import Peer
from node.world import World
from protocol.record import Record
from tests.node.sync_network import NOW, held, ids

HANG_S: float = 30.0
"""Ends a test that would wait for ever; nothing takes as long."""


@asynccontextmanager
async def running(data: Path, **settings: Any) -> AsyncIterator[Node]:
    """A node that dials again within milliseconds."""
    defaults: dict[str, Any] = {
        "sync_interval": None,
        "peers_poll": 0.05,
        "max_age": None,
        "reconnect_min": 0.01,
        "reconnect_max": 0.1,
        "verify_threads": 1,
    }
    chosen = Settings(data=data, **{"port": 0} | defaults | settings)
    async with Node(chosen, World(now_s=lambda: NOW, random=Random(1))) as node:
        yield node


def ws(node: Node) -> str:
    """The URL under which others list the node."""
    return node.url.replace("http", "ws", 1)


async def befriend(node: Node, other: Node, *, push: bool = True, pull: bool = True) -> None:
    """Have the node dial the other; what it pushes is accepted."""
    await node.peers.put(Peer(url=ws(other), push=push, pull=pull))
    if push:
        await other.peers.put(Peer(key=node.key.public, accept=True))


async def until(is_so: Callable[[], bool], *nodes: Node) -> None:
    """Wait for what changes with a commit, or with a link, of one of these nodes."""
    async with asyncio.timeout(HANG_S):
        while not is_so():
            await asyncio.wait(
                [asyncio.ensure_future(asyncio.sleep(0.005))],
            )


async def until_held(records: Sequence[Record], *nodes: Node) -> None:
    """Wait until each of these nodes holds these records."""
    wanted = ids(records)
    await until(lambda: all(wanted <= held(node) for node in nodes), *nodes)
