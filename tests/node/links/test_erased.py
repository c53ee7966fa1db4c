"""Erased records between complete nodes, over links and over plain HTTP: nobody is sent them, nothing waits for them,
and both nodes know that they agree.
"""

import math
from pathlib import Path

import pytest

from node.links.registry import STRANGER_ERASED_MAX
from node.node import Node
from node.store.removals import RemovalKind, Target
from protocol.limits import IDS_MAX
from protocol.link.messages import Domains, Erased, Summary
from protocol.link.status import Step
from protocol.sets.index import Index, pack_key
from tests.history import ALICE, DOMAIN, claim
from tests.node.http_sync import sync_network as http
from tests.node.http_sync.sync_network import NOW, claims, give, held, ids, sync
from tests.node.links.network import befriend, running, until, until_held, until_live
from tests.node.links.raw_peer import linked

RECORDS = claims(20)
ERASED, WHOLE = RECORDS[:8], RECORDS[8:]


async def erase(node: Node, count: int = len(ERASED)) -> None:
    chosen = tuple(record.id for record in RECORDS[:count])
    removal = await node.removals.begin(RemovalKind.ERASE, Target(ids=chosen), "op", "")
    assert (await node.removals.wait(removal.number, 60)).is_done


@pytest.mark.parametrize("is_dialler", [False, True])
async def test_a_link_brings_everything_but_what_is_erased_and_both_agree(tmp_path: Path, is_dialler: bool) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *RECORDS)
        await erase(a)
        await befriend(*((a, b) if is_dialler else (b, a)))

        await until_held(WHOLE, b)
        await until(lambda: steps(a, b) == [{DOMAIN: "identical"}] * 2, a, b)

        assert held(b) == ids(WHOLE)
        assert [link.machine.status().refusals_by_us for link in a.links.by_number.values()] == [{}]


async def test_a_node_that_lacks_an_erased_record_gets_it_from_another_peer(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b, running(tmp_path / "c") as c:
        await give(a, *RECORDS)
        await give(c, *RECORDS)
        await erase(a)
        await befriend(b, a)
        await until_live(a, b)
        await until(lambda: steps(b) == [{DOMAIN: "identical"}], a, b)

        await befriend(b, c)
        await until_held(RECORDS, b)
        await until(lambda: steps(a) == [{DOMAIN: "identical"}], a, b, c)

        assert held(b) == ids(RECORDS)


async def test_an_erased_record_that_a_peer_sends_again_stays_erased(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *RECORDS)
        await erase(a)
        await give(b, *RECORDS)
        await give(a, *ERASED)
        await befriend(a, b)
        await until(lambda: steps(a, b) == [{DOMAIN: "identical"}] * 2, a, b)

        stored = await a.store.records([record.id for record in ERASED])
        assert all(each.signed.record.is_erased for each in stored.values())


@pytest.mark.parametrize("flow", ["pull", "push"])
async def test_a_run_over_plain_http_names_what_is_erased_once_and_then_agrees(tmp_path: Path, flow: str) -> None:
    async with http.running(tmp_path / "a") as a, http.running(tmp_path / "b") as b:
        eraser, other = (b, a) if flow == "pull" else (a, b)
        await give(eraser, *RECORDS)
        await erase(eraser)
        await http.befriend(a, b, **{flow: True})

        first = await sync(a, flow, b.url)
        second = await sync(a, flow, b.url)

        assert held(other) == ids(WHOLE)
        assert (first["error"], first["accepted"], second["error"], second["records"]) == (None, len(WHOLE), None, 0)
        assert (first["erased"], second["erased"]) == ((len(ERASED), 0) if flow == "pull" else (0, 0))
        (peer,) = await a.peers.list()
        assert a.sync.steps(peer) == {DOMAIN: "identical"}


def steps(*nodes: Node) -> list[dict[str, str]]:
    """What each node says of its only peer, or of its first one."""
    return [
        {name: str(each.step) for name, each in link.machine.status().domains.items()}
        for node in nodes
        for link in list(node.links.by_number.values())[:1]
    ]


@pytest.mark.parametrize("is_dialler", [False, True])
async def test_peers_do_not_bring_a_dropped_domain_back_and_other_domains_flow_on(
    tmp_path: Path, is_dialler: bool
) -> None:
    other, late = claim("lake", ALICE, NOW, domain="other"), claim("late", ALICE, NOW)
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *RECORDS)
        await befriend(*((a, b) if is_dialler else (b, a)))
        await until_held(RECORDS, b)

        removal = await b.removals.begin(RemovalKind.DROP, Target(domain=DOMAIN), "op", "")
        assert (await b.removals.wait(removal.number, 60)).are_bodies_gone
        await give(a, late, other)
        await until(lambda: b.indexes.holds(other), a, b)

        assert (held(b), b.indexes.domains()) == (set(), ["other"])
        assert [link.is_open for node in (a, b) for link in node.links.by_number.values()] == [True, True]

    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        (removal,) = await b.store.removals.list(None, 9)
        assert removal.is_done
        await befriend(*((a, b) if is_dialler else (b, a)))
        await until_live(a, b)
        assert (held(b), b.indexes.domains()) == (set(), ["other"])

        await b.removals.keep_again(DOMAIN)

    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await befriend(*((a, b) if is_dialler else (b, a)))
        await until_held(RECORDS, b)


