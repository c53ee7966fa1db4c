"""The SQLite store: the contract of all stores, and what only this one can get wrong."""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import msgspec
import pytest

from node.fairness.read_cost import READ_COST, ReadCost
from node.store.contract import Batch, Cursor, Peer, Store, StoreError
from node.store.rows import EVENT_TYPES, VERDICTS
from node.store.sqlite import SqliteStore, reading, recalling
from node.store.sqlite.connection import Connection, transaction
from node.store.sqlite.readers import READS_AT_ONCE, Readers
from node.store.sqlite.schema import MIGRATIONS, migrate, version_of
from node.store.sqlite.store import KEYS_FEW, ROWS_FEW
from protocol.records.change import EventType
from protocol.records.named_keys import named_keys
from protocol.records.replay import Verdict
from protocol.witness.domain import WitnessedDomain
from protocol.witness.policy import make_policy
from protocol.witness.recall import Wanted
from tests.history import ALICE, BOB, CAROL, NOWHERE, signed
from tests.history import claim as history_claim
from tests.node.store.opened import sqlite
from tests.node.store.sqlite.older_files import WITHOUT_FOUNDERS, WITHOUT_REMOVALS
from tests.node.store.store_batches import OpenStore, batch_of, claim, offer, stored
from tests.node.store.store_contract import StoreContract
from tests.node.store.store_contract_heads import PAGE
from tests.paths import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dnarc.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with sqlite(path) as store:
        yield store


@pytest.fixture
def shell(path: Path) -> Iterator[sqlite3.Connection]:
    """What a person has who runs `sqlite3 dnarc.db`."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        yield connection


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        def open_store(name: str) -> AbstractAsyncContextManager[Store]:
            return sqlite(tmp_path / f"{name}.db")

        return open_store


def pragma(connection: sqlite3.Connection, name: str) -> object:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


async def test_a_commit_waits_for_the_disk(store: SqliteStore) -> None:
    """FULL is 2: with NORMAL, a power cut takes back what was answered with 201."""
    assert await store._writer.run(pragma, "synchronous") == 2
    assert await store._writer.run(pragma, "journal_mode") == "wal"
    assert await store._writer.run(pragma, "foreign_keys") == 1


async def test_a_label_of_one_key_past_few_is_read_whole_and_not_in_the_thread_of_the_loop(
    store: SqliteStore, shell: sqlite3.Connection
) -> None:
    label, batch = ("test", "garden"), batch_of([claim(at=1)])
    named = named_keys([ALICE.public, *(f"{number:064x}" for number in range(KEYS_FEW))])
    state = msgspec.structs.replace(batch.states[label], named=named)
    await store.commit(Batch(records=batch.records, states={label: state}))

    assert (await store.states([label]))[label] == state
    assert reading.states(shell, [label], KEYS_FEW + 1) == {label: state}
    with pytest.raises(reading.ManyKeysError):
        reading.states(shell, [label], KEYS_FEW)


async def test_a_witnessed_label_of_one_row_past_few_is_read_whole_and_not_in_the_thread_of_the_loop(
    store: SqliteStore, shell: sqlite3.Connection
) -> None:
    domain = WitnessedDomain(f"com.example.{make_policy([CAROL.public], 0).name}")
    records = [signed(history_claim("garden", domain=domain.name, n=number)) for number in range(ROWS_FEW + 1)]
    change = domain.add(each.record for each in records)
    states = {(domain.name, "garden"): change.states["garden"]}
    rows = [stored(each, change.verdicts[each.record.id]) for each in records]
    await store.commit(Batch(records=rows, states=states, walked={domain.name: change}))
    wanted = Wanted(labels={"garden": None})

    assert len((await store.known(domain.name, wanted)).labels["garden"]) == ROWS_FEW + 1
    assert recalling.known(shell, domain.name, wanted, ROWS_FEW + 1) == await store.known(domain.name, wanted)
    with pytest.raises(recalling.ManyRowsError):
        recalling.known(shell, domain.name, wanted, ROWS_FEW)


async def test_a_read_that_finds_too_many_rows_does_not_keep_its_connection_at_that_moment(
    store: SqliteStore, shell: sqlite3.Connection
) -> None:
    """The loop's own connection showed no claim that came later: 404 after 201."""
    shell.isolation_level = None
    await store.commit(batch_of([claim(at=number) for number in range(1, 4)]))

    with pytest.raises(recalling.ManyRowsError) as caught:
        recalling.known(shell, "test", Wanted(labels={"garden": None}), 1)
    await store.commit(batch_of([claim(at=1, label="shed")]))

    assert reading.states(shell, [("test", "shed")]).keys() == {("test", "shed")}
    del caught


