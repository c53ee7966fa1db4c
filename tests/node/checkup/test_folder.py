"""What is said of a data folder."""

import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from node.checkup.finding import Finding, State
from node.checkup.folder import check_folder, is_held
from node.disk import LocalDisk
from node.node import Node
from node.settings import Settings
from node.store.contract import Cursor, Peer

NOW = 1_000_000.0
NUMBERS = {"max_skew": 300.0, "disk_free_bytes_min": 0.0}


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A folder that a node ran on, with a peer that has a password."""
    folder = tmp_path / "data"
    async with Node(Settings(port=0, data=folder, sync_interval=None)) as node:
        await node.peers.put(Peer(url="http://user:secret@peer.example", push=True))
        await node.store.put_cursors([Cursor("http://user:secret@peer.example", "example", "push", int(NOW))])
    folder.chmod(0o700)
    return folder


def found(data: Path, **numbers: float) -> list[Finding]:
    return check_folder(data, NUMBERS | numbers, NOW)


def unwell(data: Path, **numbers: float) -> dict[str, State]:
    return {finding.check: finding.state for finding in found(data, **numbers) if finding.state is not State.OK}


def shell(data: Path, sql: str) -> None:
    with closing(sqlite3.connect(data / "dnarc.db", isolation_level=None)) as connection:
        connection.execute(sql)


def test_a_folder_that_a_node_made_is_well(data: Path) -> None:
    assert unwell(data) == {}
    assert "secret" not in str(found(data))


@pytest.mark.parametrize("name", ["node.key", "admin-token"])
def test_a_secret_that_others_may_read_fails(data: Path, name: str) -> None:
    (data / name).chmod(0o640)

    assert unwell(data) == {f"permissions.{name}": State.FAIL}


@pytest.mark.parametrize("name", ["node.key", "admin-token"])
def test_a_secret_that_is_missing_is_warned_of(data: Path, name: str) -> None:
    (data / name).unlink()

    assert unwell(data) == {f"permissions.{name}": State.WARN}


def test_a_folder_that_others_may_write_to_fails(data: Path) -> None:
    data.chmod(0o777)

    assert unwell(data) == {"permissions.folder": State.FAIL, "permissions.dnarc.db": State.FAIL}


def test_passwords_of_peers_that_others_may_read_fail(data: Path) -> None:
    data.chmod(0o755)
    (data / "dnarc.db").chmod(0o644)

    (finding,) = [it for it in found(data) if it.state is State.FAIL]
    assert (finding.check, finding.remedy) == ("permissions.dnarc.db", f"chmod 700 {data}")


def test_a_disk_with_less_room_than_the_setting_asks_for_fails(data: Path) -> None:
    assert unwell(data, disk_free_bytes_min=inf) == {"disk": State.FAIL}


def test_a_cursor_ahead_of_the_clock_fails(data: Path) -> None:
    """All that comes before it would never be asked for again."""
    shell(data, f"UPDATE cursors SET timestamp = {int(NOW) + 300}")
    assert unwell(data) == {}

    shell(data, f"UPDATE cursors SET timestamp = {int(NOW) + 301}")
    assert unwell(data) == {"cursors": State.FAIL}


def test_a_file_of_a_newer_version_fails(data: Path) -> None:
    shell(data, "PRAGMA user_version = 99")

    assert unwell(data) == {"database.version": State.FAIL}


def test_an_older_file_is_warned_of(data: Path) -> None:
    shell(data, "PRAGMA user_version = 0")

    assert unwell(data) == {"database.version": State.WARN}


def test_rows_that_name_what_is_missing_fail(data: Path) -> None:
    shell(data, "INSERT INTO events (seq, record, type) VALUES (1, 77, 1)")

    (finding,) = [it for it in found(data) if it.state is State.FAIL]
    assert finding.detail == "row 1 of events names one of records that is missing"


def test_a_file_that_is_no_database_fails(data: Path) -> None:
    (data / "dnarc.db").write_bytes(b"nonsense" * 1_000)

    assert unwell(data) == {"database": State.FAIL}


def test_looking_changes_nothing(data: Path) -> None:
    before = {path.name: path.read_bytes() for path in data.iterdir()}

    found(data)

    assert {path.name: path.read_bytes() for path in data.iterdir() if path.name in before} == before


def test_whether_a_node_holds_the_folder_is_seen(tmp_path: Path) -> None:
    assert not is_held(tmp_path)

    with LocalDisk().held(tmp_path):
        assert is_held(tmp_path)

    assert not is_held(tmp_path)
