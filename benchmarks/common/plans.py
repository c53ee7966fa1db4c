"""How a PostgreSQL server answers each read of a store: the plans that it makes for their statements.

A plan depends on what the tables hold, so `fill` makes rows by the hundred thousand without a node. The rows refer to
each other as those of a node do, and the bodies are all the same.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from node.store.contract import Selection, Store
from node.store.postgresql import PostgresStore
from node.store.postgresql.readers import Readers
from node.store.removals import Target
from protocol.records.record import SignedRecord
from protocol.witness.recall import Wanted

READ_WHOLE: Final = ("peers", "cursors", "dropped", "removals", "witnesses", "forks", "usage")
"""Tables that a read may scan: the small ones, and `usage`, of which sums over all keys are asked."""

FEW: Final = 20
"""Names in a read of several labels or records."""

FILL: Final = """
    INSERT INTO records SELECT n, sha256(n::text::bytea), n, n, n, 10, decode(repeat('ab', 64), 'hex'), body
        FROM generate_series($rows) n, (SELECT body FROM records ORDER BY no LIMIT 1) AS one;
    INSERT INTO labels SELECT n, '$domain', to_char(n, 'FM00000000'), n, n, n, false, '',
        sha256((n % 997)::text::bytea), NULL, NULL, (n % 1000 = 0)::int, 0 FROM generate_series($rows) n;
    INSERT INTO former_keys SELECT n, sha256('key') FROM generate_series($rows) n;
    INSERT INTO events SELECT n, n, 1 FROM generate_series($rows) n;
    INSERT INTO commits SELECT n, 1, n, n, n FROM generate_series($rows) n;
    INSERT INTO usage SELECT sha256((n % 997)::text::bytea), '$domain', 1, 1 FROM generate_series(0, 996) n;
    INSERT INTO erasures SELECT n, 1 FROM generate_series($rows) n WHERE n % 10 = 0;
    INSERT INTO receipts SELECT n, n % 5 + 10, sha256(n::text::bytea), n, n % 1000 <> 0 FROM generate_series($rows) n;
    INSERT INTO testimony SELECT n, n % 5 + 10, 1, 0, n FROM generate_series($rows) n;
    INSERT INTO testimony_ahead SELECT sha256(n::text::bytea), n % 5 + 10, 1, 0, n FROM generate_series($rows) n;
    INSERT INTO witnesses OVERRIDING SYSTEM VALUE SELECT n + 10, '$domain', sha256(n::text::bytea)
        FROM generate_series(0, 4) n;
    ANALYZE;
