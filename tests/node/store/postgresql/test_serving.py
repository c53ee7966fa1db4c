"""A node whose records are in PostgreSQL, as its users have it: a process, HTTP, and a server that fails."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import msgspec
import pytest

from node.client.answers import Answer
from node.client.http import NodeClient
from node.store.postgresql import PostgresStore
from protocol.records.record import SignedRecord
from simulations.processes.postgres import PostgresServer
from simulations.processes.process import running
from tests.history import ALICE, DOMAIN, claim, signed
from tests.test_power_cut import check_state_is_replay, holds, records_now, serving, write_until_killed

DNARC: Final = Path(sys.executable).with_name("dnarc")

SchemaUrl = Callable[[str], str]

TIMEOUT_S: Final = 120.0

WRITERS: Final = 8
ACKNOWLEDGED: Final = 100
"""Claims before the server crashes, and as many after that."""

KILL_AFTER: Final = 500
"""Claims that are acknowledged before the node is killed."""


async def test_kill_9_in_the_middle_of_many_claims_loses_nothing_acknowledged(
    tmp_path: Path, schema_url: SchemaUrl
) -> None:
    records, flags = records_now(), ("--store", schema_url("one"))

    async with serving(tmp_path, *flags) as (process, url):
        acknowledged = await write_until_killed(process, url, records, KILL_AFTER)
    async with serving(tmp_path, *flags) as (_, url), aiohttp.ClientSession(url) as session:
        missing = [it for it in sorted(acknowledged) if not await holds(session, it)]

    assert acknowledged
    assert missing == []
    await check_state_is_replay(await PostgresStore.open(schema_url("one")))


def test_a_node_says_that_its_server_is_away_and_goes_on_when_it_is_back(
    tmp_path: Path, server: PostgresServer, schema_url: SchemaUrl
) -> None:
    """Nothing that was acknowledged is lost, and nothing is acknowledged meanwhile."""
    before, after = (signed(claim(label, ALICE, int(time.time()))) for label in ("before", "after"))
    with running("node", tmp_path / "node", "--store", schema_url("one")) as node, node.client() as client:
        taken = put(client, before)
        server.stop()

        head, record = f"/claims/{DOMAIN}/before", f"/records/{before.record.id}"
        answers = [client.ask("GET", head), client.ask("GET", record), put(client, after), client.ask("GET", "/health")]
        server.start()
        while client.ask("GET", "/health").status != 200:
            pass

        assert [each.status for each in (taken, *answers)] == [201, 503, 503, 503, 503]
        *refused, health = (msgspec.json.decode(each.body) for each in answers)
        assert [each["code"] for each in refused] == ["overloaded"] * 3
        assert health["problems"] == ["the database is away: requests that need it get 503 until it is back"]
        assert health["warnings"][0].startswith("the database: PostgreSQL at the local server/postgres: ")
        assert list(client.get(f"/records/{before.record.id}")) == [before.signature]
        assert put(client, after).status in (200, 201)
        assert node.process.poll() is None


def put(client: NodeClient, entry: SignedRecord) -> Answer:
    return client.ask("PUT", f"/claims/{entry.signature}", body=entry.record.canonical)


async def test_a_server_that_crashes_under_load_loses_nothing_acknowledged(
    tmp_path: Path, server: PostgresServer, schema_url: SchemaUrl
) -> None:
    """Commits are under way when it crashes. Each is stored once or not at all, and the node goes on by itself."""
    url = schema_url("one")
    async with serving(tmp_path, "--store", url) as (process, node_url), aiohttp.ClientSession(node_url) as session:
        load = Load(session)
        async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(load.write())
            await load.until(ACKNOWLEDGED)
            server.stop(signal.SIGQUIT)
            await asyncio.to_thread(server.start)
            await load.until(2 * ACKNOWLEDGED)
            load.is_over = True
        missing = [it for it in load.acknowledged if not await holds(session, it)]
        is_running = process.returncode is None

    shell = await asyncpg.connect(url)
    records, events = [
        tuple(await shell.fetchrow(f"SELECT count(*), max({number}) FROM {table}") or ())
        for table, number in (("records", "no"), ("events", "seq"))
    ]
    terms = [row[0] for row in await shell.fetch("SELECT term FROM commits ORDER BY no")]
    await shell.close()
    assert (missing, is_running) == ([], True)
    assert records[0] == records[1] == events[0] == events[1] >= len(load.acknowledged)
    assert (terms, max(terms)) == (sorted(terms), 2)


class Load:
    """Claims, one after another. `acknowledged` has the ids of those that the node took."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.acknowledged: list[str] = []
        self.is_over = False
        self._session = session
        self._numbers = count()
        self._grown = asyncio.Event()

    async def write(self) -> None:
        while not self.is_over:
            entry = signed(claim(f"label-{next(self._numbers)}", ALICE, int(time.time())))
            async with self._session.put(f"/claims/{entry.signature}", data=entry.record.canonical) as answer:
                if answer.status == 201:
                    self.acknowledged.append(entry.record.id)
                    self._grown.set()
                else:
                    assert answer.status == 503

    async def until(self, count: int) -> None:
        while len(self.acknowledged) < count:
            await self._grown.wait()
            self._grown.clear()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("backup", "copy"), "`pg_dump --format=custom --file=copy postgresql://me@host/claims`"),
        (("plugin", "test", "--data", ".", "--config", "CONFIG"), "`dnarc plugin test FILE` plays them"),
    ],
)
def test_a_command_that_works_on_the_file_says_what_to_do_instead(
    tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    (tmp_path / "CONFIG").write_text("write_plugin = ['true']\n")
    environment = {**os.environ, "DNARC_STORE": "postgresql://me:secret@host/claims"}

    result = subprocess.run(
        [DNARC, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert result.returncode == 2
    assert words in result.stderr
    assert "secret" not in result.stderr
