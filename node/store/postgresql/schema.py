"""The schema in a PostgreSQL database, and the migrations from older versions.

A migration is SQL text that never changes after its release. `meta` counts the migrations that the schema has seen.
Every migration is one transaction, so a crash leaves a complete schema of an older version. An advisory lock makes
processes that start together migrate one after another.

The tables are those of the embedded store (`node.store.sqlite.schema` explains their columns), with three differences.
Texts are compared by their bytes (`COLLATE "C"`), because the order of pages must be the same on every machine, and
because an index in another collation breaks when the C library changes its rules. There are no foreign keys: they cost
the server 16 us a record, and the only writer keeps what they would check. `writer` fences off a writer that another
one has replaced, and `commits` tells other processes what is new.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from node.store.contract import StoreError

_FIRST: Final = """
CREATE TABLE meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);

-- One row: the term of the process that may write, who that is, and the URL at which it answers. Every commit checks
-- the term.
CREATE TABLE writer (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    term   bigint NOT NULL,
    holder text NOT NULL,
    url    text NOT NULL
);
INSERT INTO writer (term, holder, url) VALUES (0, '', '');

-- One row for each commit: the term of its writer, and the last row numbers after it. So the newest row says what a
-- process that follows has to read, and the terms show who wrote when. `removal`: something that was there before was
-- erased or dropped, or a dropped domain is kept again. The writer removes rows from time to time.
CREATE TABLE commits (
    no      bigint PRIMARY KEY,
    term    bigint NOT NULL,
    record  bigint NOT NULL,
    label   bigint NOT NULL,
    event   bigint NOT NULL,
    removal boolean NOT NULL DEFAULT false
);
INSERT INTO commits (no, term, record, label, event) VALUES (0, 0, 0, 0, 0);

CREATE TABLE labels (
    no        bigint PRIMARY KEY,
    domain    text COLLATE "C" NOT NULL,
    label     text COLLATE "C" NOT NULL,
    head      bigint,
    newest    bigint NOT NULL,
    timestamp bigint,
    contested boolean NOT NULL,
    former    bytea NOT NULL,
    owner     bytea,
    final     bigint,
    founder   bytea,
    undecided      bigint NOT NULL,
    doubly_decided bigint NOT NULL,
    UNIQUE (domain, label)
);
CREATE INDEX labels_by_timestamp ON labels (timestamp);
CREATE INDEX labels_by_owner ON labels (owner, domain, label) WHERE owner IS NOT NULL;
CREATE INDEX labels_by_founder ON labels (founder, domain) WHERE founder IS NOT NULL;
CREATE INDEX labels_to_look_after ON labels (domain) WHERE undecided > 0 OR doubly_decided > 0;

-- Of labels that ever named many keys: the keys that are not in `labels.former`.
CREATE TABLE former_keys (
    label bigint NOT NULL,
    key   bytea NOT NULL,
    PRIMARY KEY (label, key)
);

-- Bodies are kept as they are: to compress them costs more of the processor than it saves of the disk.
CREATE TABLE records (
    no        bigint PRIMARY KEY,
    id        bytea NOT NULL UNIQUE CHECK (length(id) = 32),
    label     bigint NOT NULL,
    timestamp bigint NOT NULL,
    received  bigint NOT NULL,
    verdict   smallint NOT NULL,
    signature bytea NOT NULL,
    body      bytea STORAGE EXTERNAL NOT NULL
);
CREATE INDEX records_by_label ON records (label);

-- Numbered by the writer: 1, 2, 3, without gaps. A sequence would leave gaps.
CREATE TABLE events (
    seq      bigint PRIMARY KEY,
    record   bigint NOT NULL,
    type     smallint NOT NULL,
    previous bytea,
    reason   text
);

-- How many records and bytes each key signed in each domain.
CREATE TABLE usage (
    key     bytea NOT NULL,
    domain  text COLLATE "C" NOT NULL,
    records bigint NOT NULL,
    bytes   bigint NOT NULL,
    PRIMARY KEY (key, domain)
);

-- What witnesses said, as in the embedded store: their receipts in their chains, what they said of each record, the
-- same of records that are not held, and the evidence of lies. `record`, `one` and `other` are records.no, and so is
-- `value` of a vote or a commit; `prev` is a record id.
CREATE TABLE witnesses (
    no     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text COLLATE "C" NOT NULL,
    key    bytea NOT NULL,
    UNIQUE (domain, key)
);
CREATE TABLE receipts (
    record  bigint PRIMARY KEY,
    witness bigint NOT NULL,
    prev    bytea,
    at_ms   bigint NOT NULL,
    sound   boolean NOT NULL
);
CREATE INDEX receipts_by_prev ON receipts (witness, prev);
CREATE INDEX receipts_that_wait ON receipts (witness) WHERE NOT sound;
CREATE TABLE testimony (
    record  bigint NOT NULL,
    witness bigint NOT NULL,
    act     smallint NOT NULL,
    round   bigint NOT NULL,
    value   bigint NOT NULL,
    PRIMARY KEY (record, witness, act, round)
);
CREATE TABLE testimony_ahead (
    id      bytea NOT NULL,
    witness bigint NOT NULL,
    act     smallint NOT NULL,
    round   bigint NOT NULL,
    value   bigint NOT NULL,
    PRIMARY KEY (id, witness, act, round)
);
CREATE INDEX testimony_ahead_by_witness ON testimony_ahead (witness);
CREATE TABLE forks (
    witness bigint NOT NULL,
    label   text COLLATE "C" NOT NULL,
    prev    bytea NOT NULL,
    act     smallint NOT NULL,
    round   bigint NOT NULL,
    one     bigint NOT NULL,
    other   bigint NOT NULL,
    PRIMARY KEY (witness, label, prev)
);

