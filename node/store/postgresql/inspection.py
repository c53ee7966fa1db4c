"""Inspection: reads a database and checks it for damage, without changing it, while a node runs or not.

The tables have no foreign keys, because only the writer writes and keeps what they would check. So the checks are made
here, and besides every body is hashed again: a server without data checksums does not notice a broken disk.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg
import msgspec

from node.store.contract import StoreError
from node.store.inspection import DomainSummaries, Inspection
from node.store.postgresql import reading, removing
from node.store.postgresql.schema import MIGRATIONS, version_of
from node.store.postgresql.session import connect, explained, place_of

_T = TypeVar("_T")

_REFERENCES: Final = (
    ("records", "label", "labels"),
    ("events", "record", "records"),
    ("labels", "head", "records"),
    ("labels", "newest", "records"),
    ("labels", "final", "records"),
    ("former_keys", "label", "labels"),
    ("erasures", "record", "records"),
    ("erasures", "removal", "removals"),
    ("receipts", "record", "records"),
    ("testimony", "record", "records"),
)
"""Table and column that hold the `no` of a row of another table, or nothing."""

_LOOSE: Final = """
    SELECT count(*) FROM {table} WHERE {column} IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM {other} WHERE {other}.no = {table}.{column})
"""
_CHANGED: Final = """
    SELECT count(*) FROM records WHERE sha256(body) <> id AND NOT EXISTS (SELECT 1 FROM erasures WHERE record = no)
"""
_SUMS: Final = """
    SELECT (SELECT coalesce(sum(records), 0) FROM usage), (SELECT count(*) FROM records)
    WHERE NOT EXISTS (SELECT 1 FROM removals WHERE NOT done)
"""


class Durability(msgspec.Struct, frozen=True):
    """What the server does for a commit: its settings, and how many synchronous replicas are connected."""

    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    replicas: int


def inspect(url: str) -> Inspection:
    """The database's version, peers and cursors. Raises: StoreError: it cannot be read, or holds no store."""
    return asyncio.run(_read(url, _inspect))


async def _inspect(connection: asyncpg.Connection) -> Inspection:
    version, known = await version_of(connection), len(MIGRATIONS)
    if version != known:
        return Inspection(version, known, [], [])
    peers, cursors = await reading.peers(connection), await reading.cursors(connection)
    return Inspection(version, known, peers, cursors, await removing.unfinished(connection))


def faults(url: str) -> list[str]:
    """What is wrong with the rows; empty if nothing is. Reads all of them.

    Raises:
        StoreError: the database cannot be read.
    """
    return asyncio.run(_read(url, _faults))


async def _faults(connection: asyncpg.Connection) -> list[str]:
    found = []
    for table, column, other in _REFERENCES:
        count = await connection.fetchval(_LOOSE.format(table=table, column=column, other=other))
        if count:
            found.append(f"{count} rows of {table} name one of {other} that is missing ({column})")
    changed = await connection.fetchval(_CHANGED)
    if changed:
        found.append(f"{changed} bodies differ from what was signed")
    for counted, records in await connection.fetch(_SUMS):
        if counted != records:
            found.append(f"{records} records are counted as {counted} by key")
    return found


def durability(url: str) -> Durability:
    """What a commit means on this server. Raises: StoreError: it cannot be asked."""
    return asyncio.run(_read(url, _durability))


async def _durability(connection: asyncpg.Connection) -> Durability:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    fsync, full_pages, commit = [await connection.fetchval(f"SHOW {name}") for name in names]
    # Only a member of pg_monitor sees more than that there are replicas: `sync_state` is NULL then.
    replicas = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
    )
    return Durability(fsync == "on", full_pages == "on", str(commit), int(replicas))


def summaries(url: str) -> dict[str, tuple[int, str]]:
    """The count and the fingerprint of each domain. Raises: StoreError: the database cannot be read."""
    return asyncio.run(_read(url, _summaries))


async def _summaries(connection: asyncpg.Connection) -> dict[str, tuple[int, str]]:
    found = DomainSummaries()
    last, page = await reading.keys(connection, 0)
    while page:
        found.add(page)
        last, page = await reading.keys(connection, last)
    return found.by_domain()


def terms(url: str) -> list[int]:
    """The terms of the commits, oldest first, each named once for each run of commits. They rise if no two writers ever
    wrote at once.

    Raises:
        StoreError: the database cannot be read.
    """
    return asyncio.run(_read(url, _terms))


async def _terms(connection: asyncpg.Connection) -> list[int]:
    found = [row[0] for row in await connection.fetch("SELECT term FROM commits WHERE no > 0 ORDER BY no")]
    return [term for place, term in enumerate(found) if place == 0 or found[place - 1] != term]


async def _read(url: str, work: Callable[[asyncpg.Connection], Awaitable[_T]]) -> _T:
    """Do this work in a session of its own, which sees one moment and may take any time."""
    connection = await connect(url)
    try:
        with explained(url):
            if await version_of(connection) == 0:
                raise StoreError(f"{place_of(url)} has no store of a node", "name the database in which a node ran")
            await connection.execute("SET statement_timeout = 0")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(connection)
    finally:
        await connection.close()