async def test_a_reader_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store._readers.run(lambda connection: connection.execute("DELETE FROM records"))


async def test_a_read_of_the_node_does_not_wait_for_all_reads_of_a_stranger(path: Path) -> None:
    """Otherwise a claim would wait for the listings of hundreds of addresses."""
    connection = await Connection.open(path)
    readers, order = Readers([connection]), list[str]()

    def work(_: sqlite3.Connection, name: str) -> None:
        order.append(name)

    async def read_as(address: str | None) -> None:
        if address is not None:
            READ_COST.set(ReadCost(_no_pace, address))
        await readers.run(work, str(address))

    await asyncio.gather(*map(read_as, [*["192.0.2.1"] * 20, None]))
    await connection.close()

    assert order.index("None") == READS_AT_ONCE + 1


async def _no_pace() -> None:
    """No address reads too much here."""


async def test_a_call_runs_in_the_thread_of_its_connection_with_one_trip(path: Path) -> None:
    """`Connection.run` leans on private parts of aiosqlite: this fails where an upgrade changes them."""
    connection = await Connection.open(path)

    def work(raw: sqlite3.Connection, first: int, *, second: int) -> list[tuple[int, int]]:
        return raw.execute("SELECT ?, ?", (first, second)).fetchall()

    assert await connection.run(work, 1, second=2) == [(1, 2)]
    assert connection.waiting == 0
    with pytest.raises(ZeroDivisionError):
        await connection.run(lambda raw: 1 / 0)
    assert connection.waiting == 0
    await connection.close()
    with pytest.raises(ValueError, match=r"closed|no active connection"):
        await connection.run(work, 1, second=2)


def test_a_failed_transaction_is_rolled_back_and_raises_its_error() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")

        def work() -> None:
            with transaction(connection):
                connection.execute("INSERT INTO numbers VALUES (1)")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()

        assert connection.execute("SELECT * FROM numbers").fetchall() == []
        assert not connection.in_transaction


async def test_a_new_file_gets_all_migrations(store: SqliteStore, shell: sqlite3.Connection) -> None:
    assert version_of(shell) == len(MIGRATIONS)


def test_an_old_file_gets_the_migrations_that_it_lacks() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ["CREATE TABLE one (number INTEGER)"])
        connection.execute("INSERT INTO one VALUES (1)")

        migrate(connection, ["CREATE TABLE one (number INTEGER)", "ALTER TABLE one ADD COLUMN name TEXT DEFAULT 'x'"])

        assert version_of(connection) == 2
        assert connection.execute("SELECT * FROM one").fetchall() == [(1, "x")]


def test_a_failed_migration_leaves_the_schema_as_it_was() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nonsense"):
            migrate(connection, ["CREATE TABLE one (number INTEGER)", "CREATE TABLE two (number INTEGER); nonsense"])

        assert version_of(connection) == 1
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("one",)]
        assert not connection.in_transaction


