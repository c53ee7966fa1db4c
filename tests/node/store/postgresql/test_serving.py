"""A node whose records are in PostgreSQL, as its users have it: a process, HTTP, and a server that fails."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from node.store.postgresql import PostgresStore
from protocol.records.replay import replay
from simulations.processes.postgres import PostgresServer
from simulations.processes.process import running, stop
from tests.history import ALICE, DOMAIN, claim, signed
from tests.test_power_cut import LABELS, holds, records_now, serving, write_until_killed

DNARC: Final = Path(sys.executable).with_name("dnarc")

SchemaUrl = Callable[[str], str]


async def test_kill_9_in_the_middle_of_many_claims_loses_nothing_acknowledged(
    tmp_path: Path, schema_url: SchemaUrl
) -> None:
    records, flags = records_now(), ("--store", schema_url("one"))

    async with serving(tmp_path, *flags) as (process, url):
        acknowledged = await write_until_killed(process, url, records)
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


def test_a_second_node_on_the_same_database_ends_and_says_who_writes(tmp_path: Path, schema_url: SchemaUrl) -> None:
    flags = ("--store", schema_url("one"))
    with running("first", tmp_path / "first", *flags) as first:
        second = subprocess.run(
            [DNARC, "serve", "--port", "0", "--data", tmp_path / "second", *flags],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert second.returncode == 4
        assert "dnarc: storage: another node writes to this database: " in second.stderr
        assert f"process {first.process.pid} (stop that node first)" in second.stderr


def test_a_node_ends_when_its_server_does_and_has_everything_when_both_are_back(
    tmp_path: Path, server: PostgresServer
) -> None:
    """It ends as it does when a disk fails: the claim that was not stored is not acknowledged."""
    flags = ("--store", server.url())
    with running("node", tmp_path / "node", *flags) as node:
        entry = signed(claim("one", ALICE, int(time.time())))
        with node.client() as client:
            taken = client.ask("PUT", f"/claims/{entry.signature}", body=entry.record.canonical)
        server.stop()
        assert node.process.wait(60) == 4
        stop(node.process)
        server.start()
        node.start()

        with node.client() as client:
            found = client.get(f"/records/{entry.record.id}")
        assert (taken.status, list(found)) == (201, [entry.signature])


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
