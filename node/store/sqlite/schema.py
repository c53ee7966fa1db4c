"""The schema of the database file, and the migrations from older versions.

A migration is SQL text that never changes after its release. The file's `user_version` counts the migrations that it
has seen. Every migration is one transaction, so a crash leaves a complete schema of an older version.

Only the body of a record is original data. The other columns are read from the body, or derived from it by replay.
"""

import sqlite3
from collections.abc import Sequence

from node.store.contract import StoreError
from node.store.sqlite.statements import add_signer_of
from protocol.records.record import is_witnessed

_FIRST = """
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- A label and its replayed state. The owner and the offer are read from the head's body; `former` holds the other
-- keys that were ever named, 32 bytes each. `head` and `newest` are records.no without a declared reference: the two
-- tables name each other, and SQLite would check such a circle by a scan of this table for each new record. `timestamp`
-- is the head's, for whoever asks what is new.
CREATE TABLE labels (
    no        INTEGER PRIMARY KEY,
    domain    TEXT NOT NULL,
    label     TEXT NOT NULL,
    head      INTEGER,
    newest    INTEGER NOT NULL,
    timestamp INTEGER,
    contested INTEGER NOT NULL CHECK (contested IN (0, 1)),
    former    BLOB NOT NULL,
    UNIQUE (domain, label)
);
CREATE INDEX labels_by_timestamp ON labels (timestamp);

-- A rowid table with an index on the id takes records twice as fast as one WITHOUT ROWID, for only the small index is
-- filled at random. `verdict` is a number of rows.VERDICTS. The body comes last, so that nothing else of a large record
-- lies on overflow pages.
CREATE TABLE records (
    no        INTEGER PRIMARY KEY,
    id        BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
    label     INTEGER NOT NULL REFERENCES labels (no),
    timestamp INTEGER NOT NULL,
    received  INTEGER NOT NULL,
    verdict   INTEGER NOT NULL,
    signature BLOB NOT NULL CHECK (length(signature) = 64),
    body      BLOB NOT NULL
);
CREATE INDEX records_by_label ON records (label);

-- `type` is a number of rows.EVENT_TYPES, `previous` a record id. Numbered by the writer: 1, 2, 3, without gaps.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,
    record   INTEGER NOT NULL REFERENCES records (no),
    type     INTEGER NOT NULL,
    previous BLOB,
    reason   TEXT
);

-- People write here with the sqlite3 shell, so the table itself refuses what the node could not use.
CREATE TABLE peers (
    url    TEXT UNIQUE CHECK (url GLOB 'http://?*' OR url GLOB 'https://?*' OR url GLOB 'ws://?*' OR url GLOB 'wss://?*'),
    push   INTEGER NOT NULL DEFAULT 0 CHECK (push IN (0, 1)),
    pull   INTEGER NOT NULL DEFAULT 0 CHECK (pull IN (0, 1)),
    accept INTEGER CHECK (accept IN (0, 1)),
    key    TEXT CHECK (length(key) = 64 AND key NOT GLOB '*[^0-9a-f]*'),
    CHECK (url IS NOT NULL OR key IS NOT NULL),
    CHECK (typeof(url) <> 'blob' AND typeof(key) <> 'blob')
);
CREATE UNIQUE INDEX peers_that_dial_us ON peers (key) WHERE url IS NULL;

CREATE TABLE cursors (
    peer      TEXT NOT NULL,
    domain    TEXT NOT NULL,
    direction TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    PRIMARY KEY (peer, domain, direction)
) WITHOUT ROWID;

-- So that a peer removed by hand is forgotten as wholly as one removed by the node.
CREATE TRIGGER cursors_of_a_removed_peer AFTER DELETE ON peers
BEGIN
    DELETE FROM cursors WHERE peer = coalesce(OLD.url, OLD.key);
END;
"""

_OWNERS = """
-- The key that owns the label, 32 bytes: the signer of its head. Eight bytes of it make an index of a sixth of the
-- size, which costs each new label that much less.
ALTER TABLE labels ADD COLUMN owner BLOB;
UPDATE labels SET owner = signer_of((SELECT body FROM records WHERE no = head)) WHERE head IS NOT NULL;
CREATE INDEX labels_by_owner ON labels (substr(owner, 1, 8)) WHERE owner IS NOT NULL;
"""

