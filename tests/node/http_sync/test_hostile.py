"""Sync over plain HTTP with peers that misbehave: real sockets, real stores, false peers."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from node.http_sync.answers import LINE_BYTES_MAX
from node.http_sync.body import EMPTY_LINES_MAX
from node.http_sync.peer import NODE_BYTES_MAX
from node.store.contract import Peer
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
    line,
    node_answer,
    report,
    running,
    sync,
)
from tests.ports import held_port

VERY_DEEP = 100_000
LONG_AGO, FAR_FUTURE = "Sun, 06 Nov 1994 08:49:37 GMT", "Tue, 31 Dec 2999 23:59:59 GMT"
FORGED = claim("forged", ALICE, NOW - 500)
ELSEWHERE = claim("garden", ALICE, NOW - 500, domain="elsewhere")
GOOD = claims(1)[0]
NODE = answering(node_answer(CAROL.public, claims(2)))
CLAIMS = f"/claims/{DOMAIN}"
HOSTILE: list[tuple[str, dict[str, Handler], str]] = [
    ("an answer that is not JSON", {"/node": answering(b"<html>")}, "shape"),
    ("another shape", {"/node": answering([1, 2])}, "shape"),
    ("mistyped", {"/node": answering({"node": 7, "domains": {}})}, "shape"),
    ("too deep", {"/node": answering(b"[" * VERY_DEEP)}, "shape"),
    ("not UTF-8", {"/node": answering(b'{"node": "\xff", "domains": {}}')}, "shape"),
    ("no key", {"/node": answering({"node": "me", "domains": {}})}, "does not say who it is"),
    ("no domain", {"/node": answering(node_answer(CAROL.public, domain="../etc"))}, "cannot be a domain"),
    ("a redirect", {"/node": answering(b"", 302, Location="http://127.0.0.1:1/node")}, "redirects"),
    ("compression", {"/node": answering(b"\x1f\x8b", Content_Encoding="gzip")}, "compressed"),
    (
        "an error with a terminal's control codes",
        {"/node": answering({"code": "x", "detail": "\x1b[2J"}, 500)},
        "\\x1b[2J",
    ),
    ("a long pause", {"/node": answering(b"", 503, Retry_After="100000")}, "answers 503"),
    ("a pause until a far date", {"/node": answering(b"", 503, Retry_After=FAR_FUTURE)}, "answers 503"),
    ("no such route", {}, "answers 404"),
    ("no lines", {"/node": NODE, CLAIMS: answering(b"nonsense\n")}, "shape"),
    ("a long line", {"/node": NODE, CLAIMS: answering(b"x" * (LINE_BYTES_MAX + 1))}, "a line of more than"),
    ("no record", {"/node": NODE, CLAIMS: answering({"signature": "0" * 128, "record": {}})}, "invalid record"),
    ("empty lines", {"/node": NODE, CLAIMS: answering(b"\n" * (EMPTY_LINES_MAX + 1))}, "empty lines"),
    (
        "a /node that is too long",
        {"/node": answering(b" " * (NODE_BYTES_MAX + 1))},
        f"more than {NODE_BYTES_MAX} bytes",
    ),
    ("another domain", {"/node": NODE, CLAIMS: answering(line(ELSEWHERE))}, "another domain"),
    ("no order", {"/node": NODE, CLAIMS: answering(line(GOOD) + line(GOOD))}, "not in order"),
    ("no `after`", {"/node": NODE, CLAIMS: answering(line(GOOD), Link='</x>; rel="next"')}, "no `after`"),
    ("a bad link", {"/node": NODE, CLAIMS: answering(line(GOOD), Link='<http://[::x>; rel="next"')}, "cannot be read"),
    ("a circle", {"/node": NODE, CLAIMS: answering(line(GOOD), Link='</?after=a>; rel="next"')}, "not in order"),
    ("empty pages", {"/node": NODE, CLAIMS: answering(b"", Link='</?after=a>; rel="next"')}, "after an empty page"),
    (
        "a forged signature",
        {"/node": NODE, CLAIMS: answering(line(FORGED).replace(signed(FORGED).signature[:8].encode(), b"0" * 8))},
        "bad_signature",
    ),
]


@pytest.mark.parametrize(("routes", "said"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
async def test_a_wrong_answer_is_an_error_in_the_report(tmp_path: Path, routes: dict[str, Handler], said: str) -> None:
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await a.peers.put(Peer(url=url, pull=True))

        result = await sync(a, "pull", url)

        assert said in (result["error"] or "")
        assert held(a) <= {GOOD.id}


async def test_a_peer_that_lists_ids_and_does_not_give_the_records_is_cut_off(tmp_path: Path) -> None:
    async def listing(request: web.Request) -> web.StreamResponse:
        if "ids" in request.query:
            return await answering(b'[5,"%b"]\n' % (64 * b"a"))(request)
        return await answering(b"")(request)

    routes = {"/node": NODE, CLAIMS: listing, "/records": answering({})}
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await a.peers.put(Peer(url=url, pull=True))

        result = await sync(a, "pull", url)

        assert result["error"] == "the peer is cut off: it lists records that it does not give"


async def test_records_that_take_long_to_decode_leave_the_loop_to_others(tmp_path: Path) -> None:
    """The records are decoded in a thread, like the records of a client. The thread starts with the first of them."""
    slow = [claim("slow", ALICE, NOW - 500 + number, f=[0.5] * 4_000) for number in range(8)]
    routes = {"/node": NODE, CLAIMS: answering(b"".join(map(line, slow)))}
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await a.peers.put(Peer(url=url, pull=True))

        await sync(a, "pull", url)

        assert held(a) == {each.id for each in slow}
        assert any(each.name.startswith("decode") for each in threading.enumerate())


@pytest.mark.parametrize("path", ["/node", CLAIMS])
async def test_an_endless_body_is_cut_off(tmp_path: Path, path: str) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            try:
                await response.write(b"x" * 65_536)
            except ConnectionError:
                return response

    async with running(tmp_path / "a") as a, false_peer({"/node": NODE, path: endless}) as url:
        await a.peers.put(Peer(url=url, pull=True))

        result = await sync(a, "pull", url)

        assert "more than" in result["error"]


@pytest.mark.parametrize("is_trickling", [True, False])
async def test_a_run_with_a_peer_that_is_silent_or_trickles_ends(tmp_path: Path, is_trickling: bool) -> None:
    end = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while is_trickling and not end.is_set():
            try:
                await response.write(b" ")
            except ConnectionError:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await end.wait()
        await end.wait()
        return response

    async with (
        running(tmp_path / "a", peer_timeout=0.1) as a,
        false_peer({"/node": slow}) as url,
    ):
        await a.peers.put(Peer(url=url, pull=True))

        result = await sync(a, "pull", url)
        end.set()

        assert result["error"] is not None
        assert "bytes a second" in result["error"] or "in time" in result["error"]


async def test_a_peer_that_cannot_be_reached_is_an_error_in_the_report(tmp_path: Path) -> None:
    with held_port() as port:
        async with running(tmp_path / "a") as a:
            url = f"http://127.0.0.1:{port}"
            await a.peers.put(Peer(url=url, pull=True))

            result = await sync(a, "pull", url)

            assert result["error"].startswith("the connection failed")


@pytest.mark.parametrize("retry_after", ["0", LONG_AGO])
async def test_a_busy_peer_is_asked_again_after_its_retry_after(tmp_path: Path, retry_after: str) -> None:
    answers = [answering(b"", 503, Retry_After=retry_after), answering(node_answer(CAROL.public))]

    async def node(request: web.Request) -> web.StreamResponse:
        return await answers.pop(0)(request)

    async with running(tmp_path / "a") as a, false_peer({"/node": node}) as url:
        await a.peers.put(Peer(url=url, pull=True))

        assert (await sync(a, "pull", url))["error"] is None
        assert answers == []


async def test_a_peer_that_stays_busy_is_asked_three_times_and_no_more(tmp_path: Path) -> None:
    asked = 0

    async def node(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return await answering(b"", 429, Retry_After="0")(request)

    async with running(tmp_path / "a") as a, false_peer({"/node": node}) as url:
        await a.peers.put(Peer(url=url, pull=True))

        result = await sync(a, "pull", url)

        assert (asked, result) == (3, report(error="the peer answers 429", code="overloaded"))


async def test_a_peer_that_gives_one_record_more_than_a_page_is_cut_off(tmp_path: Path) -> None:
    records = claims(3)
    routes = {
        "/node": answering(node_answer(CAROL.public, records)),
        CLAIMS: answering(b"".join(map(line, records))),
    }
    async with running(tmp_path / "a", sync_page=2) as a, false_peer(routes) as url:
        await a.peers.put(Peer(url=url, pull=True))

        result = await sync(a, "pull", url)

        assert result["error"].startswith("the peer is cut off: it lists more than was asked for")
        assert held(a) == set()


async def test_a_busy_peer_ends_a_push_and_the_cursor_stays_before_the_refused_record(tmp_path: Path) -> None:
    records = claims(2)
    answer = {
        signed(records[0]).signature: {"status": "accepted"},
        signed(records[1]).signature: {"status": "refused", "code": "rate_limited"},
    }
    routes = {"/node": answering(node_answer(CAROL.public)), "/claims": answering(answer)}
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await give(a, *records)
        await a.peers.put(Peer(url=url, push=True))

        result = await sync(a, "push", url)

        assert result["error"].startswith("the peer takes no more for now (rate_limited)")
        assert result["through"] == {DOMAIN: records[0].timestamp}


@pytest.mark.parametrize("answer", [{}, {"0" * 128: {"status": "accepted"}}, {"x": {"status": "maybe"}}])
async def test_a_peer_that_answers_a_push_about_other_records_is_cut_off(tmp_path: Path, answer: object) -> None:
    routes = {"/node": answering(node_answer(CAROL.public)), "/claims": answering(answer)}
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await give(a, *claims(1))
        await a.peers.put(Peer(url=url, push=True))

        result = await sync(a, "push", url)

        assert result["error"].startswith("the peer is cut off")
        assert result["through"] == {DOMAIN: 0}


async def test_reserved_labels_are_skipped_and_do_not_cut_the_peer_off(tmp_path: Path) -> None:
    reserved = claim("@witness", ALICE, NOW - 2_000)
    lines = line(reserved) + line(GOOD)
    routes = {"/node": answering(node_answer(CAROL.public, [GOOD])), CLAIMS: answering(lines)}
    async with running(tmp_path / "a") as a, false_peer(routes) as url:
        await a.peers.put(Peer(url=url, pull=True))

        result = await sync(a, "pull", url)

        assert result == report(
            records=2, accepted=1, refused=1, refusals={"malformed": 1}, through={DOMAIN: GOOD.timestamp}
        )


async def test_a_peers_key_is_pinned_at_its_first_answer_and_another_key_is_an_error(tmp_path: Path) -> None:
    routes = {"/node": answering(node_answer(BOB.public, claims(1)))}
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b, false_peer(routes) as url:
        await befriend(a, b, pull=True)
        await a.peers.put(Peer(url=url, pull=True, key=CAROL.public))

        await sync(a, "pull", b.url)
        changed = await sync(a, "pull", url)

        assert {peer.url: peer.key for peer in await a.peers.list()} == {b.url: b.key.public, url: CAROL.public}
        assert changed["error"].startswith("the key changed")
        assert held(a) == set()
