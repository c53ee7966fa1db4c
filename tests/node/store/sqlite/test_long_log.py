"""A log that is longer than its content: commits do not lengthen it, and nothing reads the rest as content."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.store.sqlite import SqliteStore
from node.store.sqlite.long_log import LOG_BYTES, fill_log, lengthen
from tests.node.store.opened import sqlite
from tests.node.store.store_batches import batch_of, claim

FULL_BYTES = 1_500_000
"""The full size of logs in these tests."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dnarc.db"


async def fill(store: SqliteStore, path: Path) -> None:
    await fill_log(store._writer, path, lambda: None, idle_s=0, log_bytes=FULL_BYTES)


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


async def labels(store: SqliteStore) -> list[str]:
    return [head.record.label for head in await store.heads("test", None, 0, 100)]


async def test_an_idle_log_gets_its_full_size_and_commits_keep_it(path: Path) -> None:
    """A commit that makes the log longer takes half as long again."""
    async with sqlite(path) as store:
        before = log_of(path).stat().st_size
        await fill(store, path)

        await store.commit(batch_of([claim("garden"), claim("tower")]))

        assert before < FULL_BYTES
        assert log_of(path).stat().st_size == FULL_BYTES
        assert await labels(store) == ["garden", "tower"]


@pytest.mark.parametrize("lost_bytes", [0, 1, 4_096, 500_000])
async def test_after_a_power_cut_a_filled_log_has_every_commit(tmp_path: Path, path: Path, lost_bytes: int) -> None:
    """Of zeros that were not durable yet, a power cut may leave any number."""
    copy = tmp_path / "copy.db"
    async with sqlite(path) as store:
        await store.commit(batch_of([claim("before")]))
        await fill(store, path)
        await store.commit(batch_of([claim("after")]))
        shutil.copy(path, copy)
        shutil.copy(log_of(path), log_of(copy))
    with log_of(copy).open("r+b") as log:
        log.truncate(FULL_BYTES - lost_bytes)

    async with sqlite(copy) as store:
        assert await labels(store) == ["after", "before"]
        await store.commit(batch_of([claim("later")]))

        assert await labels(store) == ["after", "before", "later"]


async def test_a_log_that_began_anew_after_it_was_filled_has_every_commit(tmp_path: Path, path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with sqlite(path) as store:
        await fill(store, path)
        await store.commit(batch_of([claim("first")]))
        await store._writer.run(lambda connection: connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone())
        await store.commit(batch_of([claim("second")]))
        shutil.copy(path, copy)
        shutil.copy(log_of(path), log_of(copy))

    async with sqlite(copy) as store:
        assert await labels(store) == ["first", "second"]


async def test_nothing_is_added_while_another_program_writes(path: Path) -> None:
    """Its frames would be overwritten: both would begin at the end of the log."""
    async with sqlite(path) as store:
        before = log_of(path).stat().st_size
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")

            await fill(store, path)

        assert log_of(path).stat().st_size == before


async def test_a_log_stays_short_on_a_disk_that_is_nearly_full(path: Path) -> None:
    async with sqlite(path) as store:
        before = log_of(path).stat().st_size

        more = await store._writer.run(lengthen, path, LOG_BYTES, free_bytes_min=2**62)

        assert (more, log_of(path).stat().st_size) == (False, before)


async def test_a_store_that_closes_ends_the_filling(path: Path) -> None:
    async with sqlite(path) as store:
        store.fill_log(path, idle_s=60)

    assert not log_of(path).exists()
