"""Processes of a fleet: they answer alike, one of them writes, and another takes its place."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from node.cli.run_node import forget_ended_nodes
from node.disk import CannotStartError
from node.fleet.member import Member
from node.fleet.passport import HEADER, Passport, seal, secret_of
from node.fleet.standing import Role
from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from protocol.records.record import Record
from protocol.signing import SigningKey
from tests.history import ALICE, BOB, DOMAIN, claim, signed
from tests.node.fleet.members import (
    TIMEOUT_S,
    ask_until,
    clients_of,
    end_session_of_writer,
    fleet_of,
    term_changes,
    until_roles,
)
from tests.node.http_api.talking import Client

SchemaUrl = Callable[[str], str]

GARDEN = f"/claims/{DOMAIN}/garden"

LINKS_MAX = Settings().connections_max // 8
"""Links that may be on their way through a follower."""


def now(label: str, by: SigningKey = ALICE, **fields: Any) -> Record:
    return claim(label, by, int(time.time()), **fields)


async def never() -> None:
    await asyncio.Event().wait()


def token(member: Member) -> dict[str, str]:
    return {"Authorization": f"Bearer {member._admin_token}"}


@pytest.fixture
async def url(schema_url: SchemaUrl) -> str:
    return schema_url("one")


@pytest.fixture
async def members(tmp_path: Path, url: str) -> AsyncIterator[list[Member]]:
    async with fleet_of(2, tmp_path, url) as members:
        yield members


@pytest.fixture
async def clients(members: list[Member]) -> AsyncIterator[list[Client]]:
    async with clients_of(members) as clients:
        yield clients


async def test_the_first_process_writes_and_the_second_follows(members: list[Member], clients: list[Client]) -> None:
    health = [(await client.get("/health")).json()["fleet"] for client in clients]

    assert [(each["role"], each["term"], each["writer"]) for each in health] == [
        ("writer", 1, members[0].url),
        ("follower", 1, members[0].url),
    ]
    nodes = [(await client.get("/node")).json() for client in clients]
    assert nodes[0]["node"] == nodes[1]["node"]
    assert nodes[0]["epoch"] == nodes[1]["epoch"]
    assert "writer" not in nodes[0]["fleet"], "where it answers is for operators"


async def test_what_a_follower_takes_can_be_read_there_at_once_and_everywhere_alike(clients: list[Client]) -> None:
    writer, follower = clients
    records = [now(f"label-{number}") for number in range(3)]

    statuses = [(await follower.put(record)).status for record in records]
    labels = [f"/claims/{DOMAIN}/{record.label}" for record in records]
    there = [await follower.get(label) for label in labels]
    here = [await writer.get(label) for label in labels]

    assert statuses == [201] * 3
    assert [(each.status, each.body, each.headers["ETag"]) for each in there] == [
        (each.status, each.body, each.headers["ETag"]) for each in here
    ]
    pages = [await client.get(f"/claims/{DOMAIN}?limit=2") for client in clients]
    assert (pages[0].body, pages[0].headers["Link"]) == (pages[1].body, pages[1].headers["Link"])
    summaries = [(await client.get("/node")).json()["domains"] for client in clients]
    assert summaries[0] == summaries[1]


async def test_a_head_in_the_cache_of_a_follower_changes_with_a_claim_at_the_writer(clients: list[Client]) -> None:
    writer, follower = clients
    first, second = now("garden"), claim("garden", ALICE, int(time.time()) + 1)
    await writer.put(first)
    await ask_until(lambda: follower.get(GARDEN), lambda answer: answer.status == 200)

    await writer.put(second)

    after = signed(second).signature
    await ask_until(lambda: follower.get(GARDEN), lambda answer: after in answer.json())


async def test_a_refusal_of_the_writer_comes_through_as_it_is(clients: list[Client]) -> None:
    await clients[0].put(now("garden", ALICE))
    rival = now("garden", BOB)

    refusals = [await client.put(rival) for client in clients]

    assert [each.status for each in refusals] == [403, 403]
    assert refusals[0].body == refusals[1].body


async def test_an_operator_may_ask_any_process(members: list[Member], clients: list[Client]) -> None:
    peer = b'{"url":"http://127.0.0.1:1","pull":true}'

    put = await clients[1].send("PUT", "/peers", peer, token(members[1]))
    without = await clients[1].send("PUT", "/peers", peer)
    peers = [(await client.get("/peers")).json() for client in clients]
    synced = await clients[1].send("POST", "/sync/pull")

    assert (put.status, without.status) == (200, 401)
    assert [peer["url"] for peer in peers[1]] == [peer["url"] for peer in peers[0]] == ["http://127.0.0.1:1"]
    assert list(synced.json()) == ["http://127.0.0.1:1"]


async def test_an_erased_record_leaves_the_memory_of_a_follower(members: list[Member], clients: list[Client]) -> None:
    record = now("garden")
    await clients[1].put(record)
    shown = await clients[1].get(GARDEN)

    erased = await clients[1].send("DELETE", f"/records/{record.id}", None, token(members[1]))
    gone = [await clients[1].get(path) for path in (GARDEN, f"/records/{record.id}")]

    assert (shown.status, erased.status) == (200, 200)
    assert [each.status for each in gone] == [410, 410]


async def test_a_dropped_domain_leaves_a_follower_and_may_come_back(
    members: list[Member], clients: list[Client]
) -> None:
    await clients[1].put(now("garden"))

    drop = await clients[1].send(
        "POST", "/removals", b'{"kind":"drop","domain":"%s"}' % DOMAIN.encode(), token(members[1])
    )
    domains = (await clients[1].get("/domains")).json()
    page = await clients[1].get(GARDEN)

    assert drop.status in (200, 202)
    assert (domains, page.refusal) == ([], (404, "unknown_domain"))


async def test_a_stream_at_a_follower_shows_every_event_of_the_writer_once(
    members: list[Member], clients: list[Client]
) -> None:
    async with aiohttp.ClientSession(members[1].url) as session, session.ws_connect("/stream?since=0") as stream:
        for number in range(20):
            await clients[number % 2].put(now(f"label-{number}"))
        events = [await stream.receive_json(timeout=TIMEOUT_S) for _ in range(20)]

    assert [event["label"] for event in map(_record_of, events)] == [f"label-{number}" for number in range(20)]


def _record_of(event: dict[str, Any]) -> Any:
    (record,) = event["claim"].values() if "claim" in event else (event["record"],)
    return record


@pytest.mark.parametrize("header", ["", "1 - 00", "forged"])
async def test_a_caller_cannot_forge_a_passport(members: list[Member], clients: list[Client], header: str) -> None:
    """A forged one is worse than none: a caller on this machine is one that a proxy has brought."""
    forged = header
    if header == "forged":
        forged = seal(secret_of(BOB), "GET", "/peers", Passport(None), time.time())

    answers = [await client.get("/peers", {HEADER: forged}) for client in clients]

    assert answers[0].refusal == (401, "unauthorized")
    assert answers[1].refusal == (401, "unauthorized")


async def test_a_follower_passes_on_who_calls_and_not_what_the_caller_says_of_it(
    members: list[Member], clients: list[Client]
) -> None:
    """The quota of the caller counts at the writer. A proxy that is not trusted changes nothing."""
    through_proxy = await clients[1].get("/peers", {"X-Forwarded-For": "192.0.2.7"})
    directly = await clients[1].get("/peers")

    assert (through_proxy.refusal, directly.status) == ((401, "unauthorized"), 200)


async def test_a_page_of_a_foreign_site_cannot_write_by_way_of_a_follower(clients: list[Client]) -> None:
    answer = await clients[1].put(now("garden"), {"Origin": "https://evil.example"})

    assert answer.refusal == (403, "unauthorized")


async def test_a_peer_links_by_way_of_a_follower(tmp_path: Path, members: list[Member], clients: list[Client]) -> None:
    """Records go both ways, and the writer sees the peer's key and not a process of its own."""
    ours, theirs = now("ours"), now("theirs")
    await clients[0].put(ours)
    async with Node(Settings(port=0, data=tmp_path / "peer")) as peer, Client(peer.url) as at_peer:
        await at_peer.put(theirs)
        accepted = b'{"key":"%s","accept":true}' % peer.key.public.encode()
        await clients[0].send("PUT", "/peers", accepted, token(members[0]))
        url = members[1].url.replace("http", "ws")
        await peer.peers.put(Peer(url=url, push=True, pull=True))

        path = f"/records/{theirs.id}"
        await ask_until(lambda: clients[0].get(path), lambda answer: answer.status == 200)
        await ask_until(lambda: at_peer.get(f"/records/{ours.id}"), lambda answer: answer.status == 200)
        shown = (await clients[1].get("/peers")).json()

    assert [(each["key"], each["state"]) for each in shown] == [(peer.key.public, "live")]


