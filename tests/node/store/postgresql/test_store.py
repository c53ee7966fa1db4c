"""The PostgreSQL store: the contract of all stores, and what only this one can get wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from random import Random

import asyncpg
import msgspec
import pytest

from benchmarks.common.plans import READS, fill, plans_of_all_reads
from node.store.contract import Cursor, Peer, Store, StoreError
from node.store.postgresql import Lookout, PostgresStore
from node.store.postgresql.schema import MIGRATIONS, migrate, version_of
from node.store.postgresql.session import AwayError, connect
from node.store.postgresql.writer_session import WritershipLostError
from node.store.postgresql.writership import Candidacy
from node.store.postgresql.writing import Position
from node.store.removals import RemovalKind, Target
from simulations.processes.postgres import PostgresServer
from tests.history import ALICE
from tests.node.store.opened import postgresql, sqlite
from tests.node.store.postgresql.comparing import DOMAINS, TARGETS, all_of_witnesses, everything, random_batches
from tests.node.store.postgresql.relay import CutAtCommit, relayed, with_a_number_of_its_own
from tests.node.store.store_batches import OpenStore, all_keys, batch_of, claim, key_of
from tests.node.store.store_contract import StoreContract
from tests.node.store.store_contract_removals import remove
from tests.node.store.store_contract_witnesses import ALL, Keeper

SchemaUrl = Callable[[str], str]


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def open_store(self, schema_url: SchemaUrl) -> OpenStore:
        def open_store(name: str) -> AbstractAsyncContextManager[Store]:
            return postgresql(schema_url(name))

        return open_store


@pytest.fixture
async def url(schema_url: SchemaUrl) -> str:
    return schema_url("one")


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with postgresql(url) as store:
        yield store


@pytest.fixture
async def shell(url: str) -> AsyncIterator[asyncpg.Connection]:
    """What a person has who runs `psql`."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def test_a_second_writer_is_told_who_writes(url: str) -> None:
    async with postgresql(url, "node-1"):
        with pytest.raises(StoreError, match="another node writes to this database: node-1"):
            await PostgresStore.open(url)


async def test_two_schemas_of_one_database_have_a_writer_each(schema_url: SchemaUrl) -> None:
    async with postgresql(schema_url("one")) as one, postgresql(schema_url("another")) as another:
        assert await one.commit(batch_of([claim()])) == await another.commit(batch_of([claim()])) == 1


async def test_a_close_that_is_cancelled_leaves_no_session(url: str) -> None:
    """Another process could not write."""
    store = await PostgresStore.open(url, readers=2)
    async with store._readers.acquire() as reader:
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)

        closing.cancel()
        await asyncio.wait([closing])

        assert (store._writer._connection.is_closed(), reader.is_closed()) == (True, True)


async def test_each_writer_has_a_higher_term_than_the_one_before(url: str, shell: asyncpg.Connection) -> None:
    terms = []
    for holder in ("node-1", "node-2"):
        async with postgresql(url, holder):
            terms.append(tuple(await shell.fetchrow("SELECT term, holder FROM writer") or ()))

    assert terms == [(1, "node-1"), (2, "node-2")]


@pytest.mark.parametrize("write", ["commit", "put_peer", "put_cursors", "remove_peer", "pin_peer"])
async def test_a_writer_that_was_replaced_writes_nothing(
    store: PostgresStore, shell: asyncpg.Connection, write: str
) -> None:
    """As after a pause in which the server ended its session, or behind a pooler, or after a failover of the server."""
    peer, cursor = Peer(url="http://peer", pull=True), Cursor("http://peer", "test", "pull", 7)
    await store.put_peer(peer)
    await shell.execute("UPDATE writer SET term = term + 1, holder = 'node-2'")
    arguments: dict[str, tuple[object, ...]] = {
        "commit": (batch_of([claim()]),),
        "put_peer": (Peer(url="http://other"),),
        "put_cursors": ([cursor],),
        "remove_peer": ("http://peer",),
        "pin_peer": ("http://peer", ALICE.public),
    }

    with pytest.raises(WritershipLostError, match="the term is 2, and this node's was 1"):
        await getattr(store, write)(*arguments[write])

    assert await store.peers() == [peer]
    assert await store.cursors() == []
    assert await store.last_event() == 0
    assert await all_keys(store) == {}


