"""Rebuilding: whatever is derived is found wrong where it is, and only there, and put right from the records."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from node.store.contract import StoreError
from node.store.sqlite.rebuilding import DIFFERENCES_SHOWN_MAX, REASON, DerivedDifference, count_steps, rebuild
from protocol.records.named_keys import FEW_KEYS
from protocol.records.record import Record
from protocol.signing import SigningKey
from tests.history import ALICE, BOB, CAROL, DOMAIN, NOWHERE, claim, offer
from tests.node.intake.pipeline import PEER, pipeline

FOUNDED = claim("garden", ALICE, 10)
OFFERED = offer("garden", ALICE, BOB, 20)
TAKEN = claim("garden", BOB, 30)
RIVAL = claim("garden", CAROL, 25)
STALE = claim("garden", BOB, 40, prev=NOWHERE)
OTHER = claim("pond", CAROL, 15)
ORPHAN = claim("ruin", CAROL, 15, prev=NOWHERE)
HISTORY = (FOUNDED, TAKEN, OTHER, ORPHAN, OFFERED, STALE, RIVAL)
"""In the order of arrival: the garden's head was the founding, then, when the offer came late, Bob's record."""

Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store that took the history in, record by record."""
    async with pipeline(tmp_path) as pipe:
        for record in HISTORY:
            await pipe.take(record, origin=PEER)
        assert await pipe.matches_replay(DOMAIN, "garden")
    return tmp_path / "dnarc.db"