_FINAL = """
-- In a witnessed domain, the last record of the label that is final: records.no. NULL in ordinary domains.
ALTER TABLE labels ADD COLUMN final INTEGER;
"""

_REMOVALS = """
-- What an operator takes down: `node.store.removals`. A row is written before anything is removed. `phase` and
-- `position` say how far the removal is, `through` is the last records.no that it covers. `ids` are 32 bytes each.
CREATE TABLE removals (
    no       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL CHECK (kind IN ('erase', 'drop')),
    ids      BLOB NOT NULL,
    domain   TEXT,
    label    TEXT,
    key      TEXT,
    by       TEXT NOT NULL,
    reason   TEXT NOT NULL,
    time     INTEGER NOT NULL,
    through  INTEGER NOT NULL,
    phase    INTEGER NOT NULL DEFAULT 0,
    position INTEGER NOT NULL DEFAULT 0,
    records  INTEGER NOT NULL DEFAULT 0,
    bytes    INTEGER NOT NULL DEFAULT 0,
    done     INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1))
);

-- The records whose body is a skeleton, and the removal that erased them.
CREATE TABLE erasures (
    record  INTEGER PRIMARY KEY REFERENCES records (no),
    removal INTEGER NOT NULL REFERENCES removals (no)
);

CREATE TABLE dropped (
    domain TEXT PRIMARY KEY
);

-- A file with records may hold old copies of bodies in free places of its pages, because older versions moved rows and
-- did not overwrite them. The first removal writes the file anew.
INSERT INTO meta (name, value) SELECT 'remnants', 'older version' WHERE EXISTS (SELECT 1 FROM records);
"""

_FOUNDERS = """
-- The key that founded the label, 32 bytes; NULL where the owner founded it, and in witnessed domains. Most labels stay
-- with their founder, so the column and its index cost a new label nothing.
ALTER TABLE labels ADD COLUMN founder BLOB;
UPDATE labels SET founder = (SELECT signer_of(body) FROM records WHERE label = labels.no AND verdict IN (1, 10))
    WHERE owner IS NOT NULL AND final IS NULL AND NOT is_witnessed(domain)
    AND owner IS NOT (SELECT signer_of(body) FROM records WHERE label = labels.no AND verdict IN (1, 10));
CREATE INDEX labels_by_founder ON labels (substr(founder, 1, 8)) WHERE founder IS NOT NULL;
"""

_USAGE = """
-- How many records and bytes each domain and each key has, up to the record `usage_through` (records.no) in `meta`: see
-- `usage.py`. Nothing refers to a domain of this table but `usage`.
CREATE TABLE domains (
    no      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    records INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
);
CREATE TABLE usage (
    key     BLOB NOT NULL,
    domain  INTEGER NOT NULL,
    records INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    PRIMARY KEY (key, domain)
) WITHOUT ROWID;

INSERT INTO domains (name, records, bytes)
SELECT domain, count(*), sum(length(body)) FROM records JOIN labels ON labels.no = records.label GROUP BY domain;

INSERT INTO usage (key, domain, records, bytes)
SELECT signer_of(body), domains.no, count(*), sum(length(body))
FROM records JOIN labels ON labels.no = records.label JOIN domains ON name = labels.domain
GROUP BY 1, 2;

INSERT INTO meta (name, value) SELECT 'usage_through', coalesce(max(no), 0) FROM records;
"""

