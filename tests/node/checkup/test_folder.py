"""What is found about a data folder."""

import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from node.checkup.finding import Finding, Level
from node.checkup.folder import check_folder, is_held
from node.disk import LocalDisk
from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Cursor, Peer

NOW = 1_000_000.0
NUMBERS = {"max_skew": 300.0, "disk_free_bytes_min": 0.0}


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """The folder of a node that has stopped, with a peer that has a password."""
    folder = tmp_path / "data"
    async with Node(Settings(port=0, data=folder, sync_interval=None)) as node:
        await node.peers.put(Peer(url="http://user:secret@peer.example", push=True))
        await node.store.put_cursors([Cursor("http://user:secret@peer.example", "example", "push", int(NOW))])
    folder.chmod(0o700)
    return folder


def found(data: Path, **numbers: float) -> list[Finding]:
    return check_folder(data, NUMBERS | numbers, NOW)


def unwell(data: Path, **numbers: float) -> dict[str, Level]:
    return {finding.check: finding.level for finding in found(data, **numbers) if finding.level is not Level.OK}


def shell(data: Path, sql: str) -> None:
    with closing(sqlite3.connect(data / "dnarc.db", isolation_level=None)) as connection:
        connection.execute(sql)


def test_all_findings_about_a_nodes_own_folder_are_ok(data: Path) -> None:
    assert unwell(data) == {}
    assert "secret" not in str(found(data))


@pytest.mark.parametrize("name", ["node.key", "admin-token"])
def test_a_secret_that_others_may_read_fails(data: Path, name: str) -> None:
    (data / name).chmod(0o640)

    assert unwell(data) == {f"permissions.{name}": Level.FAIL}


def test_a_removal_that_is_not_finished_is_a_warning(data: Path) -> None:
    shell(
        data,
        "INSERT INTO removals (kind, ids, domain, by, reason, time, through) "
        "VALUES ('erase', x'', 'a', 'op', '', 1, 0)",
    )

    assert unwell(data) == {"removals": Level.WARN}


@pytest.mark.parametrize("name", ["node.key", "admin-token"])
def test_a_secret_that_is_missing_is_a_warning(data: Path, name: str) -> None:
    (data / name).unlink()

    assert unwell(data) == {f"permissions.{name}": Level.WARN}


def test_a_folder_that_others_may_write_to_fails(data: Path) -> None:
    data.chmod(0o777)

    assert unwell(data) == {"permissions.folder": Level.FAIL, "permissions.dnarc.db": Level.FAIL}


def test_passwords_of_peers_that_others_may_read_fail(data: Path) -> None:
    data.chmod(0o755)
    (data / "dnarc.db").chmod(0o644)

    (finding,) = [it for it in found(data) if it.level is Level.FAIL]
    assert (finding.check, finding.remedy) == ("permissions.dnarc.db", f"chmod 700 {data}")


def test_a_disk_with_less_room_than_the_setting_asks_for_fails(data: Path) -> None:
    assert unwell(data, disk_free_bytes_min=inf) == {"disk": Level.FAIL}


def test_a_cursor_ahead_of_the_clock_fails(data: Path) -> None:
    """The node would never ask for the records before the cursor again."""
    shell(data, f"UPDATE cursors SET timestamp = {int(NOW) + 300}")
    assert unwell(data) == {}

    shell(data, f"UPDATE cursors SET timestamp = {int(NOW) + 301}")
    assert unwell(data) == {"cursors": Level.FAIL}


def test_a_file_of_a_newer_version_fails(data: Path) -> None:
    shell(data, "PRAGMA user_version = 99")

    assert unwell(data) == {"database.version": Level.FAIL}


def test_an_older_file_is_a_warning(data: Path) -> None:
    shell(data, "PRAGMA user_version = 0")

    assert unwell(data) == {"database.version": Level.WARN}


def test_rows_that_name_a_missing_row_fail(data: Path) -> None:
    shell(data, "INSERT INTO events (seq, record, type) VALUES (1, 77, 1)")

    (finding,) = [it for it in found(data) if it.level is Level.FAIL]
    assert finding.detail == "row 1 of events names one of records that is missing"


def test_a_file_that_is_no_database_fails(data: Path) -> None:
    (data / "dnarc.db").write_bytes(b"nonsense" * 1_000)

    assert unwell(data) == {"database": Level.FAIL}


def test_a_file_that_is_empty_has_lost_its_records(data: Path) -> None:
    (data / "dnarc.db").write_bytes(b"")

    assert unwell(data) == {"database.version": Level.FAIL}


@pytest.mark.parametrize("name", ["node.key", "admin-token"])
def test_a_secret_that_a_node_would_not_take_fails(data: Path, name: str) -> None:
    (data / name).write_text("damaged")

    (finding,) = [it for it in found(data) if it.level is Level.FAIL]
    assert (finding.check, finding.detail) == (
        name,
        f"{data / name} is damaged: it should hold 64 lower-case hex digits",
    )
    assert "move it away" in str(finding.remedy)


def test_a_missing_key_is_to_be_restored_because_peers_know_it(data: Path) -> None:
    (data / "node.key").unlink()

    (finding,) = [it for it in found(data) if it.level is Level.WARN]
    assert str(finding.remedy).startswith("restore it from a backup")


def test_looking_changes_nothing(data: Path) -> None:
    before = {path.name: path.read_bytes() for path in data.iterdir()}

    found(data)

    assert {path.name: path.read_bytes() for path in data.iterdir() if path.name in before} == before


def test_a_folder_that_a_node_holds_is_recognised(tmp_path: Path) -> None:
    assert not is_held(tmp_path)

    with LocalDisk().held(tmp_path):
        assert is_held(tmp_path)

    assert not is_held(tmp_path)