async def test_a_file_of_a_newer_version_is_refused_and_unchanged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with pytest.raises(
        StoreError, match=f"version {len(MIGRATIONS) + 1}, and this program knows {len(MIGRATIONS)} at most"
    ):
        await SqliteStore.open(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_every_verdict_and_event_type_has_a_fixed_number_on_disk() -> None:
    """These stand in files for ever: a change here needs a migration."""
    assert VERDICTS == {
        Verdict.FOUNDED: 10,
        Verdict.UPDATED: 2,
        Verdict.OFFERED: 3,
        Verdict.TRANSFERRED: 4,
        Verdict.ORPHAN: 5,
        Verdict.STALE: 6,
        Verdict.RIVAL: 7,
        Verdict.NOT_OWNER: 8,
        Verdict.PENDING: 9,
    }
    assert set(VERDICTS) == set(Verdict)
    assert EVENT_TYPES == {EventType.ACCEPTED: 1, EventType.REVERTED: 2, EventType.FINAL: 3}
    assert set(EVENT_TYPES) == set(EventType)


@pytest.mark.parametrize("query", reading.HEADS_IN_ORDER.values())
async def test_a_page_of_heads_is_one_range_of_the_index_without_a_sort(
    store: SqliteStore, shell: sqlite3.Connection, query: str
) -> None:
    """Otherwise each page of a million labels would look at all of them."""
    plan = shell.execute(f"EXPLAIN QUERY PLAN {query}", ("",) * query.count("?")).fetchall()

    first, second = [detail for *_, detail in plan]
    assert first.startswith("SEARCH labels USING INDEX sqlite_autoindex_labels_1 (")
    assert second.startswith("SEARCH records USING INTEGER PRIMARY KEY (")


@pytest.mark.parametrize("query", reading.HEADS_BY_TIMESTAMP.values())
async def test_a_few_new_heads_are_found_by_their_timestamps(
    store: SqliteStore, shell: sqlite3.Connection, query: str
) -> None:
    """Otherwise who asks every second what is new would have a million labels looked at every second."""
    plan = shell.execute(f"EXPLAIN QUERY PLAN {query}", ("",) * query.count("?")).fetchall()

    steps = [detail for *_, detail in plan]
    assert "SEARCH labels USING INDEX labels_by_timestamp (timestamp>?)" in steps


@pytest.mark.parametrize("query", reading.HEADS_OF_OWNER.values())
async def test_the_labels_of_an_owner_of_few_are_found_by_the_owner(
    store: SqliteStore, shell: sqlite3.Connection, query: str
) -> None:
    """Otherwise each page of one key's labels would look at the labels of all keys."""
    plan = shell.execute(f"EXPLAIN QUERY PLAN {query}", ("",) * query.count("?")).fetchall()

    steps = [detail for *_, detail in plan]
    assert "SEARCH labels USING INDEX labels_by_owner (<expr>=?)" in steps


@pytest.mark.parametrize("query", reading.HEADS_OF_OWNER_IN_ORDER.values())
async def test_the_labels_of_an_owner_of_many_are_read_in_order(
    store: SqliteStore, shell: sqlite3.Connection, query: str
) -> None:
    plan = shell.execute(f"EXPLAIN QUERY PLAN {query}", ("",) * query.count("?")).fetchall()

    first, *_ = [detail for *_, detail in plan]
    assert first.startswith("SEARCH labels USING INDEX sqlite_autoindex_labels_1 (")


async def test_many_labels_of_an_owner_come_in_the_same_order_as_few(store: SqliteStore) -> None:
    many = sorted((claim(f"{number}") for number in range(reading.HEADS_FEW)), key=lambda head: head.record.label)
    await store.commit(batch_of(many))
    few = await store.heads_of_owner(ALICE.public, "test", ("test", "500"), 0, PAGE)

    await store.commit(batch_of([claim("!"), claim("?", by=BOB)]))

    assert few == await store.heads_of_owner(ALICE.public, "test", ("test", "500"), 0, PAGE)
    assert few == [head for head in many if head.record.label > "500"][:PAGE]
    assert await store.heads_of_owner(ALICE.public, None, None, 0, 2) == [claim("!"), claim("0")]


async def test_a_file_from_before_founders_were_kept_opens_with_all_founders(path: Path) -> None:
    sold = [claim("b", at=1), offer("b", to=BOB, at=2), claim("b", by=BOB, at=3)]
    async with sqlite(path) as store:
        await store.commit(batch_of([claim("a"), *sold, claim("c", by=BOB), claim("orphan", prev=NOWHERE)]))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(WITHOUT_FOUNDERS)

    async with sqlite(path) as store:
        founded = await store.labels_founded([("test", ALICE.public), ("test", BOB.public)])
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT label, founder FROM labels WHERE founder IS NOT NULL").fetchall()

    assert founded == {("test", ALICE.public): 2, ("test", BOB.public): 1}
    assert kept == [("b", bytes.fromhex(ALICE.public))]


async def test_a_file_from_before_owners_were_indexed_opens_with_all_owners(path: Path) -> None:
    heads = [claim("a", by=ALICE), claim("b", by=BOB)]
    async with sqlite(path) as store:
        await store.commit(batch_of([*heads, claim("orphan", prev=NOWHERE)]))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            WITHOUT_REMOVALS + "DROP INDEX labels_by_owner; ALTER TABLE labels DROP COLUMN owner; "
            "ALTER TABLE labels DROP COLUMN final; PRAGMA user_version = 1"
        )

    async with sqlite(path) as store:
        found = [await store.heads_of_owner(key.public, None, None, 0, PAGE) for key in (ALICE, BOB, CAROL)]

    assert found == [[heads[0]], [heads[1]], []]


