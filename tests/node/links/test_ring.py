"""A ring of nodes whose links are mostly down while records are written still ends with equal sets."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from node.node import Node
from node.store.contract import Peer
from protocol.link.terms import LinkLimits
from tests.history import ALICE, DOMAIN, claim
from tests.node.http_sync.sync_network import NOW, give
from tests.node.links.network import running, until, ws

NODES = 8
RECORDS = 1_000
ROUNDS = 20
WRITERS = 10
"""Nodes that get records in one round; the same node may be drawn twice."""

SEED = 7
SETTLE_S = 0.1
UP_SHARE = 0.1
"""The share of rounds in which a link is up."""


async def test_a_ring_whose_links_are_up_a_tenth_of_the_time_ends_with_equal_sets(tmp_path: Path) -> None:
    random = Random(SEED)
    timestamps = random.sample(range(NOW - 10 * RECORDS, NOW), RECORDS)
    records = [claim(f"plot-{number}", ALICE, at) for number, at in enumerate(timestamps)]
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(running(tmp_path / str(number))) for number in range(NODES)]
        for node in nodes:
            node.links.limits = LinkLimits(settle_s=SETTLE_S)
        pairs = list(zip(nodes, [*nodes[1:], nodes[0]], strict=True))
        for node, next_node in pairs:
            await next_node.peers.put(Peer(key=node.key.public, accept=True))

        for begin in range(0, RECORDS, RECORDS // ROUNDS):
            for node, next_node in pairs:
                await set_link(node, next_node, is_up=random.random() < UP_SHARE)
            written = records[begin : begin + RECORDS // ROUNDS]
            writers = random.choices(nodes, k=WRITERS)
            await asyncio.gather(*(give(writer, *written[first::WRITERS]) for first, writer in enumerate(writers)))
        for node, next_node in pairs:
            await set_link(node, next_node, is_up=True)
        await until(lambda: len({fingerprint(node) for node in nodes}) == 1, *nodes)

        assert {node.indexes.summary(DOMAIN)["count"] for node in nodes} == {RECORDS}


async def set_link(node: Node, other: Node, *, is_up: bool) -> None:
    if is_up:
        await node.peers.put(Peer(url=ws(other), push=True, pull=True))
    else:
        await node.peers.remove(ws(other))


def fingerprint(node: Node) -> object:
    return node.indexes.summary(DOMAIN)["fingerprint"]
