"""Inspection: reads a database file and checks it for damage, without changing it, while a node runs or not."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from node.store.contract import Cursor, Peer
from node.store.inspection import DomainSummaries, Inspection
from node.store.removals import Removal
from node.store.rows import record_of
from node.store.sqlite import reading, removing
from node.store.sqlite.connection import BUSY_TIMEOUT_S
from node.store.sqlite.faults import explain
from node.store.sqlite.schema import MIGRATIONS, version_of
from node.store.sqlite.usage import THROUGH
from protocol.records.record import Record

FAULTS_MAX = 10

_T = TypeVar("_T")


def inspect(path: Path) -> Inspection:
    """The file's version, peers and cursors. Raises: StoreError: the file cannot be read."""

    def read(connection: sqlite3.Connection) -> Inspection:
        version = version_of(connection)
        if version != len(MIGRATIONS):
            return Inspection(version, len(MIGRATIONS), [], [])
        return Inspection(version, version, *_tables(connection))

    return _read(path, read)


def _tables(connection: sqlite3.Connection) -> tuple[list[Peer], list[Cursor], list[Removal]]:
    return reading.peers(connection)[0], reading.cursors(connection)[0], removing.unfinished(connection)


def faults(path: Path) -> list[str]:
    """The first faults that SQLite finds, in its words; empty if the file is whole.

    Reads the whole file: about 1 s a gigabyte if the file is in memory already.

    Raises:
        StoreError: the file cannot be read.
    """

    def read(connection: sqlite3.Connection) -> list[str]:
        broken = [text for (text,) in connection.execute(f"PRAGMA integrity_check({FAULTS_MAX})") if text != "ok"]
        loose = connection.execute("PRAGMA foreign_key_check").fetchmany(FAULTS_MAX)
        return (
            broken
            + _usage_faults(connection)
            + [f"row {row} of {table} names one of {other} that is missing" for table, row, other, _ in loose]
        )

    return _read(path, read)


_SUMS: Final = f"""
    SELECT (SELECT coalesce(sum(records), 0) FROM domains), (SELECT coalesce(sum(records), 0) FROM usage),
        (SELECT count(*) FROM records WHERE no <= {THROUGH})
    WHERE NOT EXISTS (SELECT 1 FROM removals WHERE NOT done)
"""


def _usage_faults(connection: sqlite3.Connection) -> list[str]:
    """Whether the counts of domains and keys add up to the records. While a removal is under way, they need not."""
    if version_of(connection) != len(MIGRATIONS):
        return []
    sums = connection.execute(_SUMS).fetchone()
    if sums is None or len(set(sums)) == 1:
        return []
    domains, keys, records = sums
    return [f"{records} records are counted as {domains} by domain and {keys} by key: run `dnarc rebuild`"]


def summaries(path: Path) -> dict[str, tuple[int, str]]:
    """The count and the fingerprint of each domain. Raises: StoreError: the file cannot be read."""

    def read(connection: sqlite3.Connection) -> dict[str, tuple[int, str]]:
        found = DomainSummaries()
        last, page = reading.keys(connection, 0)
        while page:
            found.add(page)
            last, page = reading.keys(connection, last)
        return found.by_domain()

    return _read(path, read)


def count_records(path: Path) -> int:
    """How many records the file holds. Raises: StoreError: the file cannot be read."""
    return _read(path, lambda connection: int(connection.execute("SELECT count(*) FROM records").fetchone()[0]))


def records_in_order(path: Path) -> Iterator[Record]:
    """All records by order key, without those whose bodies were erased. Memory stays flat.

    Raises:
        StoreError: the file cannot be read.
    """
    with _opened(path) as connection:
        rows = connection.execute(
            "SELECT records.id, body FROM (SELECT no FROM records ORDER BY timestamp, id) AS ordered "
            "CROSS JOIN records ON records.no = ordered.no "
            "WHERE records.no NOT IN (SELECT record FROM erasures)"
        )
        for record_id, body in rows:
            yield record_of(record_id, body)


def _read(path: Path, work: Callable[[sqlite3.Connection], _T]) -> _T:
    with _opened(path) as connection:
        return work(connection)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, for reading. Raises: StoreError: the file cannot be read."""
    try:
        url = f"file:{quote(str(path.resolve()))}?mode=ro"
        with closing(sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise explain(error, path) from error