async def test_labels_with_one_prefix_are_one_range_of_the_index(store: SqliteStore, shell: sqlite3.Connection) -> None:
    """Otherwise who searches while typing would have a million labels looked at for each key pressed."""
    query = reading.HEADS_IN_ORDER["one"]

    plan = shell.execute(f"EXPLAIN QUERY PLAN {query}", ("",) * query.count("?")).fetchall()

    steps = [detail for *_, detail in plan]
    assert "SEARCH labels USING INDEX sqlite_autoindex_labels_1 (domain=? AND label>? AND label<?)" in steps
    assert not [step for step in steps if "TEMP B-TREE" in step]


async def test_many_new_heads_come_in_the_same_order_as_few(store: SqliteStore) -> None:
    many = sorted((claim(f"{number}", at=2) for number in range(reading.HEADS_FEW)), key=lambda head: head.record.label)
    await store.commit(batch_of(many))
    few = await store.heads("test", ("test", "500"), 2, 7)

    await store.commit(batch_of([claim("!", at=2)]))

    assert await store.heads("test", ("test", "500"), 2, 7) == few
    assert [head for head in many if head.record.label > "500"][:7] == few
    assert await store.heads(None, None, 2, 2) == [claim("!", at=2), claim("0", at=2)]
    assert await store.heads(None, None, 3, 2) == []


async def test_all_keys_come_even_if_they_fill_several_pages(path: Path) -> None:
    async with sqlite(path) as store:
        await store.commit(batch_of([claim()]))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executemany(
                "INSERT INTO records (id, label, timestamp, received, verdict, signature, body) "
                "VALUES (?, 1, 1, 1, 1, zeroblob(64), zeroblob(1))",
                ((number.to_bytes(32, "big"),) for number in range(2 * reading.KEYS_PAGE)),
            )

        pages = [len(page) async for _, page in store.keys()]  # noqa: SIM118 - not a dict

    assert pages == [reading.KEYS_PAGE, reading.KEYS_PAGE, 1]


async def test_peers_written_with_the_shell_appear(store: SqliteStore, shell: sqlite3.Connection) -> None:
    shell.execute("INSERT INTO peers (url, push) VALUES ('http://localhost:8081', 1)")
    shell.execute("INSERT INTO peers (url, pull, accept) VALUES ('ws://localhost:8082/', true, false)")
    shell.execute(f"INSERT INTO peers (key) VALUES ('{ALICE.public}')")

    assert await store.peers() == sorted(
        [
            Peer(url="http://localhost:8081", push=True),
            Peer(url="ws://localhost:8082/", pull=True, accept=False),
            Peer(key=ALICE.public),
        ],
        key=lambda peer: peer.name,
    )


