"""A node whose records are in PostgreSQL, as its users have it: a process, HTTP, and a server that fails."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import pytest

from node.client.answers import Answer
from node.client.http import NodeClient
from node.store.postgresql import PostgresStore
from protocol.records.record import SignedRecord
from protocol.records.replay import replay
from simulations.processes.postgres import PostgresServer
from simulations.processes.process import running
from tests.history import ALICE, DOMAIN, claim, signed
from tests.test_power_cut import LABELS, holds, records_now, serving, write_until_killed

DNARC: Final = Path(sys.executable).with_name("dnarc")

SchemaUrl = Callable[[str], str]

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
    await check_state_is_replay(schema_url("one"))


async def check_state_is_replay(url: str) -> None:
    store = await PostgresStore.open(url)
    try:
        for n in range(LABELS):
            history = await store.history(DOMAIN, f"label-{n}")
            judged = replay(past.record for past in history)
            states = await store.states([(DOMAIN, f"label-{n}")])
            assert states == ({(DOMAIN, f"label-{n}"): judged.state} if history else {})
            assert {past.record.id: past.verdict for past in history} == judged.verdicts
    finally:
        await store.close()


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
