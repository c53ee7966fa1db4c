"""Cursors of a link reach the store, but never ahead of the clock and never for a peer that is not listed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.links.cursors import LinkCursors
from node.store.contract import Cursor
from node.store.sqlite import SqliteStore
from node.tasks import Tasks
from protocol.link.orders import PutCursor
from protocol.link.terms import Flow
from tests.history import DOMAIN

PEER = "ws://one:1"
NOW_S = 1_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "dnarc.db")
    yield opened
    await opened.close()


async def saved(store: SqliteStore, *timestamps: int, listed_name: str | None = PEER) -> list[Cursor]:
    """What the store holds after a link moved its cursor to these timestamps and saved it."""
    tasks = Tasks(on_failure=lambda _: None)
    cursors = LinkCursors(store, lambda: NOW_S + 0.5, lambda: listed_name, tasks)
    for timestamp in timestamps:
        cursors.put(PutCursor(DOMAIN, Flow.PULL, timestamp))
    await cursors.save()
    await tasks.close()
    return await store.cursors()


async def test_the_last_move_of_a_cursor_is_stored(store: SqliteStore) -> None:
    assert await saved(store, NOW_S - 2, NOW_S - 1) == [Cursor(PEER, DOMAIN, Flow.PULL, NOW_S - 1)]


async def test_a_cursor_ahead_of_the_clock_is_stored_as_the_time_of_the_clock(store: SqliteStore) -> None:
    """Records that are written before the clock gets there would lie below the cursor and never be asked for."""
    assert await saved(store, NOW_S + 5) == [Cursor(PEER, DOMAIN, Flow.PULL, NOW_S)]


async def test_no_cursor_is_stored_for_a_peer_that_is_not_listed(store: SqliteStore) -> None:
    assert await saved(store, NOW_S - 1, listed_name=None) == []