"""


class Sample(msgspec.Struct, frozen=True):
    """What the reads ask for: a stored record, its label among `FEW` other ones, and the number of its event."""

    domain: str
    label: str
    record_id: str
    key: str
    witness: str
    number: int


_Read = Callable[[Store, Sample], Awaitable[object]]

READS: Final[dict[str, Sequence[_Read]]] = {
    "domain_usage": [lambda store, _: store.domain_usage()],
    "key_usage": [lambda store, it: store.key_usage([it.key] * FEW)],
    "largest_keys": [
        lambda store, _: store.largest_keys(None, 10),
        lambda store, it: store.largest_keys(it.domain, 10),
    ],
    "states": [lambda store, it: store.states([(it.domain, it.label)] * FEW)],
    "history": [lambda store, it: store.history(it.domain, it.label)],
    "outline": [lambda store, it: store.outline(it.domain, it.label)],
    "overview": [lambda store, it: store.overview(it.domain)],
    "known": [
        lambda store, it: store.known(
            it.domain,
            Wanted({it.label: None}, {it.record_id: None, "0" * 64: None}, {(it.witness, it.record_id): None}),
        )
    ],
    "last_said": [lambda store, it: store.last_said(it.domain, [it.record_id], 3)],
    "spoken": [lambda store, it: store.spoken(it.domain, it.witness, it.record_id)],
    "records": [
        lambda store, it: store.records([it.record_id] * FEW),
        lambda store, it: store.records([it.record_id] * FEW, 100),
    ],
    "held": [lambda store, it: store.held([it.record_id] * FEW)],
    "head": [lambda store, it: store.head(it.domain, it.label)],
    "heads": [
        lambda store, it: store.heads(None, (it.domain, it.label), 0, FEW),
        lambda store, it: store.heads(it.domain, (it.domain, it.label), 0, FEW),
        lambda store, it: store.heads(it.domain, None, 0, FEW, it.label[:-1]),
        lambda store, it: store.heads(None, None, it.number, FEW),
        lambda store, it: store.heads(it.domain, None, it.number + 10**12, FEW),
    ],
    "heads_of_owner": [
        lambda store, it: store.heads_of_owner(it.key, None, None, 0, FEW),
        lambda store, it: store.heads_of_owner(it.key, it.domain, (it.domain, it.label), 0, FEW),
    ],
    "labels_founded": [lambda store, it: store.labels_founded([("plain", it.key)] * FEW)],
    "keys": [lambda store, _: _first_page(store)],
    "events": [
        lambda store, it: store.events(it.number, FEW, through=it.number + 100),
        lambda store, it: store.events(it.number, FEW, Selection(frozenset([it.domain])), it.number + 100),
        lambda store, it: store.events(it.number, FEW, Selection(only_final=True), it.number + 100),
    ],
    "last_event": [lambda store, _: store.last_event()],
    "peers": [lambda store, _: store.peers()],
    "cursors": [lambda store, _: store.cursors()],
    "removals": [
        lambda store, _: store.removals.unfinished(),
        lambda store, _: store.removals.list(None, FEW),
        lambda store, _: store.removals.dropped(),
        lambda store, it: store.removals.erasures([it.record_id] * FEW),
        lambda store, it: store.removals.count(Target(ids=(it.record_id,))),
        lambda store, it: store.removals.count(Target(domain=it.domain, label=it.label)),
    ],
}
"""The reads of a store, by the name of the method. To count the records of a domain or of a key is missing, because it
looks at every record on every store.
"""


class Plan(msgspec.Struct, frozen=True):
    """What the server does for a statement of a read, and the milliseconds that it takes."""

    read: str
    query: str
    lines: list[str]
    ms: float

    @property
    def scanned(self) -> list[str]:
        """The tables that the server reads from the beginning to the end, though they may be large."""
        tables = [line.partition("Seq Scan on ")[2].split()[0] for line in self.lines if "Seq Scan on " in line]
        return [table for table in tables if table not in READ_WHOLE]


class Explaining:
    """Stands in for the readers of a store. Each statement is planned, and the plan is kept."""

    def __init__(self, readers: Readers) -> None:
        self.plans: list[Plan] = []
        self.read = ""
        self._readers = readers

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        lines = [row[0] for row in await self._readers.fetch(f"EXPLAIN ANALYZE {query}", *arguments)]
        self.plans.append(Plan(self.read, query, lines, float(lines[-1].split()[-2])))
        rows: list[asyncpg.Record] = await self._readers.fetch(query, *arguments)
        return rows

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["Explaining"]:
        yield self

    @asynccontextmanager
    async def transaction(self, **_: object) -> AsyncIterator[None]:
        yield


async def fill(url: str, first: SignedRecord, count: int) -> Sample:
    """Give `count` rows to the database, which has this record. Returns what may be asked of them."""
    rows = f"10, {count + 9}"
    domain = first.record.domain
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(FILL.replace("$rows", rows).replace("$domain", domain))
        number = count // 2 + 1
        row = await connection.fetchrow("SELECT id, owner FROM records JOIN labels USING (no) WHERE no = $1", number)
        assert row is not None, "the row was just made"
        record_id, owner = row
        witness = await connection.fetchval("SELECT key FROM witnesses WHERE domain = $1 LIMIT 1", domain)
        return Sample(domain, f"{number:08}", record_id.hex(), owner.hex(), witness.hex(), number)
    finally:
        await connection.close()


async def plans_of_all_reads(store: PostgresStore, sample: Sample) -> list[Plan]:
    """The plan of each statement that the reads of this store need."""
    readers = store._readers
    explaining = Explaining(readers)
    store._readers = explaining  # type: ignore[assignment]
    try:
        for name, reads in READS.items():
            explaining.read = name
            for read in reads:
                await read(store, sample)
    finally:
        store._readers = readers
    return explaining.plans


async def _first_page(store: Store) -> object:
    async for page in store.keys():
        return page
    return None
