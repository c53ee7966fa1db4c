"""`dnarc move`: what a person sees, and what it refuses. `tests/node/test_move.py` has what moves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.backup import SECRETS
from node.cli.commands.move import STREAMS
from node.cli.output.failures import Exit
from node.disk import LocalDisk
from node.witness.newest import FOLDER
from tests.history import ALICE, claim
from tests.node.cli.conftest import run
from tests.node.intake.pipeline import PEER, pipeline

SchemaUrl = Callable[[str], str]


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A folder with three labels."""
    (tmp_path / "data").mkdir()
    async with pipeline(tmp_path / "data") as pipe:
        await pipe.take(*(claim(f"plot-{n}", ALICE, n + 1) for n in range(3)), origin=PEER)
    return tmp_path / "data"


def test_a_store_moves_to_a_database_and_back_and_the_rows_are_counted(
    data: Path, tmp_path: Path, schema_url: SchemaUrl
) -> None:
    url = schema_url("one")

    there = run("move", "--data", str(data), "--to", url, "--json").json
    back = run("move", "--from", url, "--data", str(tmp_path / "back"))

    assert (there["counts"]["records"], there["counts"]["events"], there["streams"]) == (3, 3, STREAMS)
    assert back.code == 0, back.err
    assert back.out.splitlines()[-3:] == [
        f"both stores have the same ids and verdicts: sha256 {there['digest']}",
        STREAMS,
        f"start the node: dnarc serve --data {tmp_path / 'back'}",
    ]
    assert run("rebuild", "--data", str(tmp_path / "back"), "--check").out.startswith("equal: 3 records")


def test_the_key_and_the_admin_token_move_too(data: Path, tmp_path: Path, schema_url: SchemaUrl) -> None:
    back = tmp_path / "back"
    run("move", "--data", str(data), "--to", schema_url("one"))

    moved = run("move", "--from", schema_url("one"), "--data", str(back))

    assert moved.code == 0, moved.err
    assert [(back / name).read_text() for name in SECRETS] == [(data / name).read_text() for name in SECRETS]
    assert [f"{(back / name).stat().st_mode & 0o777:o}" for name in SECRETS] == ["600", "600"]


def test_a_folder_with_another_key_gets_no_store(data: Path, tmp_path: Path, schema_url: SchemaUrl) -> None:
    back = tmp_path / "back"
    back.mkdir()
    (back / "node.key").write_text("ab" * 32)
    run("move", "--data", str(data), "--to", schema_url("one"))

    refused = run("move", "--from", schema_url("one"), "--data", str(back))

    assert refused.code == Exit.MACHINE
    assert f"{back / 'node.key'} differs from that of the database" in refused.err
    assert not (back / "dnarc.db").exists()


def test_a_folder_that_a_node_uses_does_not_move(data: Path) -> None:
    with LocalDisk().held(data):
        refused = run("move", "--data", str(data), "--to", "postgresql://127.0.0.1:9/none")

    assert (refused.code, refused.err.startswith("dnarc: in_use: another node runs on")) == (Exit.MACHINE, True)


@pytest.mark.parametrize("hosts", ["127.0.0.1:9", "127.0.0.1:9,127.0.0.2:9"])
def test_servers_that_are_not_there_are_named_without_the_password(data: Path, hosts: str) -> None:
    refused = run("move", "--data", str(data), "--to", f"postgresql://me:secret@{hosts}/claims")

    assert refused.code == Exit.MACHINE
    assert refused.err.startswith(f"dnarc: storage: PostgreSQL at {hosts}/claims: ")
    assert "secret" not in refused.err


def test_a_witness_stays_in_its_folder(data: Path) -> None:
    (data / FOLDER).mkdir()
    (data / FOLDER / "wdomain.json").write_text(json.dumps({}))

    refused = run("move", "--data", str(data), "--to", "postgresql://127.0.0.1:9/none")

    assert refused.code == Exit.USAGE
    assert f"the node of {data} is a witness of wdomain, and a witness keeps its records in its folder" in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name either a database to move --to, or one to move --from"),
        (("--to", "postgresql:///a", "--from", "postgresql:///b"), "name either a database to move --to"),
        (("--to", "mysql://host/a"), "mysql://host/a is no URL such as postgresql://user@host/database"),
        (("--to", "postgresql:///a"), "has no store that could move"),
    ],
)
def test_wrong_usage_is_explained(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    refused = run("move", "--data", str(tmp_path), *arguments)

    assert refused.code == Exit.USAGE
    assert words in refused.err
