"""The requests of an operator: peers and sync."""

import asyncio
import json
from pathlib import Path

import pytest

from node.http_api.handlers.operate import PEER_BYTES_MAX
from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from protocol.signing import SigningKey
from tests.node.http_api.talking import Client, as_admin, fresh

KEY = SigningKey(b"peer".ljust(32, b".")).public
SHOWN = {"url": None, "push": False, "pull": False, "accept": False, "key": None}


async def test_a_peer_is_added_changed_listed_and_removed(client: Client, node: Node) -> None:
    admin = as_admin(node)
    url = "http://127.0.0.1:9"

    added = await client.send("PUT", "/peers", json.dumps({"url": url, "pull": True}).encode(), admin)
    changed = await client.send("PUT", "/peers", json.dumps({"url": url, "accept": True}).encode(), admin)
    peers = await client.get("/peers")
    forgotten = await client.send("DELETE", f"/peers?url={url}", headers=admin)
    again = await client.send("DELETE", f"/peers?url={url}", headers=admin)

    assert (added.status, added.json()) == (200, SHOWN | {"url": url, "pull": True, "accept": True})
    assert changed.json() == SHOWN | {"url": url, "accept": True}
    state: dict[str, object] = {
        "state": "away",
        "error": None,
        "since": None,
        "remedy": None,
        "domains": {},
        "refusals": {"push": {}, "pull": {}},
        "clock_ahead_s": None,
        "link": None,
        "lag_s": None,
    }
    assert peers.json() == [SHOWN | state | {"url": url, "accept": True}]
    assert forgotten.status == 200
    assert again.refusal == (404, "unknown_peer")
    assert (await client.get("/peers")).json() == []


async def test_a_peer_without_url_is_named_by_its_key(client: Client, node: Node) -> None:
    body = json.dumps({"key": KEY, "accept": True}).encode()

    added = await client.send("PUT", "/peers", body, as_admin(node))
    forgotten = await client.send("DELETE", f"/peers?key={KEY}", headers=as_admin(node))

    assert added.json() == forgotten.json() == SHOWN | {"key": KEY, "accept": True}


@pytest.mark.parametrize("password", ["secret", "se:cr:et", "s%40cret", "s@cret"])
async def test_an_answer_never_shows_a_password_in_a_url(client: Client, node: Node, password: str) -> None:
    await node.peers.put(Peer(url=f"http://user:{password}@127.0.0.1:9"))
    hidden = "http://user:***@127.0.0.1:9"

    peers = await client.get("/peers")
    forgotten = await client.send("DELETE", f"/peers?url={hidden}", headers=as_admin(node))

    assert [peer["url"] for peer in peers.json()] == [hidden]
    assert forgotten.json()["url"] == hidden


async def test_domains_of_a_peer_are_unknown_until_the_peer_answered(client: Client, node: Node) -> None:
    await client.put(fresh())
    await node.peers.put(Peer(key=KEY))

    (peer,) = (await client.get("/peers")).json()

    assert peer["domains"] == {"example": "unknown"}


NO_PEERS = {
    "nothing": b"",
    "no object": b"[]",
    "neither URL nor key": b"{}",
    "another scheme": b'{"url":"ftp://peer.example"}',
    "no scheme": b'{"url":"peer.example"}',
    "no host": b'{"url":"http://"}',
    "a port that is none": b'{"url":"http://peer.example:99999"}',
    "half an address": b'{"url":"http://[::1"}',
    "a query": b'{"url":"http://peer.example/?a=b"}',
    "a pull without URL": b'{"key":"%s","pull":true}' % KEY.encode(),
    "a lone surrogate": b'{"url":"http://peer.example/\\ud800"}',
    "a hidden password": b'{"url":"http://user:***@peer.example"}',
    "a long URL": b'{"url":"http://peer.example/%s"}' % (b"x" * 2_048),
    "a key that is none": b'{"key":"x"}',
    "a flag that is none": b'{"url":"http://peer.example","push":1}',
    "an unknown field": b'{"url":"http://peer.example","pul":true}',
    "too deep": b"[" * 10_000,
    "no UTF-8": b'{"url":"\xff"}',
}


@pytest.mark.parametrize("body", NO_PEERS.values(), ids=NO_PEERS.keys())
async def test_a_body_that_is_no_peer_is_malformed(client: Client, node: Node, body: bytes) -> None:
    answer = await client.send("PUT", "/peers", body, as_admin(node))

    assert answer.refusal == (400, "malformed")
    assert (await client.get("/peers")).json() == []


async def test_a_peer_body_is_refused_one_byte_past_the_limit(client: Client, node: Node) -> None:
    whole = await client.send("PUT", "/peers", b" " * PEER_BYTES_MAX, as_admin(node))
    more = await client.send("PUT", "/peers", b" " * (PEER_BYTES_MAX + 1), as_admin(node))

    assert (whole.refusal, more.refusal) == ((400, "malformed"), (413, "too_large"))


async def test_a_removal_must_name_the_peer(client: Client, node: Node) -> None:
    assert (await client.send("DELETE", "/peers", headers=as_admin(node))).refusal == (400, "malformed")


