"""A node watched from outside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from node.client.errors import Unreachable
from node.client.http import NodeClient
from node.client.watching import FOUND_MAX, NEWEST_MAX, Listener, Newest, PeerSeen, Watcher, find_newest
from node.node import Node
from node.store.contract import Peer
from tests.history import ALICE, BOB, CAROL, DOMAIN, claim
from tests.node.http_sync.sync_network import NOW, answering, claims, false_peer, give, running

TIMEOUT_S = 120

T = TypeVar("T")


async def apart(work: Callable[[], T]) -> T:
    """Do this in another thread, because the node runs in this one."""
    async with asyncio.timeout(TIMEOUT_S):
        return await asyncio.get_running_loop().run_in_executor(None, work)


@asynccontextmanager
async def watching(node: Node) -> AsyncIterator[Watcher]:
    with NodeClient(node.url) as client:
        yield await apart(lambda: Watcher(client))


async def until_watched(node: Node) -> None:
    """Wait until the stream of events has a reader. Readers get no earlier events."""
    async with asyncio.timeout(TIMEOUT_S):
        while not len(node.streams):
            await node.store.peers()


def newest_of(url: str) -> list[Newest]:
    with NodeClient(url) as client:
        return find_newest(client)


async def test_what_happened_between_two_looks_is_shown_as_rates(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node, watching(node) as watcher:
        await give(node, *claims(5))
        await give(node, *claims(5))
        first = await apart(watcher.look)
        second = await apart(watcher.look)

    assert first.rates["accepted"] * first.span_s == pytest.approx(5)
    assert first.rates["known"] * first.span_s == pytest.approx(5)
    assert first.times_ms["commit"] is not None
    assert (first.records, first.domains, first.node) == (5, 1, node.key.public)
    assert (first.problems, first.queues["in_flight_records"]) == ([], 0)
    assert first.limits["connections"] == node.settings.connections_max
    assert (second.rates["accepted"], second.times_ms["commit"]) == (0, None)


async def test_peers_are_shown_with_their_state(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node:
        await give(node, *claims(1))
        await node.peers.put(Peer(key=BOB.public, accept=True))
        async with watching(node) as watcher:
            seen = (await apart(watcher.look)).peers

    assert seen == [PeerSeen(BOB.public, False, False, "away", {"unknown": 1}, None, None)]


async def test_the_newest_records_are_found_without_waiting(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node:
        nothing = await apart(lambda: newest_of(node.url))
        await give(node, *claims(3), *(claim(f"last-{n}", ALICE, NOW) for n in range(FOUND_MAX + 1)))
        found = await apart(lambda: newest_of(node.url))

    assert nothing == []
    assert len(found) == FOUND_MAX
    assert {record.timestamp for record in found} == {NOW}


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    """A listener at work. The block must cut its connection at the end."""
    listener = Listener(lambda: NodeClient(url))
    listener.start()
    try:
        yield listener
    finally:
        listener.end()


async def until_newest(node: Node, listener: Listener, record_id: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not listener.events or listener.events[0].id != record_id:
            await node.store.peers()


async def test_a_listener_collects_events_with_the_newest_first(tmp_path: Path) -> None:
    founded, older = claim("garden", ALICE, 200), claim("garden", CAROL, 100)
    async with running(tmp_path / "node") as node, listening(node.url) as listener:
        await until_watched(node)
        await give(node, founded)
        await until_newest(node, listener, founded.id)
        await give(node, older)
        await until_newest(node, listener, older.id)

    assert list(listener.events) == [
        Newest("reverted", DOMAIN, "garden", older.id, 100, CAROL.public),
        Newest("accepted", DOMAIN, "garden", founded.id, 200, ALICE.public),
    ]


async def test_a_listener_keeps_a_limited_number_of_events(tmp_path: Path) -> None:
    records = claims(NEWEST_MAX + 1)
    async with running(tmp_path / "node") as node, listening(node.url) as listener:
        await until_watched(node)
        await give(node, *records)
        await until_newest(node, listener, records[-1].id)
    await apart(listener.thread.join)

    assert len(listener.events) == NEWEST_MAX


async def test_a_listener_ends_if_the_node_has_no_stream() -> None:
    async with false_peer({}) as url, listening(url) as listener:
        await apart(listener.thread.join)

    assert list(listener.events) == []


async def test_a_server_that_is_no_node_is_not_watched() -> None:
    async with false_peer({"/metrics": answering(b"<html>nonsense")}) as url:
        with NodeClient(url) as client, pytest.raises(Unreachable):
            await apart(lambda: Watcher(client))