async def test_a_term_rises_only_between_two_commits(store: PostgresStore, shell: asyncpg.Connection) -> None:
    """Otherwise a commit of the old term could become visible after the new writer has read what is there."""
    raised = asyncio.Event()

    async def raise_term() -> None:
        await shell.execute("UPDATE writer SET term = term + 1")
        raised.set()

    async def write(_: asyncpg.Connection, last: Position, __: int) -> tuple["asyncio.Task[None]", Position]:
        raising = asyncio.create_task(raise_term())
        while not await store._readers.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not raised.is_set()
        return raising, last

    await (await store._writer.write_in_turn(write))

    with pytest.raises(WritershipLostError):
        await store.commit(batch_of([claim()]))


async def test_a_session_that_the_server_ends_goes_on_in_a_new_term(
    store: PostgresStore, shell: asyncpg.Connection
) -> None:
    await store.commit(batch_of([claim()]))

    await shell.execute("SELECT pg_terminate_backend($1)", store._writer._connection.get_server_pid())

    assert await store.commit(batch_of([claim("pond")])) == 2
    assert store.outages.writing.trouble is None
    assert [row[0] for row in await shell.fetch("SELECT term FROM commits ORDER BY no DESC LIMIT 2")] == [2, 1]


async def test_a_session_that_the_server_ends_is_lost_when_another_process_waits_for_it(
    store: PostgresStore, url: str, shell: asyncpg.Connection
) -> None:
    other = await Candidacy.open(url)
    taking = asyncio.create_task(other.take("node-2", "http://node-2"))
    while not await shell.fetch("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        pass

    await shell.execute("SELECT pg_terminate_backend($1)", store._writer._connection.get_server_pid())
    session = await taking

    with pytest.raises(WritershipLostError, match="the term is 2, and this node's was 1"):
        await store.commit(batch_of([claim()]))
    assert isinstance(await store.lost, WritershipLostError)
    await session.close()


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_commit_whose_confirmation_is_lost_is_stored_once(
    server: PostgresServer, schema_url: SchemaUrl, shell: asyncpg.Connection, *, is_stored: bool
) -> None:
    """The connection is lost at the COMMIT, and nobody knows whether it came through."""
    cut = CutAtCommit(is_stored=is_stored)
    async with (
        relayed(server.folder, cut.to_server, cut.to_client) as folder,
        postgresql(schema_url("one").replace(str(server.folder), str(folder))) as store,
    ):
        await store.commit(batch_of([claim()]))
        cut.arm()

        lasts = [await store.commit(batch_of([claim(label)])) for label in ("pond", "sea")]

        assert lasts == [2, 3]
        assert await store.last_event() == 3
        terms = [row[0] for row in await shell.fetch("SELECT term FROM commits ORDER BY no DESC LIMIT 2")]
        assert terms == ([2, 1] if is_stored else [2, 2])


async def test_a_pooler_in_front_of_the_server_is_refused(server: PostgresServer, schema_url: SchemaUrl) -> None:
    """It could give one lock to two writers, and it loses what `LISTEN` should hear."""
    async with relayed(server.folder, to_client=with_a_number_of_its_own) as folder:
        with pytest.raises(StoreError, match="a pooler stands in front of the server"):
            await PostgresStore.open(schema_url("one").replace(str(server.folder), str(folder)))


async def test_a_replica_is_refused_and_has_another_epoch_once_it_is_the_primary(
    server: PostgresServer, schema_url: SchemaUrl
) -> None:
    """It may lack commits that clients have seen, and give the numbers of their events to others."""
    async with postgresql(schema_url("one")) as store:
        before = store.epoch
    async with postgresql(schema_url("one")) as store:
        same = store.epoch
    server.stop()
    mark = server.folder / "data" / "standby.signal"
    mark.touch()
    server.start()

    with pytest.raises(StoreError, match="the server is a replica, which takes no writes") as raised:
        await PostgresStore.open(schema_url("one"))

    connection = await asyncpg.connect(server.url())
    await connection.execute("SELECT pg_promote()")
    await connection.close()
    async with postgresql(schema_url("one")) as store:
        after = store.epoch
    assert raised.value.remedy == "name the primary server"
    assert before == same != after


async def test_a_server_that_lost_commits_ends_the_session(store: PostgresStore, shell: asyncpg.Connection) -> None:
    """As after a failover to a replica that had not everything."""
    await store.commit(batch_of([claim()]))
    await shell.execute("DELETE FROM commits WHERE no = (SELECT max(no) FROM commits)")

    await shell.execute("SELECT pg_terminate_backend($1)", store._writer._connection.get_server_pid())

    with pytest.raises(WritershipLostError, match="the server lost commits: the last one is 1, and it was 2"):
        await store.commit(batch_of([claim("pond")]))


async def test_a_warning_at_a_commit_ends_the_session(store: PostgresStore, shell: asyncpg.Connection) -> None:
    """The server warns of a commit that no replica has confirmed, and says that it is done."""
    await shell.execute("""
        CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'not replicated'; RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER warn AFTER INSERT ON records INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION warn();
    """)

    with pytest.raises(
        WritershipLostError, match="the server does not know whether the commit is safe: not replicated"
    ):
        await store.commit(batch_of([claim()]))


async def test_writes_wait_while_the_disk_of_the_server_is_full_and_reads_do_not(
    store: PostgresStore, shell: asyncpg.Connection
) -> None:
    await store.commit(batch_of([claim()]))
    await shell.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON records EXECUTE FUNCTION refuse();
    """)
    begun = asyncio.Event()
    store.outages.writing.watchers.append(begun.set)

    commit = asyncio.create_task(store.commit(batch_of([claim("pond")])))
    await begun.wait()

    trouble = store.outages.writing.trouble
    assert trouble is not None
    assert trouble.failure.reason.endswith(": the server's disk is full")
    assert trouble.failure.remedy == "free space on the server"
    assert store.outages.reading.trouble is None
    assert await store.last_event() == 1
    await shell.execute("DROP TRIGGER refuse ON records")
    assert await commit == 2
    assert store.outages.writing.trouble is None


async def test_reads_go_on_when_the_server_has_ended_their_sessions(
    store: PostgresStore, shell: asyncpg.Connection
) -> None:
    await store.commit(batch_of([claim()]))
    await shell.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dnarc' AND pid != $1",
        store._writer._connection.get_server_pid(),
    )

    assert await store.last_event() == 1
    assert store.outages.reading.trouble is None


async def test_a_cancelled_caller_does_not_stop_a_commit(store: PostgresStore) -> None:
    commit = asyncio.create_task(store.commit(batch_of([claim()])))
    await asyncio.sleep(0)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit

    assert await store.commit(batch_of([claim("pond")])) == 2


async def test_a_newer_schema_is_refused(url: str, shell: asyncpg.Connection) -> None:
    async with postgresql(url):
        pass
    await shell.execute("UPDATE meta SET value = '99' WHERE name = 'version'")

    with pytest.raises(StoreError, match=f"it has version 99, and this program knows {len(MIGRATIONS)} at most"):
        await PostgresStore.open(url)


async def test_processes_that_start_together_migrate_one_after_another(url: str) -> None:
    connections = [await connect(url) for _ in range(3)]

    await asyncio.gather(*map(migrate, connections))

    assert [await version_of(connection) for connection in connections] == [len(MIGRATIONS)] * 3
    for connection in connections:
        await connection.close()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("postgresql://secret-user:secret-word@127.0.0.1:1/claims", "PostgreSQL at 127.0.0.1:1/claims: "),
        ("postgresql:///claims?host=/nowhere/at/all&password=secret-word", "PostgreSQL at the local server/claims: "),
    ],
)
async def test_a_server_that_cannot_be_reached_is_named_without_its_password(bad: str, words: str) -> None:
    with pytest.raises(StoreError) as raised:
        await PostgresStore.open(bad)

    assert str(raised.value).startswith(words)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("/postgres?", "/absent?"), "the database is missing"),
        (("user=dnarc", "user=nobody-knows"), "the server refuses this user"),
        (("search_path=", "search_path=absent_"), "the schema in `search_path` is missing"),
    ],
)
async def test_a_database_that_is_not_there_is_said(
    server: PostgresServer, schema_url: SchemaUrl, change: tuple[str, str], words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        await PostgresStore.open(server.url(search_path="test").replace(*change))


async def test_removing_a_peer_by_hand_removes_its_cursors(store: PostgresStore, shell: asyncpg.Connection) -> None:
    await store.put_peer(Peer(url="http://peer", pull=True))
    await store.put_cursors([Cursor("http://peer", "test", "pull", 7)])

    await shell.execute("DELETE FROM peers")

    assert await store.cursors() == []


@pytest.mark.parametrize(
    "row",
    ["('ftp://peer', NULL)", "('http://', NULL)", "(NULL, NULL)", "(NULL, 'ABC')", "('http://one', '')"],
)
async def test_the_table_of_peers_refuses_what_a_node_could_not_use(
    store: PostgresStore, shell: asyncpg.Connection, row: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await shell.execute(f"INSERT INTO peers (url, key) VALUES {row}")


async def test_no_read_scans_a_large_table(url: str, store: PostgresStore) -> None:
    """The planner chooses by what it knows of the tables, so they have rows here, and statistics."""
    first = claim("first")
    await store.commit(batch_of([first]))
    sample = await fill(url, first, 10_000)

    plans = await plans_of_all_reads(store, sample)

    assert {plan.read for plan in plans} == READS.keys()
    assert [(plan.read, plan.scanned, plan.query) for plan in plans if plan.scanned] == []


async def test_a_statement_for_few_rows_is_planned_once_for_a_session(store: PostgresStore, url: str) -> None:
    """The server makes five plans with the values that it gets. After that it keeps a plan for all values, unless that
    seems dearer to it. To make a plan costs more than to answer.
    """
    lookout = await Lookout.open(url)
    for timestamp in range(1, 10):
        entry = claim("garden", at=timestamp)
        key = key_of(entry.record)
        await store.commit(msgspec.structs.replace(batch_of([entry]), held_labels=None))
        await store.states([key])
        await store.head(*key)
        await store.records([entry.record.id])
        await store.held([entry.record.id])
        await store.labels_founded([(entry.record.domain, entry.record.signedby)])
        position = (await lookout.look(timestamp)).position
        assert [page async for page in store.keys_between(position.record - 1, position.record)]
        assert await store.events(position.event - 1, 500, through=position.event)
        pages = [
            await store.heads("test", None, 0, 20),
            await store.heads("test", None, 0, 20, "gar"),
            await store.heads(None, ("test", "a"), 1, 20),
            await store.heads_of_owner(entry.record.signedby, None, None, 0, 20),
        ]
        assert pages == [[entry]] * len(pages)

    planned = "SELECT statement FROM pg_prepared_statements WHERE custom_plans > 5"
    assert await store._readers.fetch(planned) == []
    assert await store._writer._connection.fetch(planned) == []
    assert await lookout._connection.fetch(planned) == []
    await lookout.close()


def test_all_reads_of_a_store_are_planned() -> None:
    writes = {"close", "commit", "put_peer", "pin_peer", "remove_peer", "put_cursors"}
    others = {"epoch", "outages"}

    assert READS.keys() == {name for name in vars(Store) if not name.startswith("_")} - writes - others


@pytest.mark.parametrize("seed", range(3))
async def test_both_stores_answer_alike(tmp_path: Path, url: str, seed: int) -> None:
    """Random records of a few labels arrive in batches, in any order, so that heads change and are taken back. Then an
    operator takes some of them down.
    """
    random = Random(seed)
    async with postgresql(url) as one, sqlite(tmp_path / "dnarc.db") as other:
        for batch in random_batches(random):
            lasts = [await store.commit(batch) for store in (one, other)]
            assert lasts[0] == lasts[1]
            assert await everything(one) == await everything(other)
        erased, dropped = random.choice(TARGETS), Target(domain=random.choice(DOMAINS))
        for target, kind in ((erased, RemovalKind.ERASE), (dropped, RemovalKind.DROP)):
            removals = [await remove(store, target, kind) for store in (one, other)]
            assert removals[0] == removals[1]
            assert await everything(one) == await everything(other)


@pytest.mark.parametrize("seed", range(4))
async def test_both_stores_answer_alike_about_witnesses(tmp_path: Path, url: str, seed: int) -> None:
    """The records of a witnessed domain arrive in any order, in batches of any size."""
    random = Random(seed)
    records, keeper = random.sample(ALL, len(ALL)), Keeper()
    async with postgresql(url) as one, sqlite(tmp_path / "dnarc.db") as other:
        while records:
            some = [records.pop() for _ in range(random.randint(1, min(3, len(records))))]
            batch = keeper.batch(some)
            for store in (one, other):
                await store.commit(batch)
            assert await all_of_witnesses(one) == await all_of_witnesses(other)


async def test_a_server_without_connections_left_is_said(store: PostgresStore, url: str) -> None:
    """The store has its connections already, so it goes on."""
    async with AsyncExitStack() as others:
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                others.push_async_callback((await asyncpg.connect(url)).close)

        with pytest.raises(AwayError, match="the server has no connection left"):
            await PostgresStore.open(url)

        assert await store.commit(batch_of([claim()])) == 1
