"""Sync at the interval follows the peers table, and a run can be asked for at any time."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from node.http_sync.worker import BACKOFF_S_MAX, pause_s
from node.store.contract import Peer
from protocol.errors import Code, ProtocolError
from tests.history import BOB, CAROL, DOMAIN
from tests.node.http_sync.sync_network import (
    Handler,
    answering,
    befriend,
    claims,
    false_peer,
    give,
    node_answer,
    running,
)
from tests.node.links.network import until_held


def holding(asked: asyncio.Event, end: asyncio.Event) -> Handler:
    """A handler that reports a request and delays its answer until the end."""

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.set()
        await end.wait()
        return web.Response()

    return handle


async def test_peers_are_synced_at_the_interval_without_a_request(tmp_path: Path) -> None:
    records = claims(2)
    async with running(tmp_path / "b") as b, running(tmp_path / "a", sync_interval=0.05) as a:
        await give(b, *records)

        await befriend(a, b, pull=True)

        await until_held(records, a)
        await give(b, *claims(1, label="later"))
        await until_held(claims(1, label="later"), a)


async def test_a_removed_peer_is_not_synced_with(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def node(request: web.Request) -> web.StreamResponse:
        asked.set()
        return await answering(node_answer(CAROL.public))(request)

    async with running(tmp_path / "a", sync_interval=0.01) as a, false_peer({"/node": node}) as url:
        await a.peers.put(Peer(url=url, pull=True))
        await asked.wait()

        await a.peers.remove(url)

        with pytest.raises(ProtocolError) as refused:
            await a.sync.run("pull", url)
        assert refused.value.code is Code.UNKNOWN_PEER


async def test_a_caller_that_waits_for_a_run_is_told_that_its_peer_was_removed(tmp_path: Path) -> None:
    asked, end = asyncio.Event(), asyncio.Event()
    async with running(tmp_path / "a") as a, false_peer({"/node": holding(asked, end)}) as url:
        await a.peers.put(Peer(url=url, pull=True))
        run = asyncio.create_task(a.sync.run("pull"))
        await asked.wait()

        await a.peers.remove(url)

        with pytest.raises(ProtocolError) as refused:
            await run
        end.set()
        assert refused.value.code is Code.UNKNOWN_PEER


async def test_a_node_stops_at_once_during_a_run(tmp_path: Path) -> None:
    asked, end = asyncio.Event(), asyncio.Event()
    async with (
        false_peer({"/node": holding(asked, end)}) as url,
        asyncio.timeout(120),
        running(tmp_path / "a", sync_interval=0.01, peer_timeout=1_000.0) as a,
    ):
        await a.peers.put(Peer(url=url, pull=True))
        await asked.wait()

        await a.sync.close()

        end.set()


WRONG = [
    ("a peer that is not listed", {"peer": "http://127.0.0.1:1"}, Code.UNKNOWN_PEER),
    ("a peer that only dials this node", {"peer": BOB.public}, Code.UNKNOWN_PEER),
    ("the other direction", {"peer": "http://127.0.0.1:3"}, Code.UNKNOWN_PEER),
    ("no domain", {"domain": "-"}, Code.MALFORMED),
    ("a domain that is not kept", {"domain": "elsewhere"}, Code.UNKNOWN_DOMAIN),
]


@pytest.mark.parametrize(("asked", "code"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
async def test_a_wrong_request_is_refused(tmp_path: Path, asked: dict[str, str], code: Code) -> None:
    async with running(tmp_path / "a", domains=[DOMAIN]) as a:
        await a.peers.put(Peer(key=BOB.public, accept=True))
        await a.peers.put(Peer(url="http://127.0.0.1:3", push=True))

        with pytest.raises(ProtocolError) as refused:
            await a.sync.run("pull", **asked)

        assert refused.value.code is code


def test_the_pause_after_failures_doubles_up_to_an_hour() -> None:
    assert [pause_s(30.0, failures) for failures in (0, 1, 2, 3)] == [30.0, 60.0, 120.0, 240.0]
    assert pause_s(30.0, 1_000) == BACKOFF_S_MAX
    assert pause_s(30.0, 1_000, jitter=1.5) == BACKOFF_S_MAX
    assert pause_s(7_200.0, 1_000) == 7_200.0
