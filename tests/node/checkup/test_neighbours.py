"""What is said of peers: their clocks, their keys, and whether they hold the same."""

import asyncio
from pathlib import Path

import pytest

from node.checkup.finding import Finding, State
from node.checkup.neighbours import (
    DOMAINS_SHOWN_MAX,
    SKEW_WARNED_S,
    Answer,
    ask,
    check_clock,
    check_copies,
    check_peers,
)
from node.node import Node
from node.settings import Settings
from node.store.contract import Peer
from tests.history import ALICE, BOB
from tests.node.http_api.talking import fresh
from tests.node.http_sync.sync_network import answering, false_peer, give

URL = "http://user:secret@peer.example"
PEER = Peer(url=URL, pull=True, key=BOB.public)
OURS = Answer(ALICE.public, {"a": (1, "11"), "only here": (1, "22")}, 0.0)
THEIRS = Answer(BOB.public, {"a": (1, "11")}, 0.0)
MAX_SKEW_S = 300.0


def found(theirs: Answer, peer: Peer = PEER, ours: Answer = OURS) -> dict[str, Finding]:
    return {it.check: it for it in check_peers(ours, [peer], {URL: theirs}, MAX_SKEW_S)}


def states(findings: dict[str, Finding]) -> dict[str, State]:
    return {check: finding.state for check, finding in findings.items()}


WELL = {"peer.key": State.OK, "peer.clock": State.OK, "peer.fingerprints": State.OK}


def test_a_peer_that_agrees_in_everything_is_well() -> None:
    assert states(found(THEIRS)) == WELL


@pytest.mark.parametrize(
    ("ahead_s", "state"),
    [
        (SKEW_WARNED_S, State.OK),
        (-SKEW_WARNED_S - 1, State.WARN),
        (MAX_SKEW_S, State.WARN),
        (MAX_SKEW_S + 1, State.FAIL),
        (-MAX_SKEW_S - 1, State.FAIL),
    ],
)
def test_a_clock_is_compared_with_the_nodes_own(ahead_s: float, state: State) -> None:
    ours = Answer(OURS.key, OURS.domains, 1_000.0)
    theirs = Answer(THEIRS.key, THEIRS.domains, 1_000.0 + ahead_s)

    assert found(theirs, ours=ours)["peer.clock"].state is state
    assert check_clock(Answer(ahead_s=ahead_s), MAX_SKEW_S).state is state


def test_another_key_than_the_pinned_one_fails() -> None:
    assert found(Answer("ff" * 32, THEIRS.domains, 0.0))["peer.key"].state is State.FAIL


def test_a_peer_that_is_the_node_itself_fails() -> None:
    assert found(Answer(ALICE.public, THEIRS.domains, 0.0))["peer.key"].state is State.FAIL


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
    ours = Answer(ALICE.public, instance=here)

    finding = found(Answer(ALICE.public, instance=there), ours=ours)["peer.key"]

    assert finding.state is State.FAIL
    assert words in finding.detail
    assert remedy in (finding.remedy or "")


@pytest.mark.parametrize(("instances", "copies"), [("xx", 0), ("xy", 1), ("x", 0)])
def test_two_peers_with_one_key_are_copies_if_they_are_two_processes(instances: str, copies: int) -> None:
    answers = {f"http://peer.example:{port}": Answer(BOB.public, instance=it) for port, it in enumerate(instances)}

    findings = list(check_copies([Peer(url=url) for url in answers], answers))

    assert [(it.check, it.state) for it in findings] == [("peer.copy", State.FAIL)] * copies


def test_a_key_that_is_not_pinned_yet_is_warned_of() -> None:
    assert found(THEIRS, Peer(url=URL, pull=True))["peer.key"].state is State.WARN


@pytest.mark.parametrize(("push", "pull", "state"), [(False, True, State.OK), (True, True, State.WARN)])
def test_a_domain_counts_where_it_should_flow(push: bool, pull: bool, state: State) -> None:
    """What only this node holds is no difference for a peer that it only pulls from."""
    peer = Peer(url=URL, push=push, pull=pull, key=BOB.public)

    assert found(THEIRS, peer)["peer.fingerprints"].state is state


def test_so_many_differing_domains_are_named_and_all_counted() -> None:
    domains = {f"d{n}": (n, "33") for n in range(DOMAINS_SHOWN_MAX + 1)}

    detail = found(Answer(BOB.public, domains, 0.0))["peer.fingerprints"].detail

    assert "differs in 6 of 6 domains: d0 (0 there, 0 here)" in detail
    assert detail.endswith("d4 (4 there, 0 here) and 1 more")


def test_a_peer_that_does_not_answer_is_warned_of_without_its_password() -> None:
    findings = found(Answer(error="it is gone"))

    assert states(findings) == {"peer.reachable": State.WARN}
    assert findings["peer.reachable"].detail == "http://user:***@peer.example: it is gone"


def test_a_peer_without_url_is_not_asked() -> None:
    assert list(check_peers(OURS, [Peer(key=BOB.public)], {}, MAX_SKEW_S)) == []


async def test_a_real_node_is_asked_under_either_scheme(tmp_path: Path) -> None:
    async with Node(Settings(port=0, data=tmp_path, max_age=None)) as node:
        await give(node, fresh())
        loop = asyncio.get_running_loop()
        answers = [await loop.run_in_executor(None, ask, url) for url in (node.url, node.url.replace("http", "ws"))]

    for answer in answers:
        assert (answer.error, answer.key, list(answer.domains)) == (None, node.key.public, ["example"])
        assert answer.ahead_s is not None
        assert abs(answer.ahead_s) < 20  # a second, and whatever the machine was busy with


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b'{"node": 1}', b'{"node": "x", "domains": {"a": 5}}'])
async def test_what_is_no_node_is_said_to_be_none(body: bytes) -> None:
    async with false_peer({"/node": answering(body)}) as url:
        answer = await asyncio.get_running_loop().run_in_executor(None, ask, url)

    assert answer.error is not None