-- What an operator takes down: `node.store.removals`. A row is written before anything is removed. `phase` and
-- `position` say how far the removal is, `through` is the last records.no that it covers.
CREATE TABLE removals (
    no       bigint PRIMARY KEY,
    kind     text NOT NULL CHECK (kind IN ('erase', 'drop')),
    ids      bytea[] NOT NULL,
    domain   text COLLATE "C",
    label    text COLLATE "C",
    key      text,
    by       text NOT NULL,
    reason   text NOT NULL,
    time     bigint NOT NULL,
    through  bigint NOT NULL,
    phase    smallint NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    records  bigint NOT NULL DEFAULT 0,
    bytes    bigint NOT NULL DEFAULT 0,
    done     boolean NOT NULL DEFAULT false
);

-- The records whose body is a skeleton, and the removal that erased them.
CREATE TABLE erasures (
    record  bigint PRIMARY KEY,
    removal bigint NOT NULL
);

CREATE TABLE dropped (
    domain text COLLATE "C" PRIMARY KEY
);

-- People write here with psql, so the table itself refuses what the node could not use.
CREATE TABLE peers (
    url    text COLLATE "C" UNIQUE CHECK (url ~ '^(https?|wss?)://.'),
    push   boolean NOT NULL DEFAULT false,
    pull   boolean NOT NULL DEFAULT false,
    accept boolean,
    key    text COLLATE "C" CHECK (key ~ '^[0-9a-f]{64}$'),
    CHECK (url IS NOT NULL OR key IS NOT NULL)
);
CREATE UNIQUE INDEX peers_that_dial_us ON peers (key) WHERE url IS NULL;

CREATE TABLE cursors (
    peer      text COLLATE "C" NOT NULL,
    domain    text COLLATE "C" NOT NULL,
    direction text NOT NULL CHECK (direction IN ('push', 'pull')),
    timestamp bigint NOT NULL,
    PRIMARY KEY (peer, domain, direction)
);

-- So that a peer removed by hand is forgotten as wholly as one removed by the node.
CREATE FUNCTION forget_cursors() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM cursors WHERE peer = coalesce(OLD.url, OLD.key);
    RETURN NULL;
END $$;
CREATE TRIGGER cursors_of_a_removed_peer AFTER DELETE ON peers FOR EACH ROW EXECUTE FUNCTION forget_cursors();
"""

MIGRATIONS: Final[tuple[str, ...]] = (_FIRST,)

_MIGRATION_LOCK: Final = 0x646E6172
"""The first half of the key of an advisory lock. The second half is the schema's, so that two schemas do not wait for
each other."""


async def migrate(connection: asyncpg.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the schema to the version of this program.

    Raises:
        StoreError: a newer program wrote the database.
    """
    while await _migrate_once(connection, migrations):
        pass


async def _migrate_once(connection: asyncpg.Connection, migrations: Sequence[str]) -> bool:
    """Carry out the next migration. Returns whether there was one."""
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK}, hashtext(current_schema()))")
        version = await version_of(connection)
        check_version(version, len(migrations))
        if version == len(migrations):
            return False
        await connection.execute(migrations[version])
        await connection.execute(
            "INSERT INTO meta (name, value) VALUES ('version', $1) ON CONFLICT (name) DO UPDATE SET value = $1",
            str(version + 1),
        )
    return True


def check_version(version: int, known: int) -> None:
    """Raises: StoreError: a newer program wrote the database. `known` is the highest version of this program."""
    if version > known:
        raise StoreError(
            f"a newer dnarc wrote the database: it has version {version}, and this program knows {known} at most",
            "run the newer dnarc, or name another database or another schema (`?search_path=…`)",
        )


async def version_of(connection: asyncpg.Connection) -> int:
    """The number of migrations that the schema has seen; 0 for a new one."""
    if await connection.fetchval("SELECT to_regclass(format('%I.meta', current_schema()))") is None:
        return 0
    version = await connection.fetchval("SELECT value FROM meta WHERE name = 'version'")
    return int(version or 0)
