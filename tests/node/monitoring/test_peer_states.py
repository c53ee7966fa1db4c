"""The state of every kind of peer of a real node, and where the node says it."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.node import Node
from node.peer_state import Condition
from node.store.contract import Peer
from tests.history import ALICE
from tests.node.http_api.talking import Client
from tests.node.http_sync.sync_network import NOW
from tests.node.links.network import HANG_S, befriend, running, until, until_live, ws
from tests.ports import held_port

NOBODY = "127.0.0.1:9"
DEAD = [
    Peer(url=f"{scheme}://{NOBODY}", push=push, pull=not push) for scheme in ("ws", "http") for push in (True, False)
]


def states(node: Node) -> dict[str, Condition]:
    return {peer.name: state.state for peer, state in node.api.peer_states.all()}


async def until_states(node: Node, **wanted: Condition) -> None:
    """Wait until each of these peers, by name, has this state. A sync tells nobody when it ends, so this polls."""
    async with asyncio.timeout(HANG_S):
        while states(node) != wanted:
            await node.store.peers()


async def ask(node: Node, path: str) -> str:
    async with Client(node.url) as client:
        return (await client.get(path)).body.decode()


@pytest.mark.parametrize("peer", DEAD, ids=str)
async def test_a_dead_peer_of_any_kind_is_failing_and_every_place_says_so(tmp_path: Path, peer: Peer) -> None:
    async with running(tmp_path, sync_interval=1.0) as node:
        await node.peers.put(peer)
        await until_states(node, **{peer.name: Condition.FAILING})

        async with Client(node.url) as client:
            (row,) = (await client.get("/peers")).json()
            health = (await client.get("/health")).json()
        metrics = await ask(node, "/metrics")

    assert (row["state"], row["since"]) == ("failing", NOW)
    assert row["error"] != ""
    assert row["remedy"] == "the node tries again by itself"
    assert health["problems"] == []
    assert health["warnings"] == [
        f"the peer {peer.name} is failing since 1970-01-12T13:46:40Z: {row['error']}; {row['remedy']}"
    ]
    assert f'dnarc_peer_state{{peer="{peer.name}",state="failing"}} 1.0' in metrics
    assert f'dnarc_peer_state{{peer="{peer.name}",state="live"}} 0.0' in metrics


async def test_the_time_for_which_a_peer_fails_is_a_metric(tmp_path: Path) -> None:
    clock = [NOW]
    async with running(tmp_path, now_s=lambda: clock[0], peers_poll=3_600) as node:
        await node.peers.put(DEAD[0])
        await until_states(node, **{DEAD[0].name: Condition.FAILING})
        clock[0] += 400
        metrics = await ask(node, "/metrics")

    assert f'dnarc_peer_failing_seconds{{peer="{DEAD[0].name}"}} 400.0' in metrics


@pytest.mark.parametrize("peer", DEAD, ids=str)
async def test_a_dead_peer_is_logged_once_and_not_at_each_try(tmp_path: Path, peer: Peer) -> None:
    with capture_logs() as logs:
        async with running(tmp_path, sync_interval=0.01) as node:
            await node.peers.put(peer)
            await until_states(node, **{peer.name: Condition.FAILING})
            for _ in range(3):
                await node.sync.run("push" if peer.push else "pull")

    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] in (["no link"], ["sync failed"])


async def test_a_peer_with_another_key_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "a", sync_interval=1.0) as a, running(tmp_path / "b") as b:
        await a.peers.put(Peer(url=ws(b), pull=True, key=ALICE.public))
        await a.peers.put(Peer(url=b.url, pull=True, key=ALICE.public))

        await until_states(a, **{ws(b): Condition.REFUSED, b.url: Condition.REFUSED})


async def test_a_peer_that_answers_is_live_or_syncing(tmp_path: Path) -> None:
    async with running(tmp_path / "a", sync_interval=1.0) as a, running(tmp_path / "b") as b:
        await befriend(a, b)
        await a.peers.put(Peer(url=b.url, pull=True))

        await until_states(a, **{ws(b): Condition.LIVE, b.url: Condition.SYNCING})

        assert states(b) == {a.key.public: Condition.LIVE}
        assert a.warnings() == []


async def test_a_peer_that_only_dials_this_node_is_away_without_a_warning(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.peers.put(Peer(key=ALICE.public, accept=True))
        await until_states(node, **{ALICE.public: Condition.AWAY})

        assert node.warnings() == []


async def test_a_peer_that_comes_back_is_well_again(tmp_path: Path) -> None:
    with held_port() as port:
        async with running(tmp_path / "a") as a:
            async with running(tmp_path / "b", port=port) as b:
                await befriend(a, b)
                await until_live(a, b)
                name = ws(b)
            await until(lambda: states(a) == {name: Condition.FAILING}, a)

            async with running(tmp_path / "b", port=port):
                await until(lambda: states(a) == {name: Condition.LIVE}, a)

                assert a.warnings() == []