async def test_a_run_over_plain_http_leaves_a_dropped_domain_out(tmp_path: Path) -> None:
    async with http.running(tmp_path / "a") as a, http.running(tmp_path / "b") as b:
        await give(b, *RECORDS)
        await http.befriend(a, b, pull=True, push=True)
        await sync(a, "pull", b.url)
        removal = await a.removals.begin(RemovalKind.DROP, Target(domain=DOMAIN), "op", "")
        await a.removals.wait(removal.number, 60)

        pulled, pushed = await sync(a, "pull", b.url), await sync(a, "push", b.url)

        assert (pulled["error"], pulled["records"], pushed["error"], pushed["records"]) == (None, 0, None, 0)
        assert held(a) == set()


@pytest.mark.parametrize(
    ("erased", "step"), [(STRANGER_ERASED_MAX, Step.IDENTICAL), (STRANGER_ERASED_MAX + 1, Step.DIFFERS)]
)
async def test_of_what_a_stranger_says_that_it_erased_a_limited_number_is_remembered(
    tmp_path: Path, erased: int, step: Step
) -> None:
    """Two sets that differ by more records than that count as different."""
    named = [(NOW, f"{number:064x}") for number in range(erased)]
    async with running(tmp_path / "a") as a:
        await give(a, RECORDS[0])
        theirs = Index([RECORDS[0].index_key, *(pack_key(at, bytes.fromhex(each)) for at, each in named)])
        async with linked(a, push=False, pull=False) as stranger:
            for begin in range(0, erased, IDS_MAX):
                await stranger.say(Erased(DOMAIN, tuple(named[begin : begin + IDS_MAX])))
            await stranger.say(Domains({DOMAIN: Summary(len(theirs), theirs.fingerprint().hex(), NOW)}))
            (link,) = a.links.by_number.values()
            frames = len(("hello", "auth", "domains", "domains")) + math.ceil(erased / IDS_MAX)
            await until(lambda: link.counts.frames_in == frames, a)

            assert steps(a) == [{DOMAIN: str(step)}]


async def test_a_link_counts_the_records_that_the_peer_erased_and_those_that_it_lacks(tmp_path: Path) -> None:
    """The node that erased has started again. Otherwise it offers its recent records too, and a peer that wants one of
    them before its pass has come is told twice.
    """
    async with running(tmp_path / "a") as a:
        await give(a, *RECORDS)
        await erase(a)
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await befriend(b, a)
        await until(lambda: steps(a, b) == [{DOMAIN: "identical"}] * 2, a, b)
        (link,), (other,) = (list(node.links.by_number.values()) for node in (a, b))

        assert (link.machine.status().withheld, other.counts.erased) == (len(ERASED), len(ERASED))
        assert (other.machine.status().withheld, link.counts.erased) == (0, 0)
