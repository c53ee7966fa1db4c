"""Nodes that link with each other on loopback, for the tests of links."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from node.world import World
from protocol.link.status import LinkState
from protocol.records.record import Record
from tests.node.http_sync.sync_network import NOW, held, ids

HANG_S: Final = 120.0
"""Seconds after which a test that hangs fails. No test takes as long."""


@asynccontextmanager
async def running(data: Path, now_s: Callable[[], float] = lambda: NOW, **settings: Any) -> AsyncIterator[Node]:
    """A node that dials again within milliseconds. `now_s` is its wall clock, which stands still by default."""
    defaults: dict[str, Any] = {
        "port": 0,
        "sync_interval": None,
        "peers_poll": 0.05,
        "max_age": None,
        "reconnect_min": 0.01,
        "reconnect_max": 0.1,
        "verify_threads": 1,
    }
    chosen = Settings(data=data, **defaults | settings)
    async with Node(chosen, World(now_s=now_s, random=Random(1))) as node:
        yield node


def ws(node: Node) -> str:
    """The URL under which other nodes list the node."""
    return node.url.replace("http", "ws", 1)


async def befriend(node: Node, other: Node, *, push: bool = True, pull: bool = True) -> None:
    """Let the node dial the other. If the node pushes, the other accepts its pushes."""
    if push:
        await other.peers.put(Peer(key=node.key.public, accept=True))
    await node.peers.put(Peer(url=ws(other), push=push, pull=pull))


@contextmanager
def watching(*nodes: Node) -> Iterator[asyncio.Event]:
    """An event that each commit of these nodes sets, and anything that happens on their links."""
    moved = asyncio.Event()
    for node in nodes:
        node.commits.watchers.append(lambda _: moved.set())
        node.links.watchers.append(moved.set)
    yield moved


async def until(is_so: Callable[[], bool], *nodes: Node) -> None:
    """Wait until `is_so` returns true. It is called after each commit and each change on a link of these nodes."""
    with watching(*nodes) as moved:
        async with asyncio.timeout(HANG_S):
            while not is_so():
                moved.clear()
                await moved.wait()


async def until_held(records: Sequence[Record], *nodes: Node) -> None:
    """Wait until each of these nodes holds these records."""
    wanted = ids(records)
    await until(lambda: all(wanted <= held(node) for node in nodes), *nodes)


async def until_live(*nodes: Node) -> None:
    """Wait until each of these nodes has links, and all its links are live."""
    await until(lambda: all(states(node) == {LinkState.LIVE} for node in nodes), *nodes)


def states(node: Node) -> set[LinkState]:
    """The states of all links of the node."""
    return {link.machine.state for link in node.links.by_number.values()}


def links(node: Node) -> list[tuple[str, str | None]]:
    """The role and the peer's key of each open link of the node."""
    return [(each.machine.role.value, each.peer_key) for each in node.links.by_number.values() if each.is_open]
