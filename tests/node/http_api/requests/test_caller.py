"""What a caller may do depends on the admin token, a signed push, or loopback, never on what anybody can forge."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.fairness.addresses import network_of
from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from node.world import World
from protocol.records.push import PUSH_AGE_S_MAX, PUSH_HEADER, sign_push
from protocol.signing import SigningKey
from tests.history import claim, signed
from tests.node.http_api.talking import NOW, Answer, Client, as_admin, batch, fresh

PEER = SigningKey(b"peer".ljust(32, b"."))
OLD = claim("garden", at=1)
"""Too old for a client, so a caller that gets it in was admitted in the peer class."""


async def push(client: Client, node: Node, *, key: SigningKey = PEER, receiver: str = "", at: int = NOW) -> Answer:
    body = batch([signed(OLD)])
    header = sign_push(key, receiver or node.key.public, body, at)
    return await client.send("PUT", "/claims", body, {PUSH_HEADER: header})


def outcome_of(answer: Answer) -> str:
    """The code of the one record in a batch if it was refused, otherwise its status."""
    (outcome,) = answer.json().values()
    return str(outcome.get("code", outcome["status"]))


async def test_a_push_of_an_accepted_peer_is_admitted_in_the_peer_class(client: Client, node: Node) -> None:
    await node.peers.put(Peer(key=PEER.public, accept=True))

    assert outcome_of(await push(client, node)) == "accepted"


@pytest.mark.parametrize(
    "peer",
    [
        Peer(url="http://peer.example", key=PEER.public, accept=False, pull=True),
        Peer(key=PEER.public),
        Peer(url="http://peer.example", pull=True),
    ],
)
async def test_a_push_of_any_other_key_is_admitted_as_a_clients(client: Client, node: Node, peer: Peer) -> None:
    await node.peers.put(peer)

    assert outcome_of(await push(client, node)) == "too_old"


async def test_a_push_of_a_peer_that_this_node_pulls_from_is_accepted_by_default(client: Client, node: Node) -> None:
    await node.peers.put(Peer(url="http://peer.example", key=PEER.public, pull=True))

    assert outcome_of(await push(client, node)) == "accepted"


async def test_a_forged_or_replayed_push_is_refused_as_a_whole(client: Client, node: Node) -> None:
    await node.peers.put(Peer(key=PEER.public, accept=True))
    body = batch([signed(OLD)])
    for_another_body = {PUSH_HEADER: sign_push(PEER, node.key.public, body + b" ", NOW)}

    stale = await push(client, node, at=NOW - PUSH_AGE_S_MAX - 1)
    elsewhere = await push(client, node, receiver="0" * 64)
    forged = await client.send("PUT", "/claims", body, for_another_body)

    assert [answer.refusal for answer in (stale, elsewhere, forged)] == [(401, "bad_signature")] * 3
    assert (await client.get("/domains")).json() == []


async def test_a_push_header_that_cannot_be_read_is_malformed(client: Client) -> None:
    answer = await client.put_batch([fresh()], {PUSH_HEADER: "key=1"})

    assert answer.refusal == (400, "malformed")


async def test_a_forged_push_of_one_claim_is_refused_as_a_problem(client: Client, node: Node) -> None:
    forged = sign_push(PEER, node.key.public, b"another body", NOW)

    assert (await client.put(fresh(), {PUSH_HEADER: forged})).refusal == (401, "bad_signature")


async def test_the_admin_token_admits_records_of_any_age(client: Client, node: Node) -> None:
    assert outcome_of(await client.put_batch([OLD], as_admin(node))) == "accepted"


@pytest.mark.parametrize("value", ["Bearer", "Bearer x", "Basic eDp5", "", "Bearer \xff"])
async def test_a_wrong_token_is_unauthorized_for_every_request_that_takes_one(client: Client, value: str) -> None:
    headers = {"Authorization": value}

    answers = [
        await client.put_batch([fresh()], headers),
        await client.put(fresh(), headers),
        await client.send("POST", "/sync/push", headers=headers),
        await client.send("PUT", "/peers", b"{}", headers),
        await client.send("DELETE", "/peers?url=x", headers=headers),
    ]

    assert [answer.refusal for answer in answers] == [(401, "unauthorized")] * len(answers)
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="dnarc"'}


@pytest.mark.parametrize(("method", "path"), [("PUT", "/peers"), ("DELETE", "/peers?url=x")])
async def test_only_the_token_allows_to_change_peers(client: Client, method: str, path: str) -> None:
    assert (await client.send(method, path, b"{}")).refusal == (401, "unauthorized")


ELSEWHERE = {
    "a proxy": {"X-Forwarded-For": "127.0.0.1"},
    "a proxy that follows the standard": {"Forwarded": "for=127.0.0.1"},
    "a proxy that names only itself": {"Via": "1.1 proxy"},
    "a proxy with a header of its own": {"X-Real-IP": "127.0.0.1"},
    "a page of another site": {"Sec-Fetch-Site": "cross-site"},
    "a page of a sister site": {"Sec-Fetch-Site": "same-site"},
    "a page whose name was pointed to this machine": {"Host": "attacker.example"},
}


@pytest.mark.parametrize("headers", ELSEWHERE.values(), ids=ELSEWHERE.keys())
@pytest.mark.parametrize("path", ["/sync/push", "/sync/pull"])
async def test_a_sync_request_from_elsewhere_needs_the_token(
    client: Client, node: Node, path: str, headers: dict[str, str]
) -> None:
    without = await client.send("POST", path, headers=headers)
    with_token = await client.send("POST", path, headers=headers | as_admin(node))

    assert without.refusal == (401, "unauthorized")
    assert with_token.status == 200


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Host": "localhost"}, {"Host": "[::1]"}])
async def test_a_sync_request_from_this_machine_needs_no_token(client: Client, headers: dict[str, str]) -> None:
    assert (await client.send("POST", "/sync/push", headers=headers)).status == 200


@pytest.fixture
async def frugal(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a node with very small quotas for one address."""
    settings = Settings(port=0, data=tmp_path / "frugal", records_per_second_max=1.0, refused_per_minute_max=1.0)
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        yield client