@pytest.fixture
def shell(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def rows(path: Path) -> Rows:
    """All that the file holds of records, labels and events."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("records", "labels", "events")
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables}


def test_in_a_store_that_a_node_wrote_nothing_differs(path: Path) -> None:
    before = rows(path)
    steps: list[int] = []

    rebuilt = rebuild(path, steps.append)

    assert rebuilt.is_equal
    assert (rebuilt.records, rebuilt.labels, rebuilt.events) == (7, 3, len(before["events"]))
    assert sum(steps) == count_steps(path) == 14
    assert rows(path) == before


def number(record: Record) -> str:
    return f"(SELECT no FROM records WHERE id = x'{record.id}')"


def label(name: str) -> str:
    return f"(SELECT no FROM labels WHERE label = '{name}')"


DAMAGES = {
    "a verdict": (
        f"UPDATE records SET verdict = 7 WHERE id = x'{TAKEN.id}'",
        [DerivedDifference("verdict", "rival", "transferred", DOMAIN, "garden", TAKEN.id)],
    ),
    "a verdict that there is not": (
        f"UPDATE records SET verdict = 99 WHERE id = x'{OTHER.id}'",
        [DerivedDifference("verdict", "99", "founded", DOMAIN, "pond", OTHER.id)],
    ),
    "a head": (
        f"UPDATE labels SET head = {number(FOUNDED)} WHERE label = 'garden'",
        [DerivedDifference("head", FOUNDED.id, TAKEN.id, DOMAIN, "garden")],
    ),
    "no head": (
        "UPDATE labels SET head = NULL, timestamp = NULL WHERE label = 'pond'",
        [
            DerivedDifference("head", None, OTHER.id, DOMAIN, "pond"),
            DerivedDifference("head's timestamp", None, "15", DOMAIN, "pond"),
        ],
    ),
    "the newest record": (
        f"UPDATE labels SET newest = {number(OFFERED)} WHERE label = 'garden'",
        [DerivedDifference("newest", OFFERED.id, STALE.id, DOMAIN, "garden")],
    ),
    "a contest": (
        "UPDATE labels SET contested = 0 WHERE label = 'garden'",
        [DerivedDifference("contested", "no", "yes", DOMAIN, "garden")],
    ),
    "the former owners": (
        "UPDATE labels SET former = x'' WHERE label = 'garden'",
        [DerivedDifference("former owners", "", ALICE.public, DOMAIN, "garden")],
    ),
    "the owner": (
        f"UPDATE labels SET owner = x'{BOB.public}' WHERE label = 'pond'",
        [DerivedDifference("owner", BOB.public, CAROL.public, DOMAIN, "pond")],
    ),
    "a record's timestamp": (
        f"UPDATE records SET timestamp = 1 WHERE id = x'{OTHER.id}'",
        [DerivedDifference("timestamp", "1", "15", DOMAIN, "pond", OTHER.id)],
    ),
    "a record's place": (
        f"UPDATE records SET label = {label('ruin')} WHERE id = x'{RIVAL.id}'",
        [DerivedDifference("place", f"{DOMAIN} ruin", f"{DOMAIN} garden", DOMAIN, "garden", RIVAL.id)],
    ),
    "a label without records": (
        f"INSERT INTO labels (domain, label, newest, contested, former) VALUES ('{DOMAIN}', 'ghost', 1, 0, x'')",
        [DerivedDifference("label", "there", "no record is of it", DOMAIN, "ghost")],
    ),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_difference_is_named_and_repaired(
    path: Path, shell: sqlite3.Connection, damage: str, expected: list[DerivedDifference]
) -> None:
    before = rows(path)
    shell.execute(damage)

    rebuilt = rebuild(path)

    assert rebuilt.differences == expected
    assert rebuilt.counts.total() == len(expected)
    assert rows(path) == before
    assert rebuild(path).is_equal


@pytest.mark.parametrize(("damage", "expected"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_check_names_a_difference_and_writes_nothing(
    path: Path, shell: sqlite3.Connection, damage: str, expected: list[DerivedDifference]
) -> None:
    shell.execute(damage)
    before = rows(path)

    rebuilt = rebuild(path, is_check=True)

    assert rebuilt.differences == expected
    assert rows(path) == before


def test_lost_states_come_back(path: Path, shell: sqlite3.Connection) -> None:
    before = rows(path)
    shell.execute("DELETE FROM labels")
    shell.execute("UPDATE records SET verdict = 2")

    rebuild(path)

    assert rebuild(path).is_equal
    assert sorted(row[1:3] for row in rows(path)["labels"]) == sorted(row[1:3] for row in before["labels"])
    assert [row[5] for row in rows(path)["records"]] == [row[5] for row in before["records"]]


def test_clients_that_were_told_a_wrong_head_get_one_more_event(path: Path, shell: sqlite3.Connection) -> None:
    """As after a fault of replay that a newer version mends: the event that was given stays, and another follows."""
    before = rows(path)["events"]
    last = len(before)
    shell.execute(f"UPDATE events SET record = {number(FOUNDED)} WHERE record = {number(TAKEN)}")
    (record,) = shell.execute(f"SELECT {number(TAKEN)}").fetchone()

    rebuilt = rebuild(path)

    assert rebuilt.differences == [DerivedDifference("event", FOUNDED.id, TAKEN.id, DOMAIN, "garden")]
    after = rows(path)["events"]
    assert [row[0] for row in after] == list(range(1, last + 2))
    assert after[-1] == (last + 1, record, 2, bytes.fromhex(FOUNDED.id), REASON)
    assert rebuild(path).is_equal


def test_a_damaged_index_of_the_database_is_built_again(path: Path, shell: sqlite3.Connection) -> None:
    """Hidden rows in an index are what a file copied while it was written to can show."""
    shell.execute("PRAGMA writable_schema = ON")
    (sql,) = shell.execute("SELECT sql FROM sqlite_schema WHERE name = 'records_by_label'").fetchone()
    shell.execute("UPDATE sqlite_schema SET sql = sql || ' WHERE label > 1' WHERE name = 'records_by_label'")
    shell.execute("PRAGMA writable_schema = RESET")
    shell.execute("REINDEX")
    shell.execute("PRAGMA writable_schema = ON")
    shell.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'records_by_label'", (sql,))
    shell.execute("PRAGMA writable_schema = RESET")

    rebuilt = rebuild(path)

    assert set(rebuilt.counts) == {"index"}
    assert "missing from index records_by_label" in str(rebuilt.differences[0].was)
    assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert rebuild(path).is_equal


def test_a_damaged_body_is_named_and_nothing_is_written(path: Path, shell: sqlite3.Connection) -> None:
    shell.execute(f"UPDATE records SET body = x'7b7d' WHERE id = x'{OTHER.id}'")
    shell.execute("UPDATE records SET verdict = 7")
    before = rows(path)

    with pytest.raises(StoreError, match=f"1 records are damaged: {OTHER.id}"):
        rebuild(path)

    assert rows(path) == before


def test_a_file_of_another_version_is_not_checked(path: Path, shell: sqlite3.Connection) -> None:
    shell.execute("PRAGMA user_version = 99")

    for is_check in (True, False):
        with pytest.raises(StoreError, match="version"):
            rebuild(path, is_check=is_check)


def test_a_folder_without_a_store_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        rebuild(tmp_path / "dnarc.db")

    assert list(tmp_path.iterdir()) == []


async def test_the_first_differences_are_described_and_all_are_counted(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as pipe:
        await pipe.take(*(claim(f"plot-{n}", ALICE, 1) for n in range(DIFFERENCES_SHOWN_MAX + 1)), origin=PEER)
    path = tmp_path / "dnarc.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("UPDATE records SET verdict = 8")

    rebuilt = rebuild(path)

    assert len(rebuilt.differences) == DIFFERENCES_SHOWN_MAX
    assert rebuilt.counts == {"verdict": DIFFERENCES_SHOWN_MAX + 1}


KILLED = """
import os, signal, sys
from itertools import count
from pathlib import Path
from node.store.sqlite.rebuilding import rebuild
steps = count(1)
def advance(_):
    if next(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
rebuild(Path(sys.argv[1]), advance)
"""


@pytest.mark.parametrize("step", [1, 2])
def test_a_killed_rebuild_leaves_the_file_as_it_was(path: Path, shell: sqlite3.Connection, step: int) -> None:
    shell.execute("UPDATE records SET verdict = 8, timestamp = 7")
    shell.execute("UPDATE labels SET head = NULL, contested = 0")
    shell.close()
    before = rows(path)

    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(step)], check=False, env=dict(os.environ))

    assert done.returncode == -signal.SIGKILL
    assert rows(path) == before
    assert not rebuild(path).is_equal
    assert rebuild(path).is_equal


@pytest.fixture
async def path_of_many_keys(tmp_path: Path) -> Path:
    """A store of a label that named so many keys that most of them are in the table of keys."""
    names = [SigningKey(b"%032d" % number) for number in range(3 * FEW_KEYS)]
    (tmp_path / "many").mkdir()
    async with pipeline(tmp_path / "many") as pipe:
        for number, name in enumerate(names):
            await pipe.take(offer("garden", ALICE, name, 10 + number), origin=PEER)
    return tmp_path / "many" / "dnarc.db"


def test_many_named_keys_are_compared_and_put_right(path_of_many_keys: Path) -> None:
    untouched = rebuild(path_of_many_keys, lambda _: None)
    with closing(sqlite3.connect(path_of_many_keys, isolation_level=None)) as shell:
        (in_table,) = shell.execute("SELECT count(*) FROM former_keys").fetchone()
        (in_row,) = shell.execute("SELECT length(former) / 32 FROM labels").fetchone()
        shell.execute("DELETE FROM former_keys WHERE key IN (SELECT key FROM former_keys LIMIT 1)")

    damaged = rebuild(path_of_many_keys, lambda _: None)
    again = rebuild(path_of_many_keys, lambda _: None)

    assert in_table > FEW_KEYS >= in_row, "a record that names one more key writes few bytes"
    assert [len(each.differences) for each in (untouched, damaged, again)] == [0, 1, 0]
    assert damaged.differences[0].what == "former owners"
