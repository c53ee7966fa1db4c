"""What witnesses said is in the file as it follows from their receipts, whatever the order and the batches."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from node.intake.arrivals import Origin
from node.store.removals import RemovalKind, Target
from node.store.sqlite import deriving, testimony
from node.store.sqlite.rebuilding import rebuild
from node.store.sqlite.schema import migrate
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord, make
from tests.node.intake.pipeline import pipeline, submission
from tests.node.store.opened import sqlite
from tests.node.store.sqlite.older_files import WITH_LOST_RECORDS_UNDECIDED, WITHOUT_TESTIMONY
from tests.paths import VECTORS

FILES = sorted((VECTORS / "witnessed").glob("*.json"))
PEER = Origin(Trust.PEER)
PIECES = (3, 1_000)
"""Records at a time."""

pytestmark = pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")

NOW_S = 1_790_100_000
"""After the records of the vectors."""

Rows = dict[str, list[Any]]


def read(path: Path) -> list[SignedRecord]:
    return [SignedRecord(it["signature"], make(it["record"])) for it in json.loads(path.read_text())["records"]]


async def take(folder: Path, records: list[SignedRecord], piece: int) -> Path:
    """A store that took these records in, piece by piece."""
    async with pipeline(folder, now_s=NOW_S) as pipe:
        for begin in range(0, len(records), piece):
            submissions = [submission(each) for each in records[begin : begin + piece]]
            outcomes = await pipe.ingest.take(submissions, PEER)
            assert {outcome.status for outcome in outcomes} <= {"accepted", "known"}
    return folder / "dnarc.db"


def kept(path: Path) -> Rows:
    """What the file says of witnesses and of labels to look after. Row numbers differ from file to file."""
    with closing(sqlite3.connect(path)) as connection:
        numbers = {no: record_id.hex()[:8] for no, record_id in connection.execute("SELECT no, id FROM records")}
        names = {no: key.hex()[:8] for no, key in connection.execute("SELECT no, key FROM witnesses")}
        rows: Rows = {}
        for table in testimony.TABLES:
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            found = [dict(zip(columns, row, strict=True)) for row in connection.execute(f"SELECT * FROM {table}")]
            for row in found:
                row["witness"] = names[row["witness"]]
                is_receipt = row.get("act", 0) > 0
                row |= {name: numbers[row[name]] for name in ("record", "one", "other") if name in row}
                row |= {"value": numbers[row["value"]]} if is_receipt and "value" in row else {}
            rows[table] = sorted(map(str, found))
        sql = "SELECT label, undecided, doubly_decided FROM labels ORDER BY label"
        return rows | {"labels": connection.execute(sql).fetchall()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_file_keeps_what_follows_from_its_records_in_any_order(path: Path, tmp_path: Path) -> None:
    records, random, files = read(path), Random(path.stem), []
    for piece in PIECES:
        random.shuffle(records)
        folder = tmp_path / str(piece)
        folder.mkdir()
        files.append(await take(folder, records, piece))

    assert all(rebuild(file, is_check=True).is_equal for file in files)
    assert kept(files[0]) == kept(files[1])


DAMAGES = (
    "DELETE FROM testimony",
    "UPDATE testimony SET value = value + 1 WHERE act = 0",
    "INSERT INTO testimony SELECT record, witness, 2, 7, value FROM testimony WHERE act > 0 LIMIT 1",
    "UPDATE testimony_ahead SET round = round + 1",
    "DELETE FROM receipts",
    "UPDATE receipts SET sound = 1 - sound",
    "DELETE FROM forks",
    "UPDATE labels SET undecided = undecided + 1",
    "UPDATE labels SET doubly_decided = 1 - doubly_decided",
)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_rebuild_puts_damaged_testimony_right(damage: str, tmp_path: Path) -> None:
    for number, vector in enumerate(FILES):
        folder = tmp_path / str(number)
        folder.mkdir()
        file = await take(folder, read(vector), 1_000)
        before = kept(file)
        with closing(sqlite3.connect(file)) as shell:
            touched = shell.execute(damage).rowcount
            shell.commit()
        if touched:
            rebuilt = rebuild(file)

            assert sum(rebuilt.counts.values()) > 0
            assert kept(file) == before
            assert rebuild(file, is_check=True).is_equal
            return
    pytest.fail("no vector has rows that this damages")


async def test_the_testimony_of_an_old_file_is_derived_domain_by_domain(tmp_path: Path) -> None:
    """A program that is killed meanwhile goes on where it was."""
    vectors = {json.loads(path.read_text())["domain"]: path for path in FILES}
    records = [record for path in list(vectors.values())[:3] for record in read(path)]
    file = await take(tmp_path, records, 1_000)
    expected = kept(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(WITHOUT_TESTIMONY)
        migrate(connection)
        first, *_ = deriving.witnessed_names(connection)
        deriving.derive(connection, first)
        partly = connection.execute("SELECT domain FROM witnessed_domains").fetchall()

    async with pipeline(tmp_path):
        pass

    assert partly == [(first,)]
    assert kept(file) == expected
    assert rebuild(file, is_check=True).is_equal


async def test_an_old_file_counts_anew_which_records_can_still_win(tmp_path: Path) -> None:
    """Older versions also counted records that follow a lost one."""
    records = [record for path in FILES[:6] for record in read(path)]
    file = await take(tmp_path, records, len(records))
    expected, files = kept(file), [file, tmp_path / "copy.db"]
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(WITH_LOST_RECORDS_UNDECIDED)
        connection.execute("VACUUM INTO ?", (str(files[1]),))

    async with pipeline(tmp_path):
        pass
    rebuilt = rebuild(files[1])

    assert [kept(each) for each in files] == [expected, expected]
    assert rebuilt.is_equal


async def test_a_dropped_domain_leaves_no_testimony(tmp_path: Path) -> None:
    dropped, stays = FILES[0], next(it for it in FILES if read(it)[0].record.domain != read(FILES[0])[0].record.domain)
    file = await take(tmp_path, read(stays), 1_000)
    before = kept(file)
    await take(tmp_path, read(dropped), 1_000)
    async with sqlite(file) as store:
        target = Target(domain=read(dropped)[0].record.domain)
        removal = await store.removals.begin(RemovalKind.DROP, target, "test", "test", NOW_S)
        while not (await store.removals.go_on(removal.number)).is_last:
            pass

    assert kept(file) == before
    assert rebuild(file, is_check=True).is_equal