async def test_deleting_a_peer_with_the_shell_removes_its_cursors(
    store: SqliteStore, shell: sqlite3.Connection
) -> None:
    await store.put_peer(Peer(url="http://one"))
    await store.put_cursors([Cursor("http://one", "test", "push", 1)])

    shell.execute("DELETE FROM peers")

    assert await store.cursors() == []


@pytest.mark.parametrize(
    "values",
    [
        "(NULL, 0, 0, NULL, NULL)",
        "('', 0, 0, NULL, NULL)",
        "('localhost:8081', 0, 0, NULL, NULL)",
        "('http://', 0, 0, NULL, NULL)",
        "(CAST('http://one' AS BLOB), 0, 0, NULL, NULL)",
        "('http://one', 2, 0, NULL, NULL)",
        "('http://one', NULL, 0, NULL, NULL)",
        "('http://one', 0, 'yes', NULL, NULL)",
        "('http://one', 0, 0, 'no', NULL)",
        "('http://one', 0, 0, NULL, 'abc')",
        f"('http://one', 0, 0, NULL, '{ALICE.public.upper()}')",
        f"(NULL, 0, 0, NULL, CAST('{ALICE.public}' AS BLOB))",
        "('http://known', 0, 0, NULL, NULL)",
        f"(NULL, 0, 0, NULL, '{ALICE.public}')",
    ],
)
async def test_a_row_that_the_node_could_not_use_is_refused_to_the_shell(
    store: SqliteStore, shell: sqlite3.Connection, values: str
) -> None:
    await store.put_peer(Peer(url="http://known"))
    if values.startswith("(NULL, 0, 0, NULL, '"):
        await store.put_peer(Peer(key=ALICE.public))

    with pytest.raises(sqlite3.IntegrityError):
        shell.execute(f"INSERT INTO peers (url, push, pull, accept, key) VALUES {values}")


async def test_a_commit_waits_while_the_shell_writes(store: SqliteStore, shell: sqlite3.Connection) -> None:
    shell.execute("BEGIN IMMEDIATE")
    shell.execute("INSERT INTO peers (url) VALUES ('http://one')")
    commit = asyncio.create_task(store.commit(batch_of([claim()])))
    assert await store.last_event() == 0, "readers do not wait"

    shell.execute("COMMIT")

    assert await commit == 1
    assert await store.peers() == [Peer(url="http://one")]


ENDLESS_WRITER = """
import asyncio
import sys
from itertools import count
from pathlib import Path

from node.store.sqlite import SqliteStore
from tests.node.store.store_batches import batch_of, claim


async def main() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]))
    for number in count():
        await store.commit(batch_of([claim(f"{number} {step}") for step in range(5)]))
        print(number, flush=True)


asyncio.run(main())
"""


async def test_acknowledged_records_survive_a_kill_in_the_middle_of_commits(path: Path) -> None:
    acknowledged = await killed_after(30, ENDLESS_WRITER, path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    async with sqlite(path) as store:
        last = await store.last_event()
        heads = {head.record.label for head in await store.heads("test", None, 0, last + 1)}
        batches = {int(label.split()[0]) for label in heads}
        assert last % 5 == 0, "batches are whole"
        assert len(heads) == last
        assert batches >= set(range(acknowledged + 1))
        assert len(batches) <= acknowledged + 2, "and one more at most may have been committed without an answer"
        assert await store.commit(batch_of([claim()])) == last + 1


async def killed_after(acknowledgements: int, program: str, *args: Path) -> int:
    """Run a program until it has printed that many numbered lines, kill it, and return the last of these numbers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *map(str, args), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    for _ in range(acknowledgements):
        assert await process.stdout.readline(), "the program went on"
    process.send_signal(signal.SIGKILL)
    rest = await process.stdout.read()
    await process.wait()
    return acknowledgements - 1 + rest.count(b"\n")
