"""The commands that work on a store, where the settings name a PostgreSQL database."""

import asyncio
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from node.cli.output.failures import Exit
from node.store.postgresql import PostgresStore
from protocol.records.record import SignedRecord
from simulations.processes.postgres import programs
from tests.node.cli.conftest import Result, Served, run
from tests.node.cli.entry_files import ALICE, signed, written
from tests.node.store.postgresql.comparing import everything, random_batches
from tests.node.store.store_batches import batch_of, claim

SchemaUrl = Callable[[str], str]

NOBODY = ("--node", "http://127.0.0.1:9")
PEER = "https://peer.example"


@pytest.fixture
def url(schema_url: SchemaUrl, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DNARC_STORE", schema_url("one"))
    return schema_url("one")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a node that was stopped."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "admin-token").write_text("ab" * 32)
    (folder / "admin-token").chmod(0o600)
    return folder


@pytest.fixture
def served(tmp_path: Path, url: str) -> Iterator[Served]:
    """A node on the database, with three records that came by `dnarc import`."""
    node = Served(tmp_path)
    file = written(tmp_path, *(signed(f"plot-{n}") for n in range(3)))
    imported = node.run("import", str(file), "--data", str(node.data), "--json")
    assert imported.json["accepted"] == 3
    yield node
    node.stop()


def test_commands_beside_a_node_and_without_one(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node for all of them, because its start costs more than all commands."""
    data = ("--data", str(served.data))

    examined = states(served.run("doctor", *data, "--json"))
    exported = served.run("export", str(tmp_path / "out.jsonl"), "--json").json
    added = served.run("peers", "add", PEER, "--pull", *data)
    in_use = run("peers", "add", f"{PEER}/2", *data, *NOBODY)
    dumped = run("backup", str(tmp_path / "copy"), *data)
    with monkeypatch.context() as unset:
        unset.delenv("DNARC_STORE")
        asked = served.run("erase", "--list", *data)
        served.stop()
        lost = run("erase", "--list", *data, *NOBODY)
    removed = run("peers", "remove", PEER, *data, *NOBODY)
    listed = run("peers", "list", *data, *NOBODY, "--json").json
    erased = run("erase", "--key", ALICE.public, "--reason", "spam", "--yes", *data, *NOBODY, "--json").json
    alone = states(run("doctor", *data, *NOBODY, "--json"))

    assert {check: examined[check] for check in OF_DATABASE} == dict.fromkeys(OF_DATABASE, "ok")
    assert exported["records"] == 3
    assert added.code == 0, added.err
    assert (in_use.code, "another node writes to this database" in in_use.err) == (Exit.MACHINE, True)
    assert asked.code == 0, "a node that answers knows where its records are"
    assert (lost.code, "name the database: DNARC_STORE=URL" in lost.err) == (Exit.USAGE, True)
    assert (removed.code, listed) == (0, [])
    assert (erased["records"], erased["done"]) == (3, True)
    assert {check: alone[check] for check in OF_DATABASE} == dict.fromkeys(OF_DATABASE, "ok")
    check_dump(dumped.err, tmp_path)


def test_records_are_taken_down_without_a_node(data: Path, url: str) -> None:
    """What an operator types whose fleet is stopped. No row has the bytes then, and the rest is as a rebuild has it."""
    records = [claim(label, domain=domain, text="sesame") for domain, label in LABELS]
    asyncio.run(fill(url, records))

    def type_in(*words: str) -> Result:
        return run(*words, "--data", str(data), *NOBODY)

    counted = type_in("erase", "--label", *LABELS[0], "--dry-run", "--json").json
    erased = type_in("erase", "--label", *LABELS[0], "--reason", "court order", "--by", "ann", "--yes", "--json").json
    would_drop = type_in("drop", "other", "--dry-run")
    dropped = type_in("drop", "other", "--yes", "--json").json
    listed = type_in("drop", "--list", "--json").json
    texts, domains = asyncio.run(held_text(url, "sesame")), asyncio.run(held_domains(url))
    undone, again = (type_in("drop", "other", "--undo") for _ in range(2))
    proved = run("rebuild", "--check", "--data", str(data))
    asyncio.run(fill(url, records[2:]))

    assert (counted["records"], erased["records"], erased["done"], erased["by"]) == (1, 1, True, "ann")
    assert would_drop.out.startswith("would drop 2 records (2 of them heads), ")
    assert (dropped["records"], dropped["done"]) == (2, True)
    assert listed == {"removals": [dropped, erased], "dropped": ["other"]}
    assert (texts, domains) == (1, {"test": 2})
    assert (undone.code, again.code, "other is not dropped" in again.err) == (0, Exit.REFUSED, True)
    assert (proved.code, proved.out.startswith("equal: 2 records")) == (0, True)
    assert asyncio.run(held_domains(url)) == {"test": 2, "other": 2}
    assert f"this command works on {url} itself" in would_drop.err


def test_nothing_is_taken_down_beside_a_process_that_writes(data: Path, url: str) -> None:
    async def drop() -> Result:
        store = await PostgresStore.open(url)
        try:
            return await asyncio.to_thread(run, "drop", "test", "--yes", "--data", str(data), *NOBODY)
        finally:
            await store.close()

    refused = asyncio.run(drop())

    assert (refused.code, "another node writes to this database" in refused.err) == (Exit.MACHINE, True)


LABELS = [("test", "garden"), ("test", "pond"), ("other", "garden"), ("other", "pond")]


async def fill(url: str, records: list[SignedRecord]) -> None:
    store = await PostgresStore.open(url)
    for record in records:
        await store.commit(batch_of([record]))
    await store.close()


async def held_text(url: str, text: str) -> int:
    """How many rows have this text in a body."""
    shell = await asyncpg.connect(url)
    count = await shell.fetchval("SELECT count(*) FROM records WHERE position($1 IN body) > 0", text.encode())
    await shell.close()
    return int(count)


async def held_domains(url: str) -> dict[str, int]:
    """How many records each domain has, counted in the rows."""
    shell = await asyncpg.connect(url)
    rows = await shell.fetch(
        "SELECT domain, count(*) FROM records JOIN labels ON labels.no = records.label GROUP BY domain"
    )
    await shell.close()
    return dict(map(tuple, rows))


OF_DATABASE = ("database.version", "database.integrity", "database.durability", "cursors")


def states(result: Any) -> dict[str, str]:
    return {finding["check"]: finding["state"] for finding in json.loads(result.out)["findings"]}


def check_dump(said: str, folder: Path) -> None:
    """Carry out the command that `dnarc backup` says, with the program of the server."""
    assert said.startswith("dnarc: usage: the records are in PostgreSQL")
    command = shlex.split(said.split("`")[1])
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("pg_dump is not here")
    command[0] = str(bin_folder / command[0])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [bin_folder / "pg_restore", "--list", folder / "copy"], capture_output=True, text=True, check=True
    )
    assert " TABLE DATA " in listed.stdout
    assert " records " in listed.stdout


async def test_a_rebuild_repairs_what_differs_from_the_records(tmp_path: Path, url: str) -> None:
    """In a thread, because a command has an event loop of its own."""
    data = tmp_path / "data"
    data.mkdir()
    before = await filled(url)
    connection = await asyncpg.connect(url)
    for damage in DAMAGE:
        await connection.execute(damage)
    await connection.close()

    checked = await asyncio.to_thread(run, "rebuild", "--check", "--data", str(data))
    repaired = await asyncio.to_thread(run, "rebuild", "--data", str(data), "--json")
    again = await asyncio.to_thread(run, "rebuild", "--check", "--data", str(data))

    assert (checked.code, "derived values differ" in checked.err) == (Exit.REFUSED, True)
    assert (repaired.json["equal"], repaired.json["repaired"]) == (False, True)
    assert {"verdict", "head", "owner", "usage"} <= set(repaired.json["counts"])
    assert (again.code, again.out.startswith("equal: ")) == (0, True)
    assert await answers(url) == before
    assert [each.name for each in data.iterdir()] == ["lock"]


DAMAGE = (
    "UPDATE records SET verdict = 6 WHERE no = 2",
    "UPDATE labels SET head = NULL, owner = NULL",
    "DELETE FROM usage",
)


async def filled(url: str) -> dict[str, object]:
    """What a store answers, once it is filled."""
    store = await PostgresStore.open(url)
    for batch in random_batches(Random(7)):
        await store.commit(batch)
    await store.close()
    return await answers(url)


async def answers(url: str) -> dict[str, object]:
    store = await PostgresStore.open(url)
    try:
        return await everything(store) | {"usage": await store.domain_usage()}
    finally:
        await store.close()


async def test_a_database_is_not_rebuilt_beside_a_node(tmp_path: Path, url: str) -> None:
    store = await PostgresStore.open(url)
    try:
        refused = await asyncio.to_thread(run, "rebuild", "--data", str(tmp_path))
    finally:
        await store.close()

    assert (refused.code, "another node writes to this database" in refused.err) == (Exit.MACHINE, True)
