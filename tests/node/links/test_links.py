"""Links between complete nodes, with real sockets and real stores."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.node import Node
from node.store.contract import Peer
from protocol.errors import Code
from protocol.link.messages import Ack, Want
from protocol.link.terms import Flow, LinkLimits
from protocol.records.admission import Trust
from protocol.records.record import Record
from protocol.records.write_policy import WritePolicy, WriteRules
from tests.history import ALICE, CAROL, DOMAIN, claim
from tests.node.http_sync.sync_network import NOW, claims, give, held, ids, report
from tests.node.links.network import HANG_S, befriend, links, running, states, until, until_held, until_live, ws
from tests.node.links.raw_peer import linked
from tests.ports import held_port

REFUSED_PER_MINUTE_MAX = LinkLimits().refused_per_minute_max


async def test_a_record_put_on_one_node_reaches_the_other(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await befriend(a, b)
        await until_live(a, b)

        await give(a, *claims(1), trust=Trust.CLIENT)
        await until_held(claims(1), b)

        await give(b, *claims(1, label="back"), trust=Trust.CLIENT)
        await until_held(claims(1, label="back"), a)


async def test_a_record_passes_along_a_chain_of_nodes(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b, running(tmp_path / "c") as c:
        await befriend(a, b)
        await befriend(b, c)
        await until_live(a, b, c)

        await give(a, *claims(3), trust=Trust.CLIENT)

        await until_held(claims(3), b, c)


async def test_an_empty_node_gets_all_records_of_its_peer(tmp_path: Path) -> None:
    records = claims(700)
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *records)
        await befriend(b, a, push=False)

        await until_live(a, b)

        assert held(b) == ids(records)


async def test_late_records_with_old_timestamps_are_found_by_comparison(tmp_path: Path) -> None:
    """The cursor has passed their timestamps and never goes back."""
    early, late = claims(30), [claim(f"late-{number}", ALICE, NOW - 5_000 + number) for number in range(7)]
    async with running(tmp_path / "a") as a:
        async with running(tmp_path / "b") as b:
            await give(a, *early)
            await befriend(b, a, push=False)
            await until_live(a, b)
        await give(a, *late)

        async with running(tmp_path / "b") as b:
            await until_live(a, b)

            assert held(b) == held(a) == ids([*early, *late])


async def test_records_flow_only_in_the_directions_that_the_table_asks_for(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *claims(3, label="ours"))
        await give(b, *claims(3, label="theirs"))
        await befriend(a, b, push=True, pull=False)
        await until_live(a, b)
        await give(b, *claims(1, label="later"))
        await give(a, *claims(1, label="last"))
        await until_held(claims(1, label="last"), b)

        assert held(a) == ids([*claims(3, label="ours"), *claims(1, label="last")])
        assert held(a) < held(b)


async def test_a_peer_that_may_not_push_counts_as_a_client(tmp_path: Path) -> None:
    """A record from it must extend the label as this node knows it. An older history that would win is refused."""
    async with running(tmp_path / "a") as a, running(tmp_path / "b", max_age=100) as b:
        await give(a, claim("garden", ALICE, NOW - 50), claim("old", ALICE, NOW - 500))
        await give(b, claim("garden", ALICE, NOW - 40))
        await a.peers.put(Peer(url=ws(b), push=True))
        await until_live(a, b)

        await give(a, claim("garden", ALICE, NOW), trust=Trust.CLIENT)
        await until_held([claim("garden", ALICE, NOW)], b)

        assert held(b) == ids([claim("garden", ALICE, NOW - 40), claim("garden", ALICE, NOW)])


async def test_refused_records_are_counted_by_code_on_both_ends(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b", max_age=100) as b:
        await give(a, claim("one", ALICE, NOW - 500), claim("two", ALICE, NOW - 500), claim("new", ALICE, NOW))
        await a.peers.put(Peer(url=ws(b), push=True))
        await until_live(a, b)
        listed = await a.peers.find(ws(b))
        assert listed is not None

        await until(lambda: a.links.refusals(listed)["push"] == {"too_old": 2}, a, b)

        (theirs,) = b.links.by_number.values()
        assert theirs.counts.refusals == {"too_old": 2}


async def test_a_key_that_a_node_has_banned_costs_its_peer_neither_the_link_nor_other_records(tmp_path: Path) -> None:
    rules = WritePolicy(WriteRules(banned_keys=frozenset({CAROL.public})))
    unwelcome = [claim(f"unwelcome-{number}", CAROL, NOW) for number in range(REFUSED_PER_MINUTE_MAX + 1)]
    async with running(tmp_path / "a") as a, running(tmp_path / "b", write=rules, refused_per_minute_max=None) as b:
        await give(a, *unwelcome)
        await a.peers.put(Peer(url=ws(b), push=True))
        await until_live(a, b)
        (link,) = b.links.by_number.values()
        # Records that are written while the link opens may come twice.
        await until(lambda: link.counts.refusals.get("not_welcome", 0) >= len(unwelcome), a, b)

        await give(a, *claims(1), trust=Trust.CLIENT)
        await until_held(claims(1), b)

        assert list(b.links.by_number.values()) == [link]
        assert link.counts.refusals.keys() == {"not_welcome"}
        assert held(b) == ids(claims(1))


async def test_a_listed_peer_brings_the_records_of_a_banned_key(tmp_path: Path) -> None:
    rules = WritePolicy(WriteRules(banned_keys=frozenset({ALICE.public})))
    async with running(tmp_path / "a") as a, running(tmp_path / "b", write=rules) as b:
        await give(a, *claims(3))
        await befriend(b, a)
        await until_live(a, b)

        await give(a, *claims(1, label="live"), trust=Trust.CLIENT)

        await until_held([*claims(3), *claims(1, label="live")], b)


async def test_a_sync_over_a_link_tells_what_was_refused_before(tmp_path: Path) -> None:
    """Because the link does not offer a refused record again, the sync itself carries nothing."""
    async with running(tmp_path / "a") as a, running(tmp_path / "b", max_age=100) as b:
        await give(a, claim("one", ALICE, NOW - 500))
        await a.peers.put(Peer(url=ws(b), push=True))
        await until_live(a, b)

        first = (await a.sync.run("push"))[ws(b)]
        second = (await a.sync.run("push"))[ws(b)]

        assert first["refusals"] == second["refusals"] == {"too_old": 1}
        assert second["refused"] == 0


async def test_a_record_that_came_too_early_is_asked_for_again_when_it_is_due(tmp_path: Path) -> None:
    clock = [NOW]
    early = claim("early", ALICE, NOW + 1)
    async with running(tmp_path / "a", now_s=lambda: clock[0], max_skew=0) as a:
        await a.peers.put(Peer(key=CAROL.public, accept=True))
        async with linked(a, CAROL) as peer, asyncio.timeout(HANG_S):
            await peer.give(early)
            assert (await peer.hear(Ack)).refused == {early.id: Code.TOO_NEW}

            clock[0] = NOW + 1
            wanted = await peer.hear(Want)
            await peer.give(early, seq=2)
            taken = await peer.hear(Ack)

    assert wanted.ids == (early.id,)
    assert taken.refused == {}


async def test_a_peer_that_comes_back_is_dialled_again(tmp_path: Path) -> None:
    with held_port() as port:
        async with running(tmp_path / "a") as a:
            async with running(tmp_path / "b", port=port) as b:
                await befriend(a, b)
                await until_live(a, b)
            await until(lambda: not links(a), a)
            await give(a, *claims(5))

            async with running(tmp_path / "b", port=port) as b:
                await until_held(claims(5), b)


async def test_of_two_links_between_two_nodes_the_link_dialled_by_the_smaller_key_stays(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        small, large = sorted((a, b), key=lambda node: node.key.public)
        await small.peers.put(Peer(url=ws(large), push=True))
        await large.peers.put(Peer(url=ws(small), push=True))

        await until(
            lambda: (
                links(small) == [("dialler", large.key.public)] and links(large) == [("acceptor", small.key.public)]
            ),
            a,
            b,
        )
        await until_live(a, b)
        await give(small, *claims(2, label="small"), trust=Trust.CLIENT)
        await give(large, *claims(2, label="large"), trust=Trust.CLIENT)

        await until_held([*claims(2, label="small"), *claims(2, label="large")], a, b)
        assert len(links(a)) == len(links(b)) == 1


async def test_a_node_refuses_to_link_with_itself(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a:
        await a.peers.put(Peer(url=ws(a), push=True, pull=True))
        (peer,) = await a.peers.list()

        await until(lambda: a.links.ending_of(peer) is not None, a)

        ending = a.links.ending_of(peer)
        assert ending is not None
        assert ending.code == "unauthorized"
        assert links(a) == []


async def test_only_the_answer_to_our_own_dial_pins_a_key(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await b.peers.put(Peer(url="http://127.0.0.1:1"))
        await a.peers.put(Peer(url=ws(b), pull=True))
        await until_live(a, b)
        await until(lambda: all(peer.key for peer in a.links.peers), a)

        (ours,), (theirs,) = await a.peers.list(), await b.peers.list()

        assert ours.key == b.key.public
        assert theirs.key is None


async def test_a_peer_whose_key_has_changed_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await a.peers.put(Peer(url=ws(b), pull=True, key=ALICE.public))
        (peer,) = await a.peers.list()

        await until(lambda: a.links.ending_of(peer) is not None, a)

        ending = a.links.ending_of(peer)
        assert ending is not None
        assert ending.code == "unauthorized"


async def test_links_follow_the_peers_table_when_another_program_changes_it(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(b, *claims(3))
        with closing(sqlite3.connect(tmp_path / "a" / "dnarc.db")) as shell, shell:
            shell.execute("INSERT INTO peers (url, pull) VALUES (?, 1)", (ws(b),))
        await until_held(claims(3), a)

        with closing(sqlite3.connect(tmp_path / "a" / "dnarc.db")) as shell, shell:
            shell.execute("DELETE FROM peers")

        await until(lambda: not links(a) and not links(b), a, b)


async def test_a_changed_row_causes_a_new_link_on_the_new_terms(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(b, *claims(3))
        await befriend(a, b, pull=False)
        await until_live(a, b)
        assert held(a) == set()

        await a.peers.put(Peer(url=ws(b), pull=True))

        await until_held(claims(3), a)


async def test_a_requested_sync_compares_over_the_link(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(b, *claims(3))
        await befriend(a, b)

        pulled = (await a.sync.run("pull"))[ws(b)]
        pushed = (await a.sync.run("push"))[ws(b)]

        assert pulled | {"seconds": 0, "records": 3, "accepted": 3} == report(
            seconds=0, records=3, accepted=3, through={DOMAIN: claims(3)[-1].timestamp}, clock_ahead_s=0
        )
        assert pushed["error"] is None
        assert held(a) == held(b)
        assert states(a) == {"live"}


async def test_a_sync_with_a_peer_that_does_not_answer_reports_why(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a:
        await a.peers.put(Peer(url="ws://127.0.0.1:1", pull=True))

        result = (await a.sync.run("pull"))["ws://127.0.0.1:1"]

        assert str(result["error"]).startswith("unreachable: ")


ELSEWHERE = claim("elsewhere", ALICE, NOW - 5, domain="other.example")

ONE_WAY = {
    "both hold the same": ([], [], None),
    "the receiver holds more": ([], claims(2, label="own"), None),
    "the receiver holds a domain of its own": ([], [ELSEWHERE], None),
    "the giver holds a domain that the receiver does not keep": ([ELSEWHERE], [], (DOMAIN,)),
}


@pytest.mark.parametrize(("more_there", "more_here", "kept"), ONE_WAY.values(), ids=ONE_WAY.keys())
async def test_a_peer_that_is_only_pulled_from_is_in_step_again_and_again(
    tmp_path: Path, more_there: list[Record], more_here: list[Record], kept: tuple[str, ...] | None
) -> None:
    async with running(tmp_path / "a", domains=kept, repair_interval=0.1) as a, running(tmp_path / "b") as b:
        await give(b, *claims(3), *more_there)
        await give(a, *more_here)
        await befriend(a, b, push=False)
        await until_live(a, b)

        for _ in range(2):
            await until_in_step(a, ws(b))


async def test_a_domain_that_is_new_since_the_last_comparison_keeps_nobody_out_of_step(tmp_path: Path) -> None:
    async with running(tmp_path / "a", repair_interval=0.1) as a, running(tmp_path / "b") as b:
        await give(b, *claims(3))
        await befriend(a, b, push=False)
        await until_in_step(a, ws(b))

        await give(a, ELSEWHERE)

        await until_in_step(a, ws(b))


async def test_the_end_that_was_dialled_learns_that_it_is_in_step(tmp_path: Path) -> None:
    """It holds more than what is pushed to it, so fingerprints alone could not tell it."""
    async with running(tmp_path / "a", repair_interval=0.1) as a, running(tmp_path / "b") as b:
        await give(a, *claims(3))
        await give(b, *claims(2, label="own"))
        await befriend(a, b, pull=False)

        await until_in_step(b, a.key.public)


async def test_a_peer_that_refuses_records_is_not_in_step(tmp_path: Path) -> None:
    async with running(tmp_path / "a", repair_interval=0.1) as a, running(tmp_path / "b", max_age=100) as b:
        await give(a, claim("one", ALICE, NOW - 500))
        await a.peers.put(Peer(url=ws(b), push=True))
        await until_live(a, b)
        await until(lambda: all(link.carried(Flow.PUSH).refusals for link in a.links.by_number.values()), a, b)

        await a.sync.run("push")

        (link,) = a.links.by_number.values()
        assert not link.machine.is_in_step


async def until_in_step(node: Node, peer: str) -> None:
    """Wait until a comparison that ends after this call finds the peer in step."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    await until(lambda: node.convergence.lags_s(loop.time()).get(peer, HANG_S) < loop.time() - begun_s, node)
