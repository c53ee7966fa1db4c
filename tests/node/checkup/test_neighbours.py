"""What is found about peers: their clocks, their keys, and whether they hold the same records."""

import asyncio
from pathlib import Path

import pytest

from node.checkup.finding import Finding, Level
from node.checkup.neighbours import DOMAINS_SHOWN_MAX, NeighbourAnswer, ask, check_clock, check_copies, check_peers
from node.clocks import WARNED_S
from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from tests.history import ALICE, BOB
from tests.node.http_api.talking import fresh
from tests.node.http_sync.sync_network import NOW, answering, false_peer, give, running

URL = "http://user:secret@peer.example"
PEER = Peer(url=URL, pull=True, key=BOB.public)
OURS = NeighbourAnswer(ALICE.public, {"a": (1, "11"), "only here": (1, "22")}, 0.0)
THEIRS = NeighbourAnswer(BOB.public, {"a": (1, "11")}, 0.0)
MAX_SKEW_S = 300.0


def found(theirs: NeighbourAnswer, peer: Peer = PEER, ours: NeighbourAnswer = OURS) -> dict[str, Finding]:
    return {it.check: it for it in check_peers(ours, [peer], {URL: theirs}, MAX_SKEW_S)}


def levels(findings: dict[str, Finding]) -> dict[str, Level]:
    return {check: finding.level for check, finding in findings.items()}


WELL = {"peer.key": Level.OK, "peer.clock": Level.OK, "peer.fingerprints": Level.OK}


def test_a_peer_that_agrees_in_everything_is_well() -> None:
    assert levels(found(THEIRS)) == WELL


@pytest.mark.parametrize(
    ("ahead_s", "level"),
    [
        (WARNED_S, Level.OK),
        (-WARNED_S - 1, Level.WARN),
        (MAX_SKEW_S, Level.WARN),
        (MAX_SKEW_S + 1, Level.FAIL),
        (-MAX_SKEW_S - 1, Level.FAIL),
    ],
)
def test_a_peers_clock_is_compared_with_the_nodes_clock(ahead_s: float, level: Level) -> None:
    ours = NeighbourAnswer(OURS.key, OURS.domains, 1_000.0)
    theirs = NeighbourAnswer(THEIRS.key, THEIRS.domains, 1_000.0 + ahead_s)

    assert found(theirs, ours=ours)["peer.clock"].level is level
    assert check_clock(NeighbourAnswer(ahead_s=ahead_s), MAX_SKEW_S).level is level


def test_a_key_that_differs_from_the_pinned_key_fails() -> None:
    assert found(NeighbourAnswer("ff" * 32, THEIRS.domains, 0.0))["peer.key"].level is Level.FAIL


def test_a_peer_that_is_the_node_itself_fails() -> None:
    assert found(NeighbourAnswer(ALICE.public, THEIRS.domains, 0.0))["peer.key"].level is Level.FAIL


@pytest.mark.parametrize(
    ("here", "there", "words", "remedy"),
    [
        ("x", "x", "is this node itself", "dnarc peers remove"),
        ("x", "y", "is another node with this node's key", "delete its node.key"),
        ("", "y", "it is the node itself, or a copy", "if it is a copy"),
        ("x", "", "it is the node itself, or a copy", "if it is a copy"),
    ],
)
def test_a_copy_of_the_node_is_told_apart_from_the_node_itself(here: str, there: str, words: str, remedy: str) -> None:
    ours = NeighbourAnswer(ALICE.public, instance=here)

    finding = found(NeighbourAnswer(ALICE.public, instance=there), ours=ours)["peer.key"]

    assert finding.level is Level.FAIL
    assert words in finding.detail
    assert remedy in (finding.remedy or "")


@pytest.mark.parametrize(("instances", "copies"), [("xx", 0), ("xy", 1), ("x", 0)])
def test_two_peers_with_one_key_are_copies_if_they_are_two_processes(instances: str, copies: int) -> None:
    answers = {
        f"http://peer.example:{port}": NeighbourAnswer(BOB.public, instance=it) for port, it in enumerate(instances)
    }

    findings = list(check_copies([Peer(url=url) for url in answers], answers))

    assert [(it.check, it.level) for it in findings] == [("peer.copy", Level.FAIL)] * copies


def test_a_key_that_is_not_pinned_yet_is_a_warning() -> None:
    assert found(THEIRS, Peer(url=URL, pull=True))["peer.key"].level is Level.WARN


@pytest.mark.parametrize(("push", "pull", "level"), [(False, True, Level.OK), (True, True, Level.WARN)])
def test_only_domains_that_should_flow_are_compared(push: bool, pull: bool, level: Level) -> None:
    """A domain that only this node holds is no difference if the node only pulls from the peer."""
    peer = Peer(url=URL, push=push, pull=pull, key=BOB.public)

    assert found(THEIRS, peer)["peer.fingerprints"].level is level


def test_the_first_differing_domains_are_named_and_all_are_counted() -> None:
    domains = {f"d{n}": (n, "33") for n in range(DOMAINS_SHOWN_MAX + 1)}

    detail = found(NeighbourAnswer(BOB.public, domains, 0.0))["peer.fingerprints"].detail

    assert "differs in 6 of 6 domains: d0 (0 there, 0 here)" in detail
    assert detail.endswith("d4 (4 there, 0 here) and 1 more")


def test_a_peer_that_does_not_answer_is_a_warning_without_its_password() -> None:
    findings = found(NeighbourAnswer(error="it is gone", remedy="start it"))

    assert levels(findings) == {"peer.reachable": Level.WARN}
    assert findings["peer.reachable"].detail == "http://user:***@peer.example: it is gone"
    assert findings["peer.reachable"].remedy == "start it"


def test_a_peer_without_url_is_not_asked() -> None:
    assert list(check_peers(OURS, [Peer(key=BOB.public)], {}, MAX_SKEW_S)) == []


async def test_a_real_node_is_asked_under_either_scheme(tmp_path: Path) -> None:
    async with Node(Settings(port=0, data=tmp_path, max_age=None)) as node:
        await give(node, fresh())
        loop = asyncio.get_running_loop()
        answers = [await loop.run_in_executor(None, ask, url) for url in (node.url, node.url.replace("http", "ws"))]

    for answer in answers:
        assert (answer.error, answer.key, list(answer.domains)) == (None, node.key.public, ["example"])
        assert answer.ahead_s == 0.0


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b'{"node": 1}', b'{"node": "x", "domains": {"a": 5}}'])
async def test_another_program_is_not_taken_for_a_node(body: bytes) -> None:
    async with false_peer({"/node": answering(body)}) as url:
        answer = await asyncio.get_running_loop().run_in_executor(None, ask, url)

    assert answer.error is not None


async def test_a_clock_is_read_from_the_answer_and_not_from_a_proxys_date(tmp_path: Path) -> None:
    """A proxy writes a `Date` of its own, so a wrong clock of the node behind it would not be seen."""
    async with running(tmp_path, now=NOW) as node:
        answer = await asyncio.to_thread(ask, node.url)

    assert answer.ahead_s < -1_000_000  # the node's clock stands at NOW, which is in 1970


async def test_a_peer_behind_a_proxy_that_does_not_reach_it_has_that_remedy() -> None:
    async with false_peer({"/node": answering(b"<html>", status=502)}) as url:
        answer = await asyncio.to_thread(ask, url)

    assert answer.error == "http_502: a proxy answers, and the node behind it does not"
    assert answer.remedy == "start that node, or check the proxy's upstream"
