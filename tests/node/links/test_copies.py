"""A copy of a data folder that runs beside its original: both nodes, and a node that sees both, say so."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.node import Node
from node.peer_state import Condition
from node.store.contract import Peer
from protocol.errors import Code
from protocol.link.copies import IS_COPIED, REMEDY
from tests.node.http_api.talking import Client
from tests.node.http_sync.sync_network import claims, give
from tests.node.links.network import links, running, until, until_held, ws


@asynccontextmanager
async def copied(folder: Path, *peers: Peer) -> AsyncIterator[tuple[Node, Node]]:
    """A node with these peers, and a node on a copy of its folder, both of which run."""
    async with running(folder / "original") as original:
        for peer in peers:
            await original.peers.put(peer)
    shutil.copytree(folder / "original", folder / "copy")
    async with running(folder / "original", ping_interval=0.05) as original, running(folder / "copy") as copy:
        assert original.key.public == copy.key.public
        yield original, copy


def says_so(node: Node) -> bool:
    return any(REMEDY in warning for warning in node.warnings())


async def until_all_say_so(*nodes: Node) -> None:
    await until(lambda: all(says_so(node) for node in nodes), *nodes)


async def test_two_copies_that_dial_one_peer_are_told_and_so_is_its_operator(tmp_path: Path) -> None:
    async with running(tmp_path / "hub") as hub, copied(tmp_path, Peer(url=ws(hub), push=True)) as (original, copy):
        await hub.peers.put(Peer(key=original.key.public, accept=True))

        await until_all_say_so(original, copy, hub)

        async with Client(hub.url) as client:
            metrics = (await client.get("/metrics")).body.decode()
        assert "\ndnarc_duplicate_keys 1.0\n" in metrics


async def test_of_two_copies_the_one_that_is_linked_keeps_its_link(tmp_path: Path) -> None:
    """Otherwise the links of the two would replace each other for ever."""
    async with running(tmp_path / "hub", ping_interval=0.05) as hub:  # noqa: SIM117  (the hub's URL is needed)
        async with copied(tmp_path, Peer(url=ws(hub), push=True)) as (original, copy):
            await hub.peers.put(Peer(key=original.key.public, accept=True))
            await until_all_say_so(original, copy, hub)
            await until(lambda: bool(links(hub)), hub)
            (kept,) = [number for number, link in hub.links.by_number.items() if link.is_open]
            refused = copy if links(original) else original
            (row,) = await refused.peers.list()
            endings = [refused.links.ending_of(row)]
            while len(endings) < 3:
                await until(lambda: refused.links.ending_of(row) is not endings[-1], refused)
                endings.append(refused.links.ending_of(row))

            assert kept in hub.links.by_number
            assert {ending.code for ending in endings[1:] if ending is not None} == {Code.DUPLICATE_KEY}
            assert refused.api.peer_states.of(row).state is Condition.REFUSED


async def test_two_copies_at_two_addresses_are_noticed_by_the_node_that_dials_both(tmp_path: Path) -> None:
    async with copied(tmp_path) as (original, copy), running(tmp_path / "hub", ping_interval=0.05) as hub:
        for node in (original, copy):
            await hub.peers.put(Peer(url=ws(node), pull=True))

        await until(lambda: says_so(hub) and {Condition.LIVE, Condition.REFUSED} == set(states(hub)), hub)

        assert hub.duplicate_keys.teller is None  # the key of the hub itself has no copy


async def test_two_copies_at_two_addresses_are_noticed_by_a_sync_over_plain_http(tmp_path: Path) -> None:
    async with copied(tmp_path) as (original, copy), running(tmp_path / "hub") as hub:
        for node in (original, copy):
            await hub.peers.put(Peer(url=node.url, pull=True))

        for _ in range(2):
            await hub.sync.run("pull")

        assert says_so(hub)


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_a_copy_that_dials_its_original_is_told_that_it_is_a_copy(tmp_path: Path, scheme: str) -> None:
    """Not that the peer is the node itself, because to remove the peer would mend nothing."""
    async with copied(tmp_path) as (original, copy):
        await copy.peers.put(Peer(url=original.url.replace("http", scheme), pull=True))
        (row,) = await copy.peers.list()

        report = (await copy.sync.run("pull"))[row.name]
        if scheme == "ws":
            await until(lambda: says_so(original), original)

        assert report["code"] == Code.DUPLICATE_KEY
        assert says_so(copy)
        assert says_so(original) is (scheme == "ws")  # a request by plain HTTP does not say who sends it
        assert copy.api.peer_states.of(row).state is Condition.REFUSED


async def test_nodes_that_do_not_say_their_instance_still_notice_that_they_are_copies(tmp_path: Path) -> None:
    """The peer ends each link for another link that the node does not have."""
    async with running(tmp_path / "hub") as hub, copied(tmp_path) as (original, copy):
        for node in (original, copy):
            node.duplicate_keys.instance = ""
            await node.peers.put(Peer(url=ws(hub), push=True))

        await until_all_say_so(original, copy)


async def test_a_node_that_starts_again_is_no_copy(tmp_path: Path) -> None:
    async with running(tmp_path / "hub", ping_interval=0.05) as hub:
        async with running(tmp_path / "a") as a:
            await hub.peers.put(Peer(key=a.key.public, accept=True))
            await a.peers.put(Peer(url=ws(hub), push=True))
        for number in range(3):
            async with running(tmp_path / "a") as a:
                await give(a, *claims(1, label=str(number)))
                await until_held(claims(1, label=str(number)), hub)

                assert (a.warnings(), hub.warnings()) == ([], [])


async def test_a_stranger_cannot_make_a_node_warn_of_itself(tmp_path: Path) -> None:
    """Only a peer of the table is believed."""
    async with running(tmp_path / "a") as a, running(tmp_path / "stranger") as stranger:
        await stranger.peers.put(Peer(url=ws(a), push=True))
        await until(lambda: bool(links(stranger)) and bool(links(a)), stranger, a)
        (link,) = stranger.links.by_number.values()
        (here,) = a.links.by_number.values()
        frames = here.counts.frames_in

        link.notify(Code.DUPLICATE_KEY, IS_COPIED)

        await until(lambda: here.counts.frames_in > frames, a)
        assert a.warnings() == []


def states(node: Node) -> list[Condition]:
    return [state.state for _, state in node.api.peer_states.all()]
