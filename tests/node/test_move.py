"""A store moves to another kind of store with everything that it holds, and a move that fails leaves no store."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from node import move
from node.removal.completion import complete_all
from node.store.contract import Cursor, Peer, Store, StoreError
from node.store.moving import EVENTS, RECORDS, TABLES, NewRows, Row, Rows, Table
from node.store.postgresql import PostgresStore
from node.store.removals import RemovalKind, Target
from node.store.sqlite import SqliteStore, rebuilding
from node.store.sqlite.moving import open_rows
from protocol.records.named_keys import FEW_KEYS
from protocol.records.replay import EMPTY
from protocol.signing import SigningKey
from tests.history import ALICE, NOWHERE
from tests.node.store.opened import postgresql, sqlite
from tests.node.store.postgresql.comparing import everything, random_batches
from tests.node.store.store_batches import batch_of, claim, key_of
from tests.node.store.store_contract_witnesses import ALL as OF_WITNESSES
from tests.node.store.store_contract_witnesses import kept

SchemaUrl = Callable[[str], str]

SEED = 7
TIMEOUT_S = 120
OF_THE_WRITER = "locktype = 'advisory' AND objid::bigint = hashtext(current_schema())::bigint & 4294967295"
DNARC = str(Path(sys.executable).with_name("dnarc"))
FILE = "dnarc.db"


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """A folder whose store holds something in every table."""
    folder = tmp_path / "filled"
    folder.mkdir()
    async with sqlite(folder / FILE) as store:
        await fill(store)
    return folder


async def fill(store: Store) -> None:
    for batch in random_batches(Random(SEED)):
        await store.commit(batch)
    await kept(store, *OF_WITNESSES)
    await name_many_keys(store)
    await store.commit(batch_of([claim("gone", domain="dropped"), claim("gone too", domain="dropped")]))
    await store.put_peer(Peer(url="https://peer", push=True, accept=False, key=ALICE.public))
    await store.put_peer(Peer(key=ALICE.public, accept=True))
    await store.put_cursors([Cursor("https://peer", "a", "push", 7), Cursor("https://peer", "b", "pull", 8)])
    for kind, target in (
        (RemovalKind.ERASE, Target(domain="a", label="garden")),
        (RemovalKind.ERASE, Target(ids=(NOWHERE, OF_WITNESSES[1].record.id))),
        (RemovalKind.DROP, Target(domain="dropped")),
    ):
        await store.removals.begin(kind, target, "op", "because", 1_700_000_000)
        await complete_all(store)


async def name_many_keys(store: Store) -> None:
    """More keys than the row of a label holds."""
    state = EMPTY
    for number in range(2 * FEW_KEYS):
        record = claim("wanted", at=number + 1, newowner=SigningKey(b"%032d" % number).public)
        batch = batch_of([record], {key_of(record.record): state})
        await store.commit(batch)
        state = batch.states[key_of(record.record)]


async def content(rows: Rows) -> dict[str, list[Row]]:
    """All rows of all tables."""
    return {table.name: sorted([row async for page in rows.pages(table) for row in page], key=repr) for table in TABLES}


async def content_of(folder: Path) -> dict[str, list[Row]]:
    with open_rows(folder / FILE) as rows:
        return await content(rows)


async def copy(
    source: AbstractAsyncContextManager[Rows], target: AbstractAsyncContextManager[NewRows]
) -> tuple[move.Moved, int]:
    """Move, and count the steps of the progress bar that are left at the end."""
    left = 0

    def begin(rows: int) -> move.Advance:
        nonlocal left
        left = rows
        return advance

    def advance(rows: int) -> None:
        nonlocal left
        left -= rows

    async with source as old, target as new:
        moved = await move.move(old, new, begin)
    return moved, left


async def test_a_store_moves_to_a_database_and_back_without_a_difference(
    filled: Path, tmp_path: Path, schema_url: SchemaUrl
) -> None:
    back = tmp_path / "back"
    back.mkdir()

    there = await copy(move.rows_of_folder(filled), move.new_database(schema_url("one")))
    here = await copy(move.rows_of_database(schema_url("one")), move.new_folder(back))

    before = await content_of(filled)
    assert all(before[table.name] for table in TABLES), "every table has rows, so none is forgotten"
    assert await content_of(back) == before
    assert there == here
    assert there[0].counts == {name: len(rows) for name, rows in before.items()}
    assert there[1] == 0
    assert rebuilding.rebuild(back / FILE, lambda _: None, is_check=True).is_equal


async def test_a_moved_store_answers_as_the_old_one_but_for_its_epoch(filled: Path, schema_url: SchemaUrl) -> None:
    await copy(move.rows_of_folder(filled), move.new_database(schema_url("one")))

    async with sqlite(filled / FILE) as old, postgresql(schema_url("one")) as new:
        assert await answers(new) == await answers(old)
        assert new.epoch != old.epoch
        more = batch_of([claim("more", at=9)])
        assert await new.commit(more) == await old.commit(more)
        assert await answers(new) == await answers(old)


async def answers(store: Store) -> dict[str, Any]:
    """All that the store says, with what `everything` leaves out."""
    ids = [each.record.id for each in OF_WITNESSES]
    return await everything(store) | {
        "peers": await store.peers(),
        "cursors": sorted(await store.cursors(), key=repr),
        "usage": (await store.domain_usage(), await store.key_usage([ALICE.public])),
        "removals": [(it.number, it.kind, it.target, it.is_done) for it in await store.removals.list(None, 9)],
        "erasures": await store.removals.erasures(ids),
        "dropped": await store.removals.dropped(),
        "witnessed": await store.overview(OF_WITNESSES[0].record.domain),
    }


async def test_a_target_that_is_not_empty_is_refused(filled: Path, tmp_path: Path, schema_url: SchemaUrl) -> None:
    async with postgresql(schema_url("one")) as store:
        await store.put_peer(Peer(url="https://peer"))
    for target, words in (
        (move.new_database(schema_url("one")), "has a store already: 1 peers"),
        (move.new_folder(filled), f"{FILE} exists already"),
    ):
        with pytest.raises(StoreError, match=words):
            await copy(move.rows_of_folder(filled), target)


async def test_a_database_that_a_node_writes_to_is_no_source_and_no_target(
    filled: Path, tmp_path: Path, schema_url: SchemaUrl
) -> None:
    async with postgresql(schema_url("one")):
        for source, target in (
            (move.rows_of_folder(filled), move.new_database(schema_url("one"))),
            (move.rows_of_database(schema_url("one")), move.new_folder(tmp_path / "new")),
        ):
            with pytest.raises(StoreError, match="another node writes to this database"):
                await copy(source, target)


class InterruptedMoveError(Exception):
    """What ends a move in the middle."""


class Interrupting:
    """The rows of another store, which end after a table."""

    def __init__(self, rows: Rows, after: Table) -> None:
        self._rows = rows
        self._after = after

    async def count(self, table: Table) -> int:
        return await self._rows.count(table)

    async def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        async for page in self._rows.pages(table):
            yield page
        if table == self._after:
            raise InterruptedMoveError

    async def last_event(self) -> int:
        return await self._rows.last_event()


async def interrupt(filled: Path, target: AbstractAsyncContextManager[NewRows]) -> None:
    with pytest.raises(InterruptedMoveError):
        async with move.rows_of_folder(filled) as old, target as new:
            await move.move(Interrupting(old, EVENTS), new, lambda _: lambda _: None)


async def test_a_move_to_a_database_that_ends_in_the_middle_leaves_no_store_and_can_be_run_again(
    filled: Path, schema_url: SchemaUrl
) -> None:
    url = schema_url("one")

    await interrupt(filled, move.new_database(url))

    with pytest.raises(StoreError, match="a move into this database was not finished"):
        await PostgresStore.open(url)
    await copy(move.rows_of_folder(filled), move.new_database(url))
    async with postgresql(url) as store:
        assert [peer.url for peer in await store.peers()] == [None, "https://peer"]


async def test_a_move_that_is_killed_leaves_no_store_and_can_be_run_again(filled: Path, schema_url: SchemaUrl) -> None:
    """A process is killed while it waits for a lock on a table that it has to fill."""
    url = schema_url("one")
    async with postgresql(url):
        pass  # so that the table is there to be locked
    async with shell_of(url) as shell:
        async with shell.transaction():
            await shell.execute("LOCK TABLE events")
            process = await asyncio.create_subprocess_exec(
                DNARC, "move", "--data", str(filled), "--to", url, stderr=asyncio.subprocess.DEVNULL
            )
            await until(shell, "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass")
            process.kill()
            await process.wait()
        await until(shell, f"SELECT count(*) = 0 FROM pg_locks WHERE {OF_THE_WRITER}")

    with pytest.raises(StoreError, match="a move into this database was not finished"):
        await PostgresStore.open(url)
    await copy(move.rows_of_folder(filled), move.new_database(url))
    async with postgresql(url) as store:
        assert await store.last_event() > 0


@asynccontextmanager
async def shell_of(url: str) -> AsyncIterator[asyncpg.Connection]:
    """What a person has who runs `psql`. It is closed in any case, so that its locks hold up nobody."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def until(shell: asyncpg.Connection, sql: str) -> None:
    """Ask again and again, with pauses that the server makes."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await shell.fetchval(sql):
            await shell.execute("SELECT pg_sleep(0.02)")


async def test_a_move_to_a_folder_that_ends_in_the_middle_leaves_no_store_and_can_be_run_again(
    filled: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"

    await interrupt(filled, move.new_folder(new))

    with pytest.raises(StoreError, match=r"a move into .* was not finished"):
        await SqliteStore.open(new / FILE)
    assert not (new / FILE).exists()
    await copy(move.rows_of_folder(filled), move.new_folder(new))
    assert await content_of(new) == await content_of(filled)


class Lossy:
    """A new store that changes the records which it should keep, as a faulty disk might."""

    def __init__(self, rows: NewRows, change: Callable[[list[Row]], list[Row]]) -> None:
        self._rows = rows
        self._change = change
        self.count, self.pages, self.last_event, self.finish = rows.count, rows.pages, rows.last_event, rows.finish

    async def put(self, table: Table, rows: list[Row]) -> None:
        await self._rows.put(table, self._change(rows) if table == RECORDS else rows)


LOSSES: list[tuple[Callable[[list[Row]], list[Row]], str]] = [
    (lambda rows: rows[1:], r"the copy differs: \d+ of \d+ records"),
    (lambda rows: [(*row[:5], 3, *row[6:]) for row in rows], "the copy differs: ids or verdicts of records"),
]


@pytest.mark.parametrize(("change", "words"), LOSSES)
async def test_a_copy_that_differs_is_no_store(
    filled: Path, tmp_path: Path, change: Callable[[list[Row]], list[Row]], words: str
) -> None:
    new = tmp_path / "new"

    with pytest.raises(StoreError, match=words):
        async with move.rows_of_folder(filled) as rows, move.new_folder(new) as target:
            await move.move(rows, Lossy(target, change), lambda _: lambda _: None)

    assert not (new / FILE).exists()
