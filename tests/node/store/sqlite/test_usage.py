"""Usage in SQLite: the tail of counts in memory, old files, drops, and damaged counts."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.contract import StoredRecord
from node.store.removals import RemovalKind, Target
from node.store.sqlite import SqliteStore, usage, writing
from node.store.sqlite.inspection import faults
from node.store.sqlite.rebuilding import rebuild
from node.store.sqlite.schema import migrate
from node.store.sqlite.usage import TAIL_RECORDS_MAX, Tail
from protocol.records.admission import Amount
from protocol.records.replay import Verdict
from protocol.signing import SigningKey
from tests.history import BOB, PEOPLE
from tests.node.store.sqlite.older_files import WITHOUT_USAGE
from tests.node.store.store_batches import batch_of, claim
from tests.node.store.store_contract_removals import remove
from tests.node.store.store_contract_usage import RECORDS, of_domain, of_key


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def counted_in_tables(connection: sqlite3.Connection) -> int:
    (records,) = connection.execute("SELECT coalesce(sum(records), 0) FROM usage").fetchone()
    return int(records)


def test_a_long_tail_is_written_with_the_batch_that_reaches_its_limit(connection: sqlite3.Connection) -> None:
    last, tail = writing.last_numbers(connection), Tail()
    tail.records = TAIL_RECORDS_MAX - 2

    last = writing.commit(connection, batch_of(RECORDS[:1]), last, tail, writing.RecentNumbers())
    one_before = counted_in_tables(connection)
    writing.commit(connection, batch_of(RECORDS[1:2]), last, tail, writing.RecentNumbers())

    assert (one_before, counted_in_tables(connection)) == (0, 2)
    assert (tail.amounts, tail.records) == ({}, 0)
    assert Tail.load(connection).amounts == {}
    assert usage.of_domains(connection, tail) == {"test": of_domain("test")}


@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["a", "b"]), st.booleans()), max_size=12))
@settings(max_examples=30)
def test_counts_are_those_of_the_records_whenever_the_tail_is_written_or_lost(
    steps: list[tuple[SigningKey, str, bool]],
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        last, tail, right = writing.last_numbers(connection), Tail(), dict[tuple[str, str], Amount]()
        for number, (by, domain, is_written) in enumerate(steps):
            record = claim(f"label-{number}", by=by, domain=domain)
            last = writing.commit(connection, batch_of([record]), last, tail, writing.RecentNumbers())
            right.setdefault((domain, record.record.signedby), Amount()).add(1, len(record.record.canonical))
            if is_written:
                usage.settle(connection, tail)
            tail = Tail.load(connection)  # as after a start

        for by in PEOPLE:
            of_by = [amount for (_, key), amount in right.items() if key == by.public]
            total = Amount(sum(each.records for each in of_by), sum(each.size_bytes for each in of_by))
            assert usage.of_keys(connection, tail, [by.public]) == {by.public: total}


def test_a_file_of_an_older_version_is_counted_when_it_is_migrated(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        migrate(connection)
        writing.commit(connection, batch_of(RECORDS), writing.last_numbers(connection), Tail(), writing.RecentNumbers())
        connection.executescript(WITHOUT_USAGE)

        migrate(connection)

        assert Tail.load(connection).records == 0
        assert usage.of_domains(connection, Tail()) == {"test": of_domain("test"), "other": of_domain("other")}
        assert usage.largest_keys(connection, None, 1) == [(BOB.public, of_key(BOB.public))]


async def test_counts_add_up_after_a_drop(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "dnarc.db")
    await store.commit(batch_of(RECORDS))

    await remove(store, Target(domain="other"), RemovalKind.DROP)
    await store.close()

    assert faults(tmp_path / "dnarc.db") == []


DAMAGES = {
    "a key": "UPDATE usage SET records = records + 1 WHERE key = (SELECT min(key) FROM usage)",
    "a domain": "UPDATE domains SET records = records - 1 WHERE name = 'test'",
    "a lost row": "DELETE FROM usage WHERE key = (SELECT min(key) FROM usage)",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_wrong_counts_are_found_by_doctor_and_mended_by_a_rebuild(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "dnarc.db"
    store = await SqliteStore.open(path)
    await store.commit(batch_of(RECORDS))
    await store.largest_keys(None, 1)
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute(damage)

    found = faults(path)
    checked = rebuild(path, is_check=True)
    rebuilt = rebuild(path)

    assert any("dnarc rebuild" in fault for fault in found)
    assert checked.counts == rebuilt.counts
    assert set(rebuilt.counts) == {"usage"}
    assert (faults(path), rebuild(path, is_check=True).is_equal) == ([], True)


async def test_a_rebuild_of_right_counts_changes_nothing_wherever_the_tail_begins(tmp_path: Path) -> None:
    path = tmp_path / "dnarc.db"
    store = await SqliteStore.open(path)
    await store.commit(batch_of(RECORDS[:2]))
    await store.largest_keys(None, 1)
    await store.commit(batch_of(RECORDS[2:]))
    await store.close()

    assert rebuild(path, is_check=True).is_equal
    assert faults(path) == []


def test_a_tail_counts_what_it_is_given() -> None:
    tail = Tail()

    tail.add(StoredRecord(each, Verdict.FOUNDED, 1) for each in RECORDS)

    assert tail.records == 4
    assert len(tail.amounts) == 4
