"""Moving: the rows of a database for another store, and a new store with the rows of another one.

A new store is filled in one transaction, so a move that is killed leaves an empty one. Before that, the store is marked
as unfinished: so no node takes the empty store for its own.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from node.store.contract import StoreError
from node.store.moving import DERIVED, JUDGED, PAGE_ROWS, REMOVALS, Row, Rows, Table
from node.store.postgresql import reading
from node.store.postgresql.removing import END
from node.store.postgresql.schema import migrate
from node.store.postgresql.session import SILENCE, connect, explained, place_of
from node.store.postgresql.writership import UNFINISHED_MOVE, another_writer, begin_term, holder_of, take_lock

_ID_BYTES: Final = 32

_NO_LIMITS: Final = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
"""The whole move is one transaction, in which the other store may be slow."""

_FILLED: Final = ("records", "removals", "dropped", "peers", "cursors")
"""The tables of which one at least has rows if a node worked with the store."""


class PostgresRows:
    """The rows as one transaction of this connection sees them. See `node.store.moving.NewRows`."""

    def __init__(self, url: str, connection: asyncpg.Connection) -> None:
        self._url = url
        self._connection = connection

    async def count(self, table: Table) -> int:
        with explained(self._url):
            return int(await self._connection.fetchval(f"SELECT count(*) FROM {table.name}"))

    async def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        order = "" if table.order is None else f" ORDER BY {table.order}"
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name}{order}"
        with explained(self._url):
            cursor = await self._connection.cursor(sql)
        while rows := await self._fetch(cursor):
            yield [_joined(tuple(row)) for row in rows] if table.name == REMOVALS.name else [*map(tuple, rows)]

    async def _fetch(self, cursor: Any) -> list[asyncpg.Record]:
        with explained(self._url):
            rows: list[asyncpg.Record] = await cursor.fetch(PAGE_ROWS)
            return rows

    async def put(self, table: Table, rows: list[Row]) -> None:
        columns, records = table.columns, rows
        if table.name == REMOVALS.name:
            columns, records = (*columns, "phase"), [(*_split(row), END) for row in rows]
        with explained(self._url):
            await self._connection.copy_records_to_table(table.name, records=records, columns=columns)

    async def last_event(self) -> int:
        with explained(self._url):
            return await reading.last_event(self._connection)

    async def finish(self, last_event: int) -> None:
        """Note the last numbers, from which the next writer goes on, and take the mark away."""
        with explained(self._url):
            await _note_numbers(self._connection, last_event)
            await self._connection.execute("DELETE FROM meta WHERE name = $1", UNFINISHED_MOVE)

    async def term(self) -> int:
        """The term of the process that has the right to write."""
        with explained(self._url):
            return int(await self._connection.fetchval("SELECT term FROM writer"))

    async def secrets(self, names: Sequence[str]) -> dict[str, str]:
        """The secrets of the fleet among these that the database holds."""
        with explained(self._url):
            rows = await self._connection.fetch("SELECT name, value FROM meta WHERE name = ANY($1::text[])", names)
        return {row[0]: row[1] for row in rows}

    async def put_secrets(self, secrets: Mapping[str, str]) -> None:
        """Give the secrets to the fleet: a process with an empty data folder takes them from here."""
        with explained(self._url):
            await self._connection.executemany("INSERT INTO meta (name, value) VALUES ($1, $2)", [*secrets.items()])


async def _note_numbers(connection: asyncpg.Connection, last_event: int) -> None:
    """Add a commit with the last numbers, and let new witnesses have higher numbers than those that are there."""
    await connection.execute(
        "INSERT INTO commits (no, term, record, label, event) "
        "SELECT max(no) + 1, (SELECT term FROM writer), (SELECT coalesce(max(no), 0) FROM records), "
        "(SELECT coalesce(max(no), 0) FROM labels), $1 FROM commits",
        last_event,
    )
    await connection.execute(
        "SELECT setval(pg_get_serial_sequence('witnesses', 'no'), max(no)) FROM witnesses HAVING count(*) > 0"
    )


_IDS: Final = REMOVALS.columns.index("ids")


def _joined(row: Row) -> Row:
    """A removal with its ids in one value."""
    return (*row[:_IDS], b"".join(row[_IDS]), *row[_IDS + 1 :])


def _split(row: Row) -> Row:
    ids = row[_IDS]
    return (
        *row[:_IDS],
        [ids[begin : begin + _ID_BYTES] for begin in range(0, len(ids), _ID_BYTES)],
        *row[_IDS + 1 :],
    )


@asynccontextmanager
async def open_rows(url: str) -> AsyncIterator[PostgresRows]:
    """The rows of this database, which is of the newest version, at one moment.

    Raises:
        StoreError: the database cannot be read.
    """
    connection = await connect(url)
    try:
        with explained(url):
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            await connection.execute(_NO_LIMITS)
        yield PostgresRows(url, connection)
    finally:
        await connection.close()


@asynccontextmanager
async def new_database(url: str, epoch: str, holder: str) -> AsyncIterator[PostgresRows]:
    """A new store, which is there when the block ends. It keeps other writers out meanwhile, which `holder` tells them.

    Raises:
        StoreError: a node writes to the database, it has a store already, or it cannot be written.
    """
    connection = await connect(url, SILENCE)
    try:
        with explained(url):
            await migrate(connection)
            if not await take_lock(connection):
                raise another_writer(await holder_of(connection))
            await begin_term(connection, holder, is_move=True)
            await _check_empty(connection, url)
            await _mark(connection, epoch)
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(_NO_LIMITS)
        yield PostgresRows(url, connection)
        with explained(url):
            await transaction.commit()
    finally:
        await connection.close()  # without a commit before, the server forgets everything


async def _check_empty(connection: asyncpg.Connection, url: str) -> None:
    counts = {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in _FILLED}
    filled = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if filled:
        remedy = "name an empty database, or another schema by `?search_path=NAME` in the URL"
        raise StoreError(f"{place_of(url)} has a store already: {filled}", remedy)


async def _mark(connection: asyncpg.Connection, epoch: str) -> None:
    """Mark the store as unfinished, and give it another epoch."""
    await connection.executemany(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [(UNFINISHED_MOVE, "yes"), ("epoch", epoch)],
    )


async def replace_derived(url: str, term: int, rows: Rows) -> None:
    """Replace what is derived from bodies by these rows of another store with the same bodies, in one transaction.

    Rows are deleted and not truncated, so that processes that follow can read meanwhile.

    Raises:
        StoreError: another process has taken the right to write since this `term`, or the database cannot be written.
    """
    connection = await connect(url, SILENCE)
    try:
        with explained(url):
            async with connection.transaction():
                await connection.execute(_NO_LIMITS)
                if await connection.fetchval("SELECT term FROM writer FOR SHARE") != term:
                    raise StoreError("another node writes to this database now", "stop all nodes, and run it again")
                await _replace(connection, PostgresRows(url, connection), rows)
                await _note_numbers(connection, await rows.last_event())
    finally:
        await connection.close()


async def _replace(connection: asyncpg.Connection, ours: PostgresRows, rows: Rows) -> None:
    for table in DERIVED:
        await connection.execute(f"DELETE FROM {table.name}")
        async for page in rows.pages(table):
            await ours.put(table, page)
    await connection.execute(
        "CREATE TEMP TABLE rebuilt (id bytea, label bigint, timestamp bigint, verdict smallint) ON COMMIT DROP"
    )
    async for page in rows.pages(JUDGED):
        await connection.copy_records_to_table("rebuilt", records=page, columns=JUDGED.columns)
    await connection.execute(
        "UPDATE records SET label = rebuilt.label, timestamp = rebuilt.timestamp, verdict = rebuilt.verdict "
        "FROM rebuilt WHERE records.id = rebuilt.id AND (records.label, records.timestamp, records.verdict) "
        "<> (rebuilt.label, rebuilt.timestamp, rebuilt.verdict)"
    )
