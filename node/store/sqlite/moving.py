"""Moving: the rows of a database file for another store, and a new file with the rows of another store.

A new file has another name until it is whole and durable. So a move that is killed leaves no file under the store's own
name, and a node that starts meanwhile sees by the other name that a move is not finished.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from node.durable_files import give_name
from node.store.contract import StoreError
from node.store.moving import CURSORS, PAGE_ROWS, PEERS, REMOVALS, USAGE, Row, Table
from node.store.sqlite import deriving, reading
from node.store.sqlite.connection import BUSY_TIMEOUT_S
from node.store.sqlite.faults import explain
from node.store.sqlite.files import unfinished_of
from node.store.sqlite.removing import FILES
from node.store.sqlite.schema import migrate
from node.store.sqlite.usage import Tail, settle
from node.store.sqlite.writing import put_epoch

_READ: Final = {
    USAGE.name: "SELECT key, name, usage.records, usage.bytes FROM usage JOIN domains ON no = domain",
}
_PUT_DOMAIN: Final = """
    INSERT INTO domains (name, records, bytes) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET records = records + excluded.records, bytes = bytes + excluded.bytes
"""
_PUT: Final = {
    USAGE.name: "INSERT INTO usage VALUES (?, (SELECT no FROM domains WHERE name = ?), ?, ?)",
    REMOVALS.name: f"INSERT INTO removals ({', '.join(REMOVALS.columns)}, phase) "
    f"VALUES ({', '.join('?' * len(REMOVALS.columns))}, {FILES})",
}
_NEW_FILE_PRAGMAS: Final = (
    "journal_mode = OFF",  # a file that is not finished is made anew, so nothing is ever rolled back
    "synchronous = OFF",  # the file is synced once, at its end
    "secure_delete = ON",  # bodies must not stay in free places, for records may be erased later
    "cache_size = -262144",  # KiB: ids fall anywhere in their index
)


class SqliteRows:
    """The rows of one connection. See `node.store.moving.NewRows`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def count(self, table: Table) -> int:
        if table.name in _BY_HAND:
            return len(_by_hand(self._connection, table))
        (count,) = self._connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
        return int(count)

    async def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        if table.name in _BY_HAND:
            yield _by_hand(self._connection, table)
            return
        order = "" if table.order is None else f" ORDER BY {table.order}"
        sql = _READ.get(table.name, f"SELECT {', '.join(table.columns)} FROM {table.name}{order}")
        flags = [column in table.flags for column in table.columns]
        cursor = self._connection.execute(sql)
        while rows := cursor.fetchmany(PAGE_ROWS):
            yield [_with_bools(row, flags) for row in rows] if any(flags) else rows

    async def put(self, table: Table, rows: list[Row]) -> None:
        if table.name == USAGE.name:
            self._connection.executemany(_PUT_DOMAIN, [row[1:] for row in rows])
        places = ", ".join("?" * len(table.columns))
        sql = _PUT.get(table.name, f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({places})")
        self._connection.executemany(sql, rows)

    async def last_event(self) -> int:
        return reading.last_event(self._connection)

    async def finish(self, last_event: int) -> None:
        """Put how far the counts are, the number of a last event that was dropped, and which testimony is derived."""
        through = "(SELECT coalesce(max(no), 0) FROM records)"
        self._connection.execute(f"UPDATE meta SET value = {through} WHERE name = 'usage_through'")
        self._connection.execute("INSERT INTO meta (name, value) VALUES ('last_event', ?)", (last_event,))
        witnessed = [(name,) for name in deriving.witnessed_names(self._connection)]
        self._connection.executemany("INSERT INTO witnessed_domains VALUES (?)", witnessed)


_BY_HAND: Final = (PEERS.name, CURSORS.name)
"""People write into these tables with the sqlite3 shell, so not every row may be one that a node takes."""


def _by_hand(connection: sqlite3.Connection, table: Table) -> list[Row]:
    """The rows that a node takes."""
    if table.name == PEERS.name:
        return [(it.url, it.push, it.pull, it.accept, it.key) for it in reading.peers(connection)[0]]
    return [(it.peer, it.domain, it.direction, it.timestamp) for it in reading.cursors(connection)[0]]


def _with_bools(row: Row, flags: list[bool]) -> Row:
    return tuple(
        bool(value) if is_flag and value is not None else value for value, is_flag in zip(row, flags, strict=True)
    )


@contextmanager
def open_rows(path: Path) -> Iterator[SqliteRows]:
    """The rows of this file, which is of the newest version. No node may write to it.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
            settle(connection, Tail.load(connection))
            yield SqliteRows(connection)
    except sqlite3.Error as error:
        raise explain(error, path) from error


@contextmanager
def new_file(path: Path, epoch: str) -> Iterator[SqliteRows]:
    """A new database file, which has its name and is durable when the block ends. No node may use the folder.

    Raises:
        StoreError: the file exists already, or it cannot be written.
    """
    if path.exists():
        raise StoreError(f"{path} exists already", "name another folder, or move that file away")
    draft = unfinished_of(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            for pragma in _NEW_FILE_PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").close()
            migrate(connection)
            put_epoch(connection, epoch)
            connection.execute("BEGIN")
            yield SqliteRows(connection)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise explain(error, draft) from error
    give_name(draft, path)
