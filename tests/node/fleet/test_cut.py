"""A network that is cut between a process and the database: nothing arrives, and nobody is told."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node.fleet.member import Member
from node.fleet.standing import Role
from node.node import Node
from node.settings.settings import Settings
from node.store.postgresql import Silence
from protocol.records.record import Record
from simulations.processes.postgres import PostgresServer
from tests.history import ALICE, DOMAIN, claim, signed
from tests.node.fleet.members import ask_until, clients_of, term_changes, until_roles
from tests.node.http_api.talking import Client
from tests.node.store.postgresql.relay import Network, relayed

SchemaUrl = Callable[[str], str]

SILENCE = Silence(session_s=2.0, answer_s=1.0)
"""A third of the default."""


def now(label: str) -> Record:
    return claim(label, ALICE, int(time.time()))


async def put_until_taken(client: Client, record: Record) -> int:
    """Write as a client does that comes back after a refusal. Returns the last status."""
    return (await ask_until(lambda: client.put(record), lambda answer: answer.status != 503)).status


@pytest.fixture
async def url(schema_url: SchemaUrl) -> str:
    return schema_url("one")


@pytest.fixture
def network() -> Network:
    """Between the database and one of the processes."""
    return Network()


@pytest.fixture(params=[Role.WRITER])
async def members(
    request: pytest.FixtureRequest, tmp_path: Path, server: PostgresServer, url: str, network: Network
) -> AsyncIterator[list[Member]]:
    """A process that writes and one that follows. The one of the parameter's role reaches the database by `network`."""
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(relayed(server.folder, network=network))
        stack.callback(network.mend)
        members = []
        for role in (Role.WRITER, Role.FOLLOWER):
            store = url.replace(str(server.folder), str(folder)) if role is request.param else url
            settings = Settings(port=0, data=tmp_path / role, store=store)
            members.append(await stack.enter_async_context(Member(settings, Node, silence=SILENCE)))
        yield members


@pytest.fixture
async def clients(members: list[Member]) -> AsyncIterator[list[Client]]:
    async with clients_of(members) as clients:
        yield clients


async def test_a_writer_that_is_cut_off_takes_nothing_and_follows_when_the_network_is_back(
    members: list[Member], clients: list[Client], url: str, network: Network
) -> None:
    (writer, follower), late, read = clients, now("late"), now("read")
    taken = [await put_until_taken(writer, read)]

    network.cut()
    refused = await asyncio.gather(writer.put(late), writer.get(f"/records/{read.id}"))
    refused_at_once = [await writer.put(late), await writer.get("/health")]
    await until_roles(members, Role.WRITER, Role.WRITER)  # the first one cannot know that it is replaced
    taken.append(await put_until_taken(follower, now("meanwhile")))
    network.mend()
    await until_roles(members, Role.FOLLOWER, Role.WRITER)
    taken += [await put_until_taken(writer, late), await put_until_taken(follower, now("after"))]

    assert [(each.status, each.headers["Retry-After"]) for each in refused] == [(503, "2")] * 2
    assert [each.status for each in refused_at_once] == [503, 503]
    assert taken == [201] * 4
    pages = [await client.get(f"/claims/{DOMAIN}?limit=10") for client in clients]
    labels = ["after", "late", "meanwhile", "read"]
    assert [sorted(claim["label"] for claim in page.json().values()) for page in pages] == [labels] * 2
    assert await term_changes(url) == [1, 2]


@pytest.mark.parametrize("members", [Role.FOLLOWER], indirect=True)
async def test_a_follower_that_is_cut_off_says_so_and_catches_up_when_the_network_is_back(
    clients: list[Client], network: Network
) -> None:
    (writer, follower), read, missed = clients, now("read"), now("missed")
    await put_until_taken(follower, read)

    network.cut()
    waiting = asyncio.gather(follower.get(f"/records/{read.id}"), follower.get(f"/claims/{DOMAIN}?limit=10"))
    refused = [*await waiting, await follower.put(now("late"))]
    taken = (await writer.put(missed)).status
    network.mend()
    path = f"/claims/{DOMAIN}/{missed.label}"
    shown = await ask_until(lambda: follower.get(path), lambda answer: answer.status == 200)

    assert [(each.status, each.headers["Retry-After"]) for each in refused] == [(503, "2"), (503, "2"), (503, "1")]
    assert taken == 201
    assert signed(missed).signature in shown.json()
    assert (await put_until_taken(follower, now("after"))) == 201