_TESTIMONY = """
-- In a witnessed domain, how many records of the label stand in slots that are not decided, and in how many slots of
-- the chain two records are decided. A node that starts looks for both.
ALTER TABLE labels ADD COLUMN undecided INTEGER NOT NULL DEFAULT 0;
ALTER TABLE labels ADD COLUMN doubly_decided INTEGER NOT NULL DEFAULT 0;
CREATE INDEX labels_to_look_after ON labels (domain) WHERE undecided > 0 OR doubly_decided;

-- The witnessed domains whose testimony is derived. A domain that an older version wrote is added when the file is
-- opened, in one transaction with its testimony.
CREATE TABLE witnessed_domains (domain TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE witnesses (
    no     INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    key    BLOB NOT NULL CHECK (length(key) = 32),
    UNIQUE (domain, key)
);

-- The receipts of witnesses in their chains. `record` is records.no, `prev` a record id. Numbers of records and of
-- witnesses are not declared as references here and below, because SQLite would look each of them up once more.
CREATE TABLE receipts (
    record  INTEGER PRIMARY KEY,
    witness INTEGER NOT NULL,
    prev    BLOB,
    at_ms   INTEGER NOT NULL,
    sound   INTEGER NOT NULL CHECK (sound IN (0, 1))
);
CREATE INDEX receipts_by_prev ON receipts (witness, prev);
CREATE INDEX receipts_that_wait ON receipts (witness) WHERE NOT sound;

-- What a witness said of a record, which is held and has this records.no. `act` is a number of rows.SEEN or of
-- testimony.Act. `value` is the least time that counts, in ms (0: none counts); or records.no of the receipt that holds
-- the vote or the commit. Records get their numbers in order, so new rows stand side by side.
CREATE TABLE testimony (
    record  INTEGER NOT NULL,
    witness INTEGER NOT NULL,
    act     INTEGER NOT NULL,
    round   INTEGER NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (record, witness, act, round)
) WITHOUT ROWID;

-- The same of a record that is not held. Its rows move when it comes.
CREATE TABLE testimony_ahead (
    id      BLOB NOT NULL,
    witness INTEGER NOT NULL,
    act     INTEGER NOT NULL,
    round   INTEGER NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (id, witness, act, round)
) WITHOUT ROWID;
CREATE INDEX testimony_ahead_by_witness ON testimony_ahead (witness);

-- The evidence that witnesses lied: the numbers of two receipts that contradict each other in one place, a label and a
-- `prev` (a record id, empty if there is none). `act` is a number of testimony.Act.
CREATE TABLE forks (
    witness INTEGER NOT NULL,
    label   TEXT NOT NULL,
    prev    BLOB NOT NULL,
    act     INTEGER NOT NULL,
    round   INTEGER NOT NULL,
    one     INTEGER NOT NULL,
    other   INTEGER NOT NULL,
    PRIMARY KEY (witness, label, prev)
) WITHOUT ROWID;
"""

_FORMER_KEYS = """
-- Of labels that ever named many keys: the keys that are not in `labels.former`. The newest keys are there, so that a
-- record that names one more writes few bytes.
CREATE TABLE former_keys (
    label INTEGER NOT NULL,
    key   BLOB NOT NULL,
    PRIMARY KEY (label, key)
) WITHOUT ROWID;

CREATE TRIGGER former_keys_of_a_removed_label AFTER DELETE ON labels
BEGIN
    DELETE FROM former_keys WHERE label = OLD.no;
END;
"""

_UNDECIDED = """
-- `labels.undecided` counts the records that can still win. Before, it also counted records that follow a lost one. The
-- mark says that whoever opens the file has to derive what older versions did not write.
INSERT INTO meta (name, value) VALUES ('underived', 'testimony') ON CONFLICT DO NOTHING;
"""

MIGRATIONS: tuple[str, ...] = (
    *(_FIRST, _OWNERS, _FINAL, _REMOVALS, _FOUNDERS, _USAGE, _TESTIMONY, _FORMER_KEYS),
    _UNDECIDED,
)


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the file to the version of this program. Only one process may do this at a time.

    Raises:
        StoreError: a newer program wrote the file.
    """
    version = version_of(connection)
    check_version(version, len(migrations))
    add_signer_of(connection)
    connection.create_function("is_witnessed", 1, is_witnessed, deterministic=True)
    for number, statements in enumerate(migrations[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{statements};\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def check_version(version: int, known: int) -> None:
    """Raises: StoreError: a newer program wrote the file. `known` is the highest version that this program knows."""
    if version > known:
        raise StoreError(
            f"a newer dnarc wrote the database: it has version {version}, and this program knows {known} at most",
            "run the newer dnarc, or name another data folder",
        )


def version_of(connection: sqlite3.Connection) -> int:
    """The number of migrations that the file has seen; 0 for a new file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert isinstance(version, int)
    return version
