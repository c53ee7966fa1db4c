"""Sync over plain HTTP between whole nodes, on real sockets and with real stores."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from node.http_sync.report import Job
from node.http_sync.run import COMPARISON_SHARE, PeerMemory, sync_once
from node.http_sync.worker import QUEUE_MAX
from node.store.contract import Cursor, Peer
from protocol.errors import Code, ProtocolError
from protocol.link.terms import Flow
from protocol.records.admission import Trust
from tests.history import ALICE, BOB, CAROL, DOMAIN, claim, signed
from tests.node.http_sync.sync_network import (
    NOW,
    Handler,
    answering,
    befriend,
    claims,
    false_peer,
    give,
    held,
    ids,
    line,
    node_answer,
    report,
    running,
    sync,
)

LATER_S = 1_000
TEXT_BYTES, LARGE_COUNT = 60_000, 150
"""The size of a large record, and a number of them that fills more than one request."""


async def test_a_pull_brings_all_records_of_the_peer(tmp_path: Path) -> None:
    records = claims(25)
    async with running(tmp_path / "a", sync_page=10) as a, running(tmp_path / "b") as b:
        await give(b, *records)
        await befriend(a, b, pull=True)

        result = await sync(a, "pull", b.url)

        assert result == report(records=25, accepted=25, through={DOMAIN: records[-1].timestamp})
        assert held(a) == ids(records)


async def test_a_peer_may_answer_with_one_json_value_instead_of_lines(tmp_path: Path) -> None:
    """The first run lists records, the second lists ids. Both listings come as plain JSON here."""
    first, late = claims(1)[0], claim("late", ALICE, NOW - 5_000)
    held_there = [first]

    async def claims_of(request: web.Request) -> web.StreamResponse:
        since = int(request.query.get("since", 0))
        listed = sorted((each for each in held_there if each.timestamp >= since), key=lambda each: each.order_key)
        if "ids" in request.query:
            return web.json_response([[each.timestamp, each.id] for each in listed])
        return web.json_response({signed(each).signature: json.loads(each.canonical) for each in listed})

    async def node(request: web.Request) -> web.StreamResponse:
        return await answering(node_answer(CAROL.public, held_there))(request)

    async def by_id(_request: web.Request) -> web.StreamResponse:
        return web.json_response({signed(late).signature: json.loads(late.canonical)})

    routes: dict[str, Handler] = {"/node": node, f"/claims/{DOMAIN}": claims_of, "/records": by_id}
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await a.peers.put(Peer(url=url, pull=True))
        by_time = await sync(a, "pull", url)
        held_there.append(late)

        by_comparison = await sync(a, "pull", url)

        assert (by_time["error"], by_comparison["error"]) == (None, None)
        assert held(a) == ids([first, late])


async def test_a_push_gives_the_peer_all_records(tmp_path: Path) -> None:
    records = claims(25)
    async with running(tmp_path / "a", sync_page=10) as a, running(tmp_path / "b") as b:
        await give(a, *records)
        await befriend(a, b, push=True)

        result = await sync(a, "push", b.url)

        assert result == report(records=25, accepted=25, through={DOMAIN: records[-1].timestamp})
        assert held(b) == ids(records)


@pytest.mark.parametrize("direction", ["push", "pull"])
async def test_a_second_run_has_nothing_to_carry(tmp_path: Path, direction: str) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a if direction == "push" else b, *claims(3))
        await befriend(a, b, push=True, pull=True)
        first = await sync(a, direction, b.url)

        second = await sync(a, direction, b.url)

        assert second == report(through=first["through"])


async def test_a_second_with_more_records_than_a_page_is_carried_whole(tmp_path: Path) -> None:
    records = [claim(f"plot-{number}", ALICE, NOW - 5) for number in range(35)]
    async with running(tmp_path / "a", sync_page=10) as a, running(tmp_path / "b") as b:
        await give(b, *records)
        await befriend(a, b, pull=True)

        result = await sync(a, "pull", b.url)

        assert result == report(records=35, accepted=35, through={DOMAIN: NOW - 5})


@pytest.mark.parametrize("order", [("pull", "push"), ("push", "pull")])
async def test_rival_founders_end_in_one_head_whichever_direction_ran_first(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    older, younger = claim("garden", ALICE, NOW - 20), claim("garden", BOB, NOW - 10)
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, younger, trust=Trust.CLIENT)
        await give(b, older, trust=Trust.CLIENT)
        await befriend(a, b, push=True, pull=True)

        for direction in order:
            await sync(a, direction, b.url)

        for node in (a, b):
            states = await node.store.states([(DOMAIN, "garden")])
            history = await node.store.history(DOMAIN, "garden")
            state = states[DOMAIN, "garden"]
            assert state.tip is not None
            assert (state.tip.id, state.contested) == (older.id, True)
            assert [(past.record.id, past.verdict) for past in history] == [
                (older.id, "founded"),
                (younger.id, "rival"),
            ]


@pytest.mark.parametrize("direction", ["push", "pull"])
async def test_records_that_the_cursor_misses_are_repaired_once(tmp_path: Path, direction: str) -> None:
    records, late = claims(3), claim("late", ALICE, NOW - 100_000)
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        giver = a if direction == "push" else b
        await give(giver, *records)
        await befriend(a, b, push=True, pull=True)
        before = await sync(a, direction, b.url)
        await give(giver, late)

        repair = await sync(a, direction, b.url)
        after = await sync(a, direction, b.url)

        # The pass from the cursor on sees only the newest record, which is known. The late one is fetched by its id.
        assert repair == report(records=2, accepted=1, known=1, repaired=1, through=before["through"])
        assert after == report(through=before["through"])
        assert held(a) == held(b) == ids([*records, late])


async def test_the_cursor_alone_misses_a_late_record(tmp_path: Path) -> None:
    records, late = claims(3), claim("late", ALICE, NOW - 100_000)
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(b, *records)
        await befriend(a, b, pull=True)
        await sync(a, "pull", b.url)
        await give(b, late)
        [peer] = await a.peers.list()
        much_later = asyncio.get_running_loop().time() + LATER_S
        no_comparison = PeerMemory(compare_again={(Flow.PULL, DOMAIN): much_later})

        result = await sync_once(a.sync.parts, peer, Job(Flow.PULL, is_asked=False), no_comparison)

        assert (result.known, result.accepted, result.error) == (1, 0, None)
        assert held(a) == ids(records)


async def test_a_comparison_at_the_interval_waits_a_multiple_of_the_last_ones_duration(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *claims(1))
        await give(b, *claims(1, label="other"))
        await befriend(a, b, pull=True)
        [peer] = await a.peers.list()
        memory, loop = PeerMemory(), asyncio.get_running_loop()
        begun = loop.time()

        await sync_once(a.sync.parts, peer, Job(Flow.PULL, is_asked=False), memory)

        took_at_most = loop.time() - begun
        again = memory.compare_again[Flow.PULL, DOMAIN]
        assert begun < again <= loop.time() + COMPARISON_SHARE * took_at_most


async def test_a_record_ahead_of_the_clock_moves_the_cursor_only_to_now(tmp_path: Path) -> None:
    ahead = claim("ahead", ALICE, NOW + 200)
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(b, ahead)
        await befriend(a, b, pull=True)

        result = await sync(a, "pull", b.url)

        assert result == report(records=1, accepted=1, through={DOMAIN: NOW})


@pytest.mark.parametrize("direction", ["push", "pull"])
async def test_a_record_that_is_too_new_holds_the_cursor_and_is_carried_later(tmp_path: Path, direction: str) -> None:
    [present], ahead = claims(1), claim("ahead", ALICE, NOW + 400)
    async with running(tmp_path / "b", now=NOW + 200 if direction == "pull" else NOW) as b:
        async with running(tmp_path / "a", now=NOW if direction == "pull" else NOW + 200) as a:
            await give(a if direction == "push" else b, present, ahead)
            await befriend(a, b, push=True, pull=True)

            early = await sync(a, direction, b.url)

            assert (early["accepted"], early["error"]) == (1, None)
            assert early["through"][DOMAIN] < ahead.timestamp
            assert ahead.id not in held(a) & held(b)

        if direction == "pull":
            async with running(tmp_path / "a", now=NOW + 200) as later:
                on_time = await sync(later, "pull", b.url)

                assert (on_time["accepted"], on_time["error"]) == (1, None)
                assert held(later) == held(b) == ids([present, ahead])


async def test_a_run_carries_all_domains_or_the_one_asked_for(tmp_path: Path) -> None:
    here, there = claim("garden", ALICE, NOW, domain="here"), claim("garden", ALICE, NOW, domain="there")
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(b, here, there)
        await befriend(a, b, pull=True)

        one = await a.sync.run("pull", None, "here")
        both = await a.sync.run("pull", None, None)

        assert one[b.url]["through"] == {"here": NOW}
        assert both[b.url]["through"] == {"here": NOW, "there": NOW}
        assert (held(a, "here"), held(a, "there")) == ({here.id}, {there.id})


async def test_a_node_in_the_middle_carries_between_two_nodes_that_never_meet(tmp_path: Path) -> None:
    records = claims(4)
    async with running(tmp_path / "a") as a, running(tmp_path / "m") as middle, running(tmp_path / "b") as b:
        await give(a, *records[:2])
        await give(b, *records[2:])
        await befriend(middle, a, push=True, pull=True)
        await befriend(middle, b, push=True, pull=True)

        await middle.sync.run("pull", None, None)
        await middle.sync.run("push", None, None)

        assert held(a) == held(b) == held(middle) == ids(records)


async def test_each_domain_of_a_peer_is_identical_differs_or_is_unknown(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *claims(1))
        await befriend(a, b, push=True)
        [peer] = await a.peers.list()

        unknown = a.sync.steps(peer)
        await sync(a, "push", b.url)
        [peer] = await a.peers.list()
        identical = a.sync.steps(peer)
        await give(a, *claims(1, label="other"))
        differs = a.sync.steps(peer)

        assert (unknown, identical, differs) == ({DOMAIN: "unknown"}, {DOMAIN: "identical"}, {DOMAIN: "differs"})


async def test_a_peer_that_does_not_accept_this_node_is_not_pushed_everything_again(tmp_path: Path) -> None:
    async with running(tmp_path / "a", sync_page=10) as a, running(tmp_path / "b", max_age=300) as b:
        await give(a, *claims(30, begin=NOW - 10_000))
        await a.peers.put(Peer(url=b.url, push=True))

        result = await sync(a, "push", b.url)

        assert result["error"] == (
            f"{DOMAIN}: the peer refuses all 10 records offered (10 too_old): the peer treats this node as a client: "
            "list this node's key there, `dnarc peers add --key KEY --accept`"
        )
        assert (result["records"], result["refused"], result["refusals"]) == (40, 40, {"too_old": 40})
        assert held(b) == set()


async def test_refused_records_are_counted_by_code_in_either_direction(tmp_path: Path) -> None:
    early, late = claims(2, begin=NOW), claims(3, begin=NOW + 301, label="ahead")
    async with running(tmp_path / "a", now=NOW + 300) as a, running(tmp_path / "b") as b:
        await give(a, *early, *late)
        await befriend(a, b, push=True)
        await befriend(b, a, pull=True)

        pulled, pushed = await sync(b, "pull", a.url), await sync(a, "push", b.url)

        assert (pulled["accepted"], pulled["refusals"]) == (2, {"too_new": pulled["refused"]})
        assert (pushed["accepted"], pushed["refusals"]) == (0, {"too_new": pushed["refused"]})
        listed = await b.peers.find(a.url)
        assert listed is not None
        assert b.sync.refusals(listed) == {"pull": pulled["refusals"], "push": {}}


async def test_a_domain_that_the_peer_does_not_keep_does_not_stop_others(tmp_path: Path) -> None:
    kept, other = claim("garden", ALICE, NOW, domain="kept"), claim("garden", ALICE, NOW, domain="banned")
    async with running(tmp_path / "a") as a, running(tmp_path / "b", domains=["kept"]) as b:
        await give(a, kept, other)
        await befriend(a, b, push=True)

        result = await sync(a, "push", b.url)

        assert result["error"].startswith("banned: ")
        assert (result["accepted"], held(b, "kept")) == (1, {kept.id})
        assert result["through"] == {"banned": 0, "kept": NOW}


async def test_a_domain_that_this_node_does_not_keep_is_not_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path / "a", domains=["kept"]) as a, running(tmp_path / "b") as b:
        await give(b, *claims(1))
        await befriend(a, b, pull=True)

        assert await sync(a, "pull", b.url) == report()


async def test_two_callers_that_ask_for_the_same_run_share_it(tmp_path: Path) -> None:
    asked, gate = 0, asyncio.Event()

    async def node(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await gate.wait()
        return await answering(node_answer(CAROL.public))(request)

    async with running(tmp_path / "a") as a, false_peer({"/node": node}) as url:
        await a.peers.put(Peer(url=url, pull=True))
        read, list_peers = set[object](), a.peers.list

        async def list_and_note() -> list[Peer]:
            peers = await list_peers()
            read.add(asyncio.current_task())
            return peers

        a.peers.list = list_and_note  # type: ignore[method-assign]  # tells which runs have read the peers
        runs = [asyncio.ensure_future(a.sync.run("pull")) for _ in range(2)]
        while not asked or not read.issuperset(runs):
            await list_peers()
        for _ in range(10):
            await list_peers()  # turns of the loop, in which the second run finds the first
        gate.set()
        first, second = await asyncio.gather(*runs)

        assert (asked, first) == (1, second)


async def test_runs_with_one_peer_never_overlap_and_their_queue_is_limited(tmp_path: Path) -> None:
    going, most = 0, 0
    gate = asyncio.Event()

    async def node(request: web.Request) -> web.StreamResponse:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await gate.wait()
        going -= 1
        return await answering(node_answer(CAROL.public))(request)

    async with running(tmp_path / "a") as a, false_peer({"/node": node}) as url:
        await a.peers.put(Peer(url=url, pull=True))
        domains = [f"domain-{number}" for number in range(QUEUE_MAX + 2)]
        runs = [asyncio.create_task(a.sync.run("pull", None, domain)) for domain in domains]
        [refused], _ = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)  # the others wait for the gate
        gate.set()
        answers = await asyncio.gather(*runs, return_exceptions=True)

    error = refused.exception()
    assert isinstance(error, ProtocolError)
    assert error.code is Code.OVERLOADED
    assert [answer for answer in answers if isinstance(answer, Exception)] == [error]
    assert most == 1


async def test_a_run_continues_from_the_last_page_of_the_run_that_broke_off(tmp_path: Path) -> None:
    records = claims(4)
    asked: list[str] = []

    async def claims_of(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["since"])
        if request.query["since"] != "0":
            return await answering(b"".join(map(line, records[1:])))(request)
        if "after" not in request.query:
            link = f'<{request.rel_url.update_query(after="two")}>; rel="next"'
            return await answering(b"".join(map(line, records[:2])), Link=link)(request)
        response = web.StreamResponse(headers={"Content-Length": "10000"})
        await response.prepare(request)
        await response.write(line(records[2])[:50])
        assert request.transport is not None
        request.transport.abort()
        return response

    routes = {"/node": answering(node_answer(CAROL.public, records)), f"/claims/{DOMAIN}": claims_of}
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await a.peers.put(Peer(url=url, pull=True))

        broken = await sync(a, "pull", url)
        whole = await sync(a, "pull", url)

        assert broken["error"].startswith("the connection failed")
        assert (broken["accepted"], broken["through"]) == (2, {DOMAIN: records[1].timestamp})
        assert whole == report(records=3, accepted=2, known=1, through={DOMAIN: records[3].timestamp})
        assert asked == ["0", "0", str(records[1].timestamp)]


async def test_cursors_survive_a_restart(tmp_path: Path) -> None:
    records = claims(2)
    async with running(tmp_path / "b") as b:
        await give(b, *records)
        async with running(tmp_path / "a") as a:
            await befriend(a, b, pull=True)
            await sync(a, "pull", b.url)

        async with running(tmp_path / "a") as again:
            assert await again.store.cursors() == [Cursor(b.url, DOMAIN, "pull", records[-1].timestamp)]


async def test_a_node_notices_that_a_peer_is_itself(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a:
        await a.peers.put(Peer(url=a.url, pull=True, push=True))

        result = await sync(a, "pull", a.url)

        assert result == report(error="this peer is the node itself: remove it", code="unauthorized")


async def test_a_password_is_sent_as_basic_auth_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str | None] = []

    async def node(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return await answering(b"?", status=403)(request)

    async with running(tmp_path / "a") as a, false_peer({"/node": node}) as url:
        await a.peers.put(Peer(url=url.replace("//", "//ann:s3cret@"), pull=True))

        result = await a.sync.run("pull")

    assert seen == ["Basic YW5uOnMzY3JldA=="]
    assert list(result) == [url.replace("//", "//ann:***@")]
    assert "s3cret" not in repr(result) + caplog.text + "".join(capsys.readouterr())


async def test_large_records_are_pushed_in_requests_that_each_fit(tmp_path: Path) -> None:
    records = [claim(f"plot-{n}", ALICE, NOW - n, text="x" * TEXT_BYTES) for n in range(LARGE_COUNT)]
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give(a, *records)
        await befriend(a, b, push=True)

        result = await sync(a, "push", b.url)

        assert result == report(records=LARGE_COUNT, accepted=LARGE_COUNT, through={DOMAIN: NOW})


@pytest.mark.parametrize(("direction", "receiver"), [("pull", 0), ("push", 1)])
async def test_if_records_flow_one_way_the_receiver_may_hold_more(
    tmp_path: Path, direction: str, receiver: int
) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await give((b, a)[receiver], *claims(3))
        await give((a, b)[receiver], *claims(2, label="own"))
        await befriend(a, b, **{direction: True})
        await sync(a, direction, b.url)
        begun_s = asyncio.get_running_loop().time()

        await sync(a, direction, b.url)

        now_s = asyncio.get_running_loop().time()
        assert a.convergence.lags_s(now_s)[b.url] < now_s - begun_s


async def test_a_peer_that_refuses_records_is_not_in_step(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b", max_age=100) as b:
        await give(a, claim("old", ALICE, NOW - 500))
        await a.peers.put(Peer(url=b.url, push=True))
        await sync(a, "push", b.url)
        begun_s = asyncio.get_running_loop().time()

        await sync(a, "push", b.url)

        now_s = asyncio.get_running_loop().time()
        assert a.convergence.lags_s(now_s)[b.url] > now_s - begun_s
