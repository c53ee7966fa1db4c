"""What is found about a PostgreSQL database."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from node.checkup.database import check_database
from node.checkup.finding import Finding, Level
from node.store.contract import Cursor, Peer
from node.store.postgresql import PostgresStore
from tests.node.store.store_batches import batch_of, claim

SchemaUrl = Callable[[str], str]

NOW = 1_000_000.0
NUMBERS = {"max_skew": 300.0}


@pytest.fixture
async def url(schema_url: SchemaUrl) -> str:
    """A database with a record, a peer and a cursor, on which no node runs."""
    store = await PostgresStore.open(schema_url("one"))
    await store.commit(batch_of([claim()]))
    await store.put_peer(Peer(url="http://user:secret@peer.example", push=True))
    await store.put_cursors([Cursor("http://user:secret@peer.example", "example", "push", int(NOW))])
    await store.close()
    return schema_url("one")


def unwell(found: list[Finding]) -> dict[str, Level]:
    return {finding.check: finding.level for finding in found if finding.level is not Level.OK}


def shell(url: str, sql: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(execute())


def test_all_findings_about_a_nodes_own_database_are_ok(url: str) -> None:
    found = check_database(url, NUMBERS, NOW)

    assert [finding.check for finding in found] == [
        "database.version",
        "database.durability",
        "database.integrity",
        "cursors",
    ]
    assert unwell(found) == {}


_REMOVAL = "INSERT INTO removals (no, kind, ids, by, reason, time, through, phase) VALUES"

FAULTS = [
    ("UPDATE records SET body = '{}'", {"database.integrity": Level.FAIL}, "1 bodies differ from what was signed"),
    ("DELETE FROM records", {"database.integrity": Level.FAIL}, "1 rows of labels name one of records that is missing"),
    ("DELETE FROM usage", {"database.integrity": Level.FAIL}, "1 records are counted as 0 by key"),
    ("UPDATE meta SET value = '999' WHERE name = 'version'", {"database.version": Level.FAIL}, "a newer dnarc wrote"),
    ("UPDATE cursors SET timestamp = 9000000", {"cursors": Level.FAIL}, "user:***@peer.example is 8000000 s ahead"),
    (
        f"{_REMOVAL} (1, 'erase', '{{}}', '', '', 1, 1, 0)",
        {"removals": Level.WARN},
        "1 removals are not finished",
    ),
]


@pytest.mark.parametrize(("sql", "levels", "words"), FAULTS)
def test_a_fault_is_found(url: str, sql: str, levels: dict[str, Level], words: str) -> None:
    shell(url, sql)

    found = check_database(url, NUMBERS, NOW)

    assert unwell(found) == levels
    assert words in str(found)
    assert "secret" not in str(found)


def test_a_server_that_may_lose_claims_fails(url: str) -> None:
    found = check_database(f"{url}&synchronous_commit=off", NUMBERS, NOW)

    assert unwell(found) == {"database.durability": Level.FAIL}
    assert "a power cut of the server may lose claims that were answered with 201" in str(found)


def test_a_database_without_a_store_fails(schema_url: SchemaUrl) -> None:
    found = check_database(schema_url("another"), NUMBERS, NOW)

    assert unwell(found) == {"database": Level.FAIL}
    assert "has no store of a node" in str(found)


def test_a_server_that_does_not_answer_fails() -> None:
    assert unwell(check_database("postgresql://127.0.0.1:9/none", NUMBERS, NOW)) == {"database": Level.FAIL}
