"""Move: all that a store holds, into a store of another kind. No node may use either store meanwhile.

Records keep their first signature, their verdict and the time at which they came. Events keep their numbers, and what
was erased or dropped stays so. Only the epoch is new, because the old store may live on: so clients cannot go on with
a position in a stream of the old store, which is answered with 410.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from node.backup import SECRETS
from node.disk import LocalDisk, postgres_store
from node.removal.completion import complete_all
from node.store.contract import Store, StoreError
from node.store.moving import TABLES, VERDICTS, NewRows, Rows
from node.store.sqlite import SqliteStore
from node.store.sqlite import moving as sqlite_moving
from protocol.signing import SEED_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.store.postgresql.moving import PostgresRows

Advance = Callable[[int], None]
"""Takes how many more rows are done."""

Begin = Callable[[int], Advance]
"""Takes how many rows there are to do."""

_DATABASE: Final = "dnarc.db"
_EPOCH_BYTES: Final = 16


class Moved(msgspec.Struct, frozen=True):
    """What a move did: how many rows each table has, and a digest over the ids and verdicts of all records."""

    counts: dict[str, int]
    digest: str


@asynccontextmanager
async def rows_of_folder(data: Path) -> AsyncIterator[Rows]:
    """What the store in this data folder holds. The caller keeps nodes out of the folder.

    Raises:
        StoreError: the store cannot be read.
    """
    store = await SqliteStore.open(data / _DATABASE)
    try:
        await _complete(store)
    finally:
        await store.close()
    with sqlite_moving.open_rows(data / _DATABASE) as rows:
        yield rows


@asynccontextmanager
async def new_folder(data: Path) -> AsyncIterator[NewRows]:
    """A new store in this data folder, which is there when the block ends. The caller keeps nodes out of the folder.

    Raises:
        StoreError: the folder has a store, or cannot be written.
    """
    with sqlite_moving.new_file(data / _DATABASE, secrets.token_hex(_EPOCH_BYTES)) as rows:
        yield rows


@asynccontextmanager
async def rows_of_database(url: str) -> AsyncIterator["PostgresRows"]:
    """What the store in this database holds. Keeps writers out of the database while the block runs.

    Raises:
        CannotStartError: the driver is not installed.
        StoreError: a node writes to the database, or it cannot be read.
    """
    store = await postgres_store().open(url, holder="dnarc move")
    try:
        await _complete(store)
        from node.store.postgresql import moving

        async with moving.open_rows(url) as rows:
            yield rows
    finally:
        await store.close()


@asynccontextmanager
async def new_database(url: str) -> AsyncIterator["PostgresRows"]:
    """A new store in this database, which is there when the block ends.

    Raises:
        CannotStartError: the driver is not installed.
        StoreError: a node writes to the database, it has a store already, or it cannot be written.
    """
    postgres_store()
    from node.store.postgresql import moving

    async with moving.new_database(url, secrets.token_hex(_EPOCH_BYTES), "dnarc move") as rows:
        yield rows


async def give_secrets(data: Path, database: "PostgresRows") -> None:
    """Put the node's key and its admin token into a new database, so that all processes of a fleet are one node."""
    secrets_ = {name: LocalDisk().secret(data / name, SEED_BYTES, secrets.token_bytes) for name in SECRETS}
    await database.put_secrets(secrets_)


async def take_secrets(database: "PostgresRows", data: Path) -> None:
    """Take the node's key and its admin token out of the database, where it has them.

    Raises:
        StoreError: the folder has others.
    """
    for name, text in (await database.secrets(SECRETS)).items():
        _take_secret(data / name, text)


def _take_secret(path: Path, text: str) -> None:
    secret = bytes.fromhex(text)
    if LocalDisk().secret(path, len(secret), lambda _: secret) != text:
        raise StoreError(f"{path} differs from that of the database", "name another folder, or move the file away")


async def _complete(store: Store) -> None:
    """Finish removals that were begun, so that nothing that should be erased is moved.

    Raises:
        StoreError: the disk is too full for that.
    """
    await complete_all(store)
    if await store.removals.unfinished():
        raise StoreError("a removal cannot be finished", "make room for twice the size of dnarc.db, and try again")


async def move(source: Rows, target: NewRows, begin: Begin) -> Moved:
    """Copy everything, and compare both stores then.

    Raises:
        StoreError: the stores differ.
    """
    counts = {table.name: await source.count(table) for table in TABLES}
    advance = begin(sum(counts.values()) + 2 * counts[VERDICTS.name])
    for table in TABLES:
        async for rows in source.pages(table):
            await target.put(table, rows)
            advance(len(rows))
    digest = await _digest(source, advance)
    moved = {table.name: await target.count(table) for table in TABLES}
    if (moved, await _digest(target, advance)) != (counts, digest):
        raise StoreError(f"the copy differs: {_differences(counts, moved)}", "the source is as it was: try again")
    await target.finish(await source.last_event())
    return Moved(counts, digest)


async def _digest(rows: Rows, advance: Advance) -> str:
    """SHA-256 over the id (32 bytes) and the verdict (1 byte) of each record, in the order in which they came."""
    digest = hashlib.sha256()
    async for page in rows.pages(VERDICTS):
        for record_id, verdict in page:
            digest.update(record_id)
            digest.update(bytes([verdict]))
        advance(len(page))
    return digest.hexdigest()


def _differences(counts: "Mapping[str, int]", moved: "Mapping[str, int]") -> str:
    differing = [f"{moved[name]} of {count} {name}" for name, count in counts.items() if moved[name] != count]
    return ", ".join(differing) or "ids or verdicts of records"
