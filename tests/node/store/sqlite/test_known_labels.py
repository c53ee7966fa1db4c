"""The filter of labels: it never denies a label that the database has, whatever happened before."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from node.store.contract import LabelKey
from node.store.sqlite import SqliteStore
from node.store.sqlite.known_labels import KnownLabels
from node.store.sqlite.schema import migrate
from tests.node.store.opened import sqlite
from tests.node.store.store_batches import batch_of, claim


def labels(count: int, prefix: str = "label") -> list[LabelKey]:
    return [("test", f"{prefix}-{number}") for number in range(count)]


def database(of: list[LabelKey]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    migrate(connection)
    connection.executemany("INSERT INTO labels (domain, label, newest, contested, former) VALUES (?, ?, 1, 0, '')", of)
    return connection


def test_the_filter_has_all_labels_of_the_database_and_denies_most_others() -> None:
    held, known = labels(1_000), KnownLabels(labels_min=2_000)
    with closing(database(held)) as connection:
        known.load(connection, 1_001)

    assert known.is_complete
    assert known.among(held) == held
    assert len(known.among(labels(1_000, "other"))) < 50


def test_until_all_labels_are_read_the_filter_denies_nothing() -> None:
    held, known = labels(3), KnownLabels()
    with closing(database(held)) as connection:
        known.load(connection, 2)
        before = known.is_complete, known.among([("test", "other")])
        known.load(connection, 2)

    assert before == (False, [("test", "other")])
    assert known.is_complete
    assert known.among(held) == held


def test_labels_that_are_committed_while_others_are_read_are_in_the_filter() -> None:
    held, known = labels(3), KnownLabels()
    with closing(database(held)) as connection:
        known.load(connection, 2)
        known.add([("test", "new")])
        known.load(connection, 2)

    assert known.among([*held, ("test", "new")]) == [*held, ("test", "new")]


def test_one_label_past_its_room_the_filter_denies_nothing_until_it_is_larger() -> None:
    held, known = labels(10), KnownLabels(labels_min=10)
    with closing(database(held[:5])) as connection:
        known.load(connection, 100)
        known.add(held[5:])
        was_complete = known.is_complete
        known.add([("test", "new")])
        while_full = known.is_complete, known.among([("test", "other")])
    with closing(database([*held, ("test", "new")])) as connection:
        known.load(connection, 100)

    assert was_complete
    assert while_full == (False, [("test", "other")])
    assert known.is_complete
    assert known.among([*held, ("test", "new")]) == [*held, ("test", "new")]


async def states_of(store: SqliteStore, *names: str) -> set[str]:
    found = await store.states([("test", name) for name in names])
    return {label for _, label in found}


async def test_a_store_finds_the_labels_that_it_committed_and_those_of_an_earlier_process(tmp_path: Path) -> None:
    async with sqlite(tmp_path / "dnarc.db") as store:
        await store.commit(batch_of([claim("garden"), claim("tower")]))
        found = await states_of(store, "garden", "mill")
    async with sqlite(tmp_path / "dnarc.db") as store:
        found_later = await states_of(store, "garden", "mill", "tower")

    assert (found, found_later) == ({"garden"}, {"garden", "tower"})


async def test_a_store_with_many_labels_reads_them_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "dnarc.db"
    async with sqlite(path) as store:
        await store.commit(batch_of([claim("garden"), claim("tower")]))
    store = await SqliteStore.open(path, labels_at_open=1)
    at_first = store._known_labels.is_complete, await states_of(store, "garden", "mill", "tower")
    await asyncio.gather(*store._tasks)
    later = store._known_labels.is_complete, await states_of(store, "garden", "mill", "tower")
    await store.close()

    assert at_first == (False, {"garden", "tower"})
    assert later == (True, {"garden", "tower"})