@pytest.mark.parametrize("direction", ["push", "pull"])
async def test_a_sync_with_an_unknown_peer_is_refused(client: Client, direction: str) -> None:
    without_peers = await client.send("POST", f"/sync/{direction}")
    unknown = await client.send("POST", f"/sync/{direction}?peer=http://nobody.example")
    malformed = await client.send("POST", f"/sync/{direction}?domain=NONE")

    assert (without_peers.status, without_peers.json()) == (200, {})
    assert unknown.refusal == (404, "unknown_peer")
    assert malformed.refusal == (400, "malformed")


async def test_a_sync_reports_a_peer_that_does_not_answer_without_its_password(client: Client, node: Node) -> None:
    await node.peers.put(Peer(url="http://user:secret@127.0.0.1:9", pull=True))

    answer = await client.send("POST", "/sync/pull")

    assert list(answer.json()) == ["http://user:***@127.0.0.1:9"]
    assert b"secret" not in answer.body


async def test_a_node_that_is_well_says_so(client: Client) -> None:
    answer = await client.get("/health")

    assert (answer.status, answer.json()) == (200, {"status": "ok", "problems": [], "warnings": []})


async def test_a_node_that_is_not_well_says_why_and_takes_nothing(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, disk_free_bytes_min=2**62)
    async with Node(settings) as node, Client(node.url) as client:
        written = await client.put(fresh())
        answer = await client.get("/health")

    assert (answer.status, answer.json()["status"]) == (503, "failing")
    assert len(answer.json()["problems"]) == 1
    assert "Retry-After" in answer.headers
    assert written.status == 507


async def test_metrics_count_requests_and_records(client: Client) -> None:
    await client.put(fresh())
    await client.put(fresh())
    await client.get("/claims/example/none")
    await client.send("PUT", "/claims", b'{"x":1}')

    lines = (await client.get("/metrics")).body.decode().splitlines()

    assert {
        'dnarc_http_requests_total{method="PUT",route="/claims/{name}",status="201"} 1.0',
        'dnarc_http_requests_total{method="PUT",route="/claims/{name}",status="200"} 1.0',
        'dnarc_http_requests_total{method="GET",route="/claims/{domain}/{label}",status="404"} 1.0',
        'dnarc_records_accepted_total{trust="client",verdict="founded"} 1.0',
        'dnarc_records_known_total{trust="client"} 1.0',
        'dnarc_records_refused_total{code="malformed",trust="client"} 1.0',
        "dnarc_domains 1.0",
        "dnarc_records 1.0",
        "dnarc_healthy 1.0",
    } <= set(lines)


async def test_domains_that_are_listed_are_the_only_ones_shown(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with Node(Settings(port=0, data=folder, max_age=None)) as node, Client(node.url) as client:
        await client.import_all(node, [fresh(domain="kept"), fresh(domain="left")])
    async with Node(Settings(port=0, data=folder, domains=["kept", "empty"])) as node, Client(node.url) as client:
        domains = (await client.get("/domains")).json()
        known = (await client.get("/node")).json()["domains"]
        heads, history = await client.get("/claims"), await client.get("/claims?history=true")
        left = [
            await client.get(path) for path in ("/claims/left", "/claims/left/garden", "/claims/left/garden/history")
        ]
        empty = await client.get("/claims/empty")

    assert domains == list(known) == ["empty", "kept"]
    assert known["empty"]["count"] == 0
    assert [record["domain"] for record in heads.json().values()] == ["kept"]
    assert heads.body == history.body
    assert [answer.refusal for answer in left] == [(404, "unknown_domain")] * 3
    assert empty.body == b"{}"


ELSEWHERE = {"Host": "node.example"}
"""With such a name a request does not count as one of this machine."""


@pytest.mark.parametrize("path", ["/peers", "/metrics"])
async def test_peers_and_figures_are_for_this_machine_and_the_token(client: Client, node: Node, path: str) -> None:
    here = await client.get(path)
    elsewhere = await client.get(path, ELSEWHERE)
    with_token = await client.get(path, ELSEWHERE | as_admin(node))

    assert (here.status, elsewhere.refusal, with_token.status) == (200, (401, "unauthorized"), 200)


async def test_metrics_public_opens_the_figures_and_not_the_peers(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path, metrics_public=True)
    async with Node(settings) as node, Client(node.url) as client:
        metrics, peers = await client.get("/metrics", ELSEWHERE), await client.get("/peers", ELSEWHERE)

    assert (metrics.status, peers.refusal) == (200, (401, "unauthorized"))


async def test_health_tells_strangers_only_how_many_warnings_are_about_peers(client: Client, node: Node) -> None:
    await node.peers.put(Peer(url="http://127.0.0.1:9", pull=True))
    async with asyncio.timeout(120):
        while not (here := (await client.get("/health")).json())["warnings"]:
            pass

    elsewhere = (await client.get("/health", ELSEWHERE)).json()

    assert "127.0.0.1:9" in str(here)
    assert "127.0.0.1:9" not in str(elsewhere)
    assert elsewhere["warnings"][-1].startswith("1 about peers")
