"""The functions that read the database, each by an index and in bounded work."""

import sqlite3
from collections.abc import Sequence

from node.sqlite_store.rows import signed_record_of, state_of, stored_event_of, stored_record_of
from node.store import Cursor, LabelKey, Peer, StoredEvent, StoredRecord
from protocol.index import pack_key
from protocol.record import SignedRecord
from protocol.replay import State

KEYS_PAGE = 10_000
"""Records in a page of keys: about 30 ms of a reader's time."""

_STORED = "SELECT id, signature, body, verdict, received FROM records"
# CROSS: read labels first, for their index sorts.
_HEADS_OF_LABELS = "SELECT records.id, signature, body FROM labels CROSS JOIN records ON records.no = head"
_PAGE = "timestamp >= ? ORDER BY domain, labels.label LIMIT ?"
HEADS_OF_ALL = f"{_HEADS_OF_LABELS} WHERE (domain, labels.label) > (?, ?) AND {_PAGE}"
HEADS_OF_ONE_DOMAIN = f"{_HEADS_OF_LABELS} WHERE domain = ? AND labels.label > ? AND {_PAGE}"


def states(connection: sqlite3.Connection, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
    """See `Store.states`."""
    sql = """
        SELECT contested, former, newest.timestamp, newest.id, head.id, head.body
        FROM labels
        JOIN records AS newest ON newest.no = labels.newest
        LEFT JOIN records AS head ON head.no = labels.head
        WHERE domain = ? AND labels.label = ?
    """
    rows = ((key, connection.execute(sql, key).fetchone()) for key in labels)
    return {key: state_of(row) for key, row in rows if row is not None}


def history(connection: sqlite3.Connection, domain: str, label: str) -> list[StoredRecord]:
    """See `Store.history`."""
    sql = f"{_STORED} WHERE label = (SELECT no FROM labels WHERE domain = ? AND label = ?) ORDER BY timestamp, id"
    return [stored_record_of(row) for row in connection.execute(sql, (domain, label))]


def records(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, StoredRecord]:
    """See `Store.records`."""
    rows = ((name, connection.execute(f"{_STORED} WHERE id = ?", (bytes.fromhex(name),)).fetchone()) for name in ids)
    return {name: stored_record_of(row) for name, row in rows if row is not None}


def head(connection: sqlite3.Connection, domain: str, label: str) -> SignedRecord | None:
    """See `Store.head`."""
    sql = f"{_HEADS_OF_LABELS} WHERE domain = ? AND labels.label = ?"
    row = connection.execute(sql, (domain, label)).fetchone()
    return None if row is None else signed_record_of(*row)


def heads(
    connection: sqlite3.Connection, domain: str | None, after: LabelKey | None, since: int, limit: int
) -> list[SignedRecord]:
    """See `Store.heads`. Every label has at least one byte, so all of them come after the empty one."""
    if domain is None:
        rows = connection.execute(HEADS_OF_ALL, (*(after or ("", "")), since, limit))
    else:
        assert after is None or after[0] == domain, "a page goes on in its own domain"
        rows = connection.execute(HEADS_OF_ONE_DOMAIN, (domain, after[1] if after else "", since, limit))
    return [signed_record_of(*row) for row in rows]


def keys(connection: sqlite3.Connection, after: int) -> tuple[int, dict[str, list[bytes]]]:
    """A page of packed keys by domain, of the records numbered above `after`; and the last one's number."""
    rows = connection.execute(
        "SELECT records.no, domain, timestamp, id FROM records JOIN labels ON labels.no = records.label "
        "WHERE records.no > ? ORDER BY records.no LIMIT ?",
        (after, KEYS_PAGE),
    )
    page: dict[str, list[bytes]] = {}
    for number, domain, timestamp, record_id in rows:
        page.setdefault(domain, []).append(pack_key(timestamp, record_id))
        after = number
    return after, page


def events(connection: sqlite3.Connection, after: int, limit: int) -> list[StoredEvent]:
    """See `Store.events`."""
    rows = connection.execute(
        "SELECT seq, type, previous, reason, id, body, signature FROM events JOIN records ON no = record "
        "WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return [stored_event_of(row) for row in rows]


def last_event(connection: sqlite3.Connection) -> int:
    """See `Store.last_event`."""
    (last,) = connection.execute("SELECT max(seq) FROM events").fetchone()
    return last or 0


def peers(connection: sqlite3.Connection) -> list[Peer]:
    """See `Store.peers`."""
    rows = connection.execute("SELECT url, push, pull, accept, key FROM peers ORDER BY coalesce(url, key)")
    return [
        Peer(url=url, push=bool(push), pull=bool(pull), accept=None if accept is None else bool(accept), key=key)
        for url, push, pull, accept, key in rows
    ]


def cursors(connection: sqlite3.Connection) -> list[Cursor]:
    """See `Store.cursors`."""
    return [Cursor(*row) for row in connection.execute("SELECT peer, domain, direction, timestamp FROM cursors")]
