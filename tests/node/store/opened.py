"""Stores that are closed at the end of a block."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from node.store.contract import Store
from node.store.postgresql import PostgresStore
from node.store.sqlite import SqliteStore

_Store = TypeVar("_Store", bound=Store)


def sqlite(path: Path) -> AbstractAsyncContextManager[SqliteStore]:
    return _until_the_end(SqliteStore.open(path))


def postgresql(url: str, holder: str = "a node") -> AbstractAsyncContextManager[PostgresStore]:
    return _until_the_end(PostgresStore.open(url, holder=holder, readers=1))


@asynccontextmanager
async def _until_the_end(opening: Awaitable[_Store]) -> AsyncIterator[_Store]:
    store = await opening
    try:
        yield store
    finally:
        await store.close()