async def test_a_follower_refuses_what_is_no_link_as_the_writer_does(clients: list[Client]) -> None:
    refusals = [(await client.get("/gossip")).refusal for client in clients]

    assert refusals == [(400, "malformed")] * 2


async def test_a_link_takes_its_place_before_the_writer_is_dialled(members: list[Member]) -> None:
    """Otherwise openings that get no place would all be connections to the writer, which sees one address."""
    follower = members[1]._node
    assert isinstance(follower, Node)
    assert follower._relay is not None
    errands = follower._relay.errands
    links = [asyncio.create_task(errands.carry(never(), None)) for _ in range(LINKS_MAX)]
    await asyncio.sleep(0)

    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{members[1].url.replace('http', 'ws')}/gossip", proxy=None)
    for link in links:
        link.cancel()

    assert (refused.value.response.status_code, len(errands)) == (503, LINKS_MAX)
    assert errands.results == {"overloaded": 1}


async def test_a_follower_knows_the_witnessed_domains_of_the_writer(clients: list[Client]) -> None:
    record = now("garden", domain="w" + "a" * 52)
    await clients[0].put(record)

    path = f"/claims/{record.domain}/garden/history"
    histories = [await ask_until(lambda: client.get(path), lambda it: it.status == 200) for client in clients]  # noqa: B023

    assert histories[0].body == histories[1].body
    assert [each["id"] for each in histories[0].json()["records"]] == [record.id]


