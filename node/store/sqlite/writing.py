"""The functions that change the database, each one transaction.

There is one writer, so it may number rows itself, ahead of inserting them: a batch then refers to its own records
without asking back.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from node.store.contract import Batch, Cursor, LabelKey, Peer, StoredRecord
from node.store.sqlite.connection import transaction
from node.store.sqlite.rows import EVENT_TYPES, VERDICTS, former_of
from node.store.sqlite.statements import chunks, places, values
from protocol.records.change import Event
from protocol.records.replay import State, Verdict


def commit(connection: sqlite3.Connection, batch: Batch) -> int:
    """See `Store.commit`."""
    with transaction(connection):
        numbers = _Numbers(connection, batch.records)
        label_numbers = _put_states(connection, batch.states, numbers)
        _insert_records(connection, batch.records, numbers, label_numbers)
        _update_verdicts(connection, batch.verdicts)
        return _insert_events(connection, batch.events, numbers)


class _Numbers(dict[str, int]):
    """The row number of each record of a batch, in its order; asked for others, those stored before are looked up."""

    def __init__(self, connection: sqlite3.Connection, records: Sequence[StoredRecord]) -> None:
        self._connection = connection
        first = _highest(connection, "SELECT max(no) FROM records") + 1
        super().__init__(zip((stored.signed.record.id for stored in records), count(first)))

    def __missing__(self, record_id: str) -> int:
        row = self._connection.execute("SELECT no FROM records WHERE id = ?", (bytes.fromhex(record_id),)).fetchone()
        assert row is not None, "a batch speaks of its own records and of those stored before"
        return int(row[0])


def _put_states(
    connection: sqlite3.Connection, states: dict[LabelKey, State], numbers: _Numbers
) -> dict[LabelKey, int]:
    """The row number of each label, which is new or now has this state."""
    label_numbers = _label_numbers(connection, list(states))

    def row(key: LabelKey, state: State) -> tuple[Any, ...]:
        head, timestamp = (numbers[state.tip.id], state.tip.timestamp) if state.tip else (None, None)
        newest = numbers[state.newest[1]]
        return (label_numbers[key], *key, head, newest, timestamp, state.contested, former_of(state))

    _insert(
        connection,
        "labels (no, domain, label, head, newest, timestamp, contested, former)",
        [row(key, state) for key, state in states.items()],
        "ON CONFLICT (no) DO UPDATE SET head = excluded.head, newest = excluded.newest, "
        "timestamp = excluded.timestamp, contested = excluded.contested, former = excluded.former",
    )
    return label_numbers


def _label_numbers(connection: sqlite3.Connection, keys: Sequence[LabelKey]) -> dict[LabelKey, int]:
    """The row numbers of these labels, and the next free ones for those that are new."""
    found: dict[LabelKey, int] = {}
    for chunk in chunks(keys):
        sql = f"""
            WITH wanted (domain, label) AS (VALUES {places(chunk)})
            SELECT domain, label, no FROM wanted CROSS JOIN labels USING (domain, label)
        """
        found |= {(domain, label): number for domain, label, number in connection.execute(sql, values(chunk))}
    free = count(_highest(connection, "SELECT max(no) FROM labels") + 1)
    return {key: found[key] if key in found else next(free) for key in keys}


def _insert_records(
    connection: sqlite3.Connection, records: Sequence[StoredRecord], numbers: _Numbers, labels: dict[LabelKey, int]
) -> None:
    def row(stored: StoredRecord) -> tuple[Any, ...]:
        record = stored.signed.record
        return (
            numbers[record.id],
            bytes.fromhex(record.id),
            labels[record.domain, record.label],
            record.timestamp,
            stored.received,
            VERDICTS[stored.verdict],
            bytes.fromhex(stored.signed.signature),
            record.canonical,
        )

    columns = "no, id, label, timestamp, received, verdict, signature, body"
    _insert(connection, f"records ({columns})", [row(stored) for stored in records])


def _update_verdicts(connection: sqlite3.Connection, verdicts: dict[str, Verdict]) -> None:
    rows = [(VERDICTS[verdict], bytes.fromhex(record_id)) for record_id, verdict in verdicts.items()]
    if rows:
        updated = connection.executemany("UPDATE records SET verdict = ? WHERE id = ?", rows).rowcount
        assert updated == len(rows), "only a stored record gets a new verdict"


def _insert_events(connection: sqlite3.Connection, events: Sequence[Event], numbers: _Numbers) -> int:
    last = _highest(connection, "SELECT max(seq) FROM events")

    def row(seq: int, event: Event) -> tuple[Any, ...]:
        previous = bytes.fromhex(event.previous) if event.previous else None
        return (seq, numbers[event.record.id], EVENT_TYPES[event.type], previous, event.reason)

    rows = [row(seq, event) for seq, event in enumerate(events, start=last + 1)]
    _insert(connection, "events (seq, record, type, previous, reason)", rows)
    return last + len(events)


def put_peer(connection: sqlite3.Connection, peer: Peer) -> None:
    """See `Store.put_peer`."""
    conflict = "(key) WHERE url IS NULL" if peer.url is None else "(url)"
    connection.execute(
        "INSERT INTO peers (url, push, pull, accept, key) VALUES (?, ?, ?, ?, ?) "
        f"ON CONFLICT {conflict} DO UPDATE SET push = excluded.push, pull = excluded.pull, accept = excluded.accept, "
        "key = excluded.key",
        (peer.url, peer.push, peer.pull, peer.accept, peer.key),
    )


def pin_peer(connection: sqlite3.Connection, name: str, key: str) -> bool:
    """See `Store.pin_peer`."""
    return connection.execute("UPDATE peers SET key = ? WHERE url = ? AND key IS NULL", (key, name)).rowcount > 0


def remove_peer(connection: sqlite3.Connection, name: str) -> bool:
    """See `Store.remove_peer`. A trigger forgets the cursors."""
    return connection.execute("DELETE FROM peers WHERE coalesce(url, key) = ?", (name,)).rowcount > 0


def put_cursors(connection: sqlite3.Connection, cursors: Iterable[Cursor]) -> None:
    """See `Store.put_cursors`."""
    with transaction(connection):
        connection.executemany(
            "INSERT INTO cursors (peer, domain, direction, timestamp) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (peer, domain, direction) DO UPDATE SET timestamp = excluded.timestamp",
            [(cursor.peer, cursor.domain, cursor.direction, cursor.timestamp) for cursor in cursors],
        )


def put_epoch(connection: sqlite3.Connection, proposed: str) -> str:
    """Give the store this epoch where it has none. Returns the one that it has."""
    connection.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?) ON CONFLICT (name) DO NOTHING", (proposed,))
    (epoch,) = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    return str(epoch)


def _insert(connection: sqlite3.Connection, columns: str, rows: Sequence[tuple[Any, ...]], rest: str = "") -> None:
    """Insert rows into `table (columns)`."""
    for chunk in chunks(rows):
        connection.execute(f"INSERT INTO {columns} VALUES {places(chunk)} {rest}", values(chunk))


def _highest(connection: sqlite3.Connection, sql: str) -> int:
    """What `SELECT max(…)` finds, 0 in an empty table."""
    (highest,) = connection.execute(sql).fetchone()
    return int(highest or 0)