async def test_quotas_exempt_loopback_but_not_a_proxy_on_loopback(frugal: Client) -> None:
    through_proxies = [{"X-Forwarded-For": f"10.0.0.{number}"} for number in range(100)]

    here = [(await frugal.put(fresh(f"here-{number}"))).status for number in range(100)]
    proxied = [await frugal.put(fresh(f"proxied-{number}"), via) for number, via in enumerate(through_proxies)]

    assert set(here) == {201}
    assert proxied[-1].status == 429, "whichever addresses the proxy names"
    assert int(proxied[-1].headers["Retry-After"]) >= 1
    assert outcome_of(proxied[-1]) == "rate_limited"


async def test_a_batch_past_the_quota_is_told_when_to_come_back(frugal: Client) -> None:
    records = [fresh(f"label-{number}") for number in range(500)]

    answers = [await frugal.put_batch(records, {"Via": "1.1 proxy"}) for _ in range(3)]

    assert answers[-1].refusal == (429, "rate_limited")
    assert int(answers[-1].headers["Retry-After"]) >= 1


ADDRESSES = [f"203.0.113.{number}" for number in range(100)]


@asynccontextmanager
async def frugal_node(folder: Path, **chosen: Any) -> AsyncIterator[tuple[Node, Client]]:
    """A node that takes one record a second from one address."""
    settings = Settings(port=0, data=folder / "frugal", records_per_second_max=1.0, **chosen)
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        yield node, client


async def write_through(client: Client, lines: Sequence[str]) -> list[int]:
    """The statuses of a claim for each value of `X-Forwarded-For`."""
    claims = [fresh(f"{line}-{number}") for number, line in enumerate(lines)]
    return [
        (await client.put(record, {"X-Forwarded-For": line})).status for record, line in zip(claims, lines, strict=True)
    ]


async def test_behind_a_trusted_proxy_each_caller_has_its_own_quota(tmp_path: Path) -> None:
    async with frugal_node(tmp_path, trusted_proxies=["127.0.0.0/8"]) as (node, client):
        of_many = await write_through(client, ADDRESSES)
        of_one = await write_through(client, [f"{forged}, 192.0.2.1" for forged in ADDRESSES])
        warnings = node.warnings()

    assert set(of_many) == {201}
    assert of_one[-1] == 429, "the addresses to the left are forged"
    assert warnings == []


async def test_a_caller_behind_a_trusted_proxy_is_never_trusted_as_loopback(tmp_path: Path) -> None:
    async with frugal_node(tmp_path, trusted_proxies=["127.0.0.0/8"]) as (_, client):
        proxied = await client.send("POST", "/sync/push", headers={"X-Forwarded-For": "127.0.0.1"})
        direct = await client.send("POST", "/sync/push")

    assert (proxied.refusal, direct.status) == ((401, "unauthorized"), 200)


async def test_without_trust_in_loopback_it_has_no_privilege(tmp_path: Path) -> None:
    async with frugal_node(tmp_path, loopback_trusted=False) as (node, client):
        without = await client.send("POST", "/sync/push")
        with_token = await client.send("POST", "/sync/push", headers=as_admin(node))
        writes = [(await client.put(fresh(f"label-{number}"))).status for number in range(100)]

    assert (without.refusal, with_token.status) == ((401, "unauthorized"), 200)
    assert writes[-1] == 429


PROXIED = {
    "a header": {"X-Forwarded-For": "192.0.2.1"},
    "another header": {"X-Real-IP": "192.0.2.1"},
    "a public host": {"Host": "dnarc.example"},
}


@pytest.mark.parametrize("headers", PROXIED.values(), ids=PROXIED.keys())
async def test_a_proxy_that_is_not_trusted_is_logged_once_and_warned_of(
    client: Client, node: Node, headers: dict[str, str]
) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            await client.get("/domains", headers)

    assert [entry["event"] for entry in logs] == ["requests come through a proxy that is not trusted"]
    assert [warning.partition(",")[0] for warning in node.warnings()] == [
        "requests come through a proxy that is not trusted"
    ]


async def test_http_1_0_on_loopback_is_taken_for_a_proxy(node: Node) -> None:
    """Nginx sends HTTP/1.0, unless it is told otherwise, and adds no header by itself."""
    host, port = node.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /sync/push HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.0 401 ")
    assert len(node.warnings()) == 1


async def test_a_request_straight_from_this_machine_is_no_proxy(client: Client, node: Node) -> None:
    await client.get("/domains")

    assert node.warnings() == []


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
    ],
)
def test_quotas_count_an_ipv6_network_as_one_address(address: str, network: str) -> None:
    assert network_of(ip_address(address)) == network