async def test_a_process_that_loses_its_session_follows_and_the_other_writes(
    members: list[Member], clients: list[Client], url: str
) -> None:
    for number in range(3):
        await clients[0].put(now(f"before-{number}"))

    await end_session_of_writer(url)
    await until_roles(members, Role.FOLLOWER, Role.WRITER)
    taken = [await _put_until_taken(client, f"after-{at}") for at, client in enumerate(clients)]

    assert taken == [201, 201]
    health = [(await client.get("/health")).json()["fleet"] for client in clients]
    assert [(each["role"], each["term"]) for each in health] == [("follower", 2), ("writer", 2)]
    heads = [(await client.get(f"/claims/{DOMAIN}?limit=100")).body for client in clients]
    assert heads[0] == heads[1]
    assert await term_changes(url) == [1, 2]


async def test_the_node_of_a_role_that_is_over_leaves_the_memory(members: list[Member], url: str) -> None:
    """A process that runs freezes what it has at the start, and the garbage collector does not look at it then."""
    for member in members:
        member.watchers.append(forget_ended_nodes)
    nodes = [weakref.ref(member._node) for member in members]
    gc.freeze()

    await end_session_of_writer(url)
    await until_roles(members, Role.FOLLOWER, Role.WRITER)

    assert [node() for node in nodes] == [None, None]


async def test_a_writer_whose_session_is_another_one_says_its_new_term(tmp_path: Path, url: str) -> None:
    """Nobody took over, so it goes on, in another term."""
    async with fleet_of(1, tmp_path, url) as members, clients_of(members) as (client,):
        await client.put(now("before"))
        await end_session_of_writer(url)

        taken = (await client.put(now("after"))).status
        fleet = (await client.get("/health")).json()["fleet"]

    assert (taken, fleet["role"], fleet["term"]) == (201, "writer", 2)


async def _put_until_taken(client: Client, label: str) -> int:
    """Write as a client does that is asked to come back. Returns the last status."""
    record = now(label)
    return (await ask_until(lambda: client.put(record), lambda answer: answer.status != 503)).status


async def test_without_a_writer_reads_go_on_and_writes_are_asked_to_come_back(
    members: list[Member], clients: list[Client], url: str
) -> None:
    record = now("garden")
    await clients[0].put(record)
    following = members[1]
    assert following._changing is not None
    following._changing.cancel()  # it would take over

    await members[0].__aexit__(None, None, None)
    answer = await ask_until(lambda: clients[1].put(now("pond")), lambda answer: answer.status == 503)
    shown = await ask_until(lambda: clients[1].get(GARDEN), lambda answer: answer.status == 200)

    assert (answer.refusal, answer.headers["Retry-After"]) == ((503, "overloaded"), "1")
    assert signed(record).signature in shown.json()


@pytest.fixture
async def shell(url: str) -> AsyncIterator[asyncpg.Connection]:
    """What a person has who runs `psql`."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


_LOSE_LAST: Final = (
    "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
    "DELETE FROM records WHERE no = (SELECT max(no) FROM records)",
    "DELETE FROM labels WHERE no = (SELECT max(no) FROM labels)",
    "DELETE FROM commits WHERE no = (SELECT max(no) FROM commits)",
)
"""A server that failed over to a replica lacks its last commit."""


@pytest.mark.parametrize("more", ["UPDATE meta SET value = 'another' WHERE name = 'epoch'", "SELECT 1"])
async def test_a_process_that_follows_forgets_what_the_database_has_lost(
    clients: list[Client], shell: asyncpg.Connection, more: str
) -> None:
    """Also before the next writer gives the database another epoch."""
    kept, lost = now("kept"), now("lost")
    for record in (kept, lost):
        await clients[1].put(record)
    paths = [f"/claims/{DOMAIN}/{record.label}" for record in (kept, lost)]
    before = [(await clients[1].get(path)).status for path in paths]

    async with shell.transaction():
        for statement in (*_LOSE_LAST, more):
            await shell.execute(statement)
    await ask_until(lambda: clients[1].get(paths[1]), lambda answer: answer.status == 404)

    domain = (await clients[1].get("/node")).json()["domains"][DOMAIN]
    assert (before, domain["count"]) == ([200, 200], 1)
    assert signed(kept).signature in (await clients[1].get(paths[0])).json()
    epoch = await shell.fetchval("SELECT value FROM meta WHERE name = 'epoch'")
    assert (await clients[1].get("/node")).json()["epoch"] == epoch


async def test_a_process_ends_when_its_database_was_replaced_by_that_of_another_fleet(
    members: list[Member], shell: asyncpg.Connection
) -> None:
    """Peers would see two nodes with one store."""
    async with shell.transaction():
        await shell.execute("UPDATE meta SET value = 'another' WHERE name IN ('epoch', 'node.key.sha256')")

    with pytest.raises(CannotStartError, match=r"node.key is not that of the fleet that uses this database"):
        await asyncio.wait_for(members[1].failed, TIMEOUT_S)
