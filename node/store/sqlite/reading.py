"""The functions that read the database. Each uses an index and does a bounded amount of work."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import NamedTuple

from node.store.contract import (
    EVERYTHING,
    Cursor,
    Founder,
    LabelKey,
    Outline,
    Past,
    Peer,
    Selection,
    ShownRecord,
    StoredEvent,
    StoredRecord,
)
from node.store.rows import (
    EVENT_TYPES,
    past_of,
    record_of,
    signed_record_of,
    state_of,
    stored_event_of,
    stored_record_of,
    text_behind,
    verdict_of,
)
from node.store.sqlite.handwritten import SkippedRow, cursors_of, peers_of
from node.store.sqlite.statements import chunks, keys_of, places, values
from protocol.limits import SAFE_INTEGER_MAX
from protocol.records.change import EventType
from protocol.records.record import SignedRecord, is_witnessed
from protocol.records.replay import State
from protocol.sets.index import pack_key

KEYS_PAGE = 10_000
"""Records in a page of keys: about 30 ms of a reader's time a page."""

HEADS_FEW = 10_000
"""Up to this many heads since a timestamp are found by the index on timestamps and then sorted, in about 20 ms. More
heads are found among all labels in order, where they soon fill a page."""

_STORED = "SELECT id, signature, body, verdict, received"
_OF_LABEL = "WHERE label = (SELECT no FROM labels WHERE domain = ? AND label = ?) ORDER BY timestamp, id"

# CROSS makes SQLite read labels first, because their index gives the order.
_HEADS = "SELECT records.id, signature, body FROM labels CROSS JOIN records ON records.no = head"
_HEAD = """
    SELECT records.id, signature, body, final IS head FROM labels CROSS JOIN records ON records.no = head
    WHERE domain = ? AND labels.label = ?
"""
_AFTER = {
    "all": "(domain, labels.label) > (?, ?) AND labels.label NOT GLOB '@*'",
    "one": "domain = ? AND labels.label >= ? AND labels.label < ? AND labels.label NOT GLOB '@*'",
}
"""Labels that begin with `@` hold what witnesses say. Their heads are no claims."""

# The plus sign keeps SQLite from using the index on timestamps.
HEADS_IN_ORDER = {
    which: f"{_HEADS} WHERE {after} AND +labels.timestamp >= ? ORDER BY domain, labels.label LIMIT ?"
    for which, after in _AFTER.items()
}
HEADS_BY_TIMESTAMP = {
    which: f"""
        SELECT records.id, signature, body
        FROM (
            SELECT domain, labels.label, head FROM labels INDEXED BY labels_by_timestamp
            WHERE {after} AND timestamp >= ? ORDER BY domain, label LIMIT ?
        ) AS labels CROSS JOIN records ON records.no = head
        ORDER BY domain, labels.label
    """
    for which, after in _AFTER.items()
}


_OWNER = "substr(owner, 1, 8) = substr(?, 1, 8) AND owner = ?"

HEADS_OF_OWNER = {
    which: f"""
        SELECT records.id, signature, body
        FROM (
            SELECT domain, labels.label, head FROM labels INDEXED BY labels_by_owner
            WHERE {_OWNER} AND {after} AND timestamp >= ? ORDER BY domain, label LIMIT ?
        ) AS labels CROSS JOIN records ON records.no = head
        ORDER BY domain, labels.label
    """
    for which, after in _AFTER.items()
}
"""The heads of a key with few labels: found by the key, and then sorted."""

HEADS_OF_OWNER_IN_ORDER = {
    which: f"{_HEADS} WHERE {after} AND +owner = ? AND +labels.timestamp >= ? ORDER BY domain, labels.label LIMIT ?"
    for which, after in _AFTER.items()
}
"""The heads of a key with many labels: found among all labels in order, where they soon fill a page."""


_FOUNDED = f"""
    SELECT
        (SELECT count(*) FROM labels INDEXED BY labels_by_owner WHERE domain = ? AND founder IS NULL AND {_OWNER})
        + (SELECT count(*) FROM labels INDEXED BY labels_by_founder
            WHERE domain = ? AND substr(founder, 1, 8) = substr(?, 1, 8) AND founder = ?)
"""
"""The labels that a key founded: those that it still owns, and those that it gave away."""


class ManyKeysError(Exception):
    """A label has named more keys than this function reads."""


def states(
    connection: sqlite3.Connection, labels: Sequence[LabelKey], keys_max: int | None = None
) -> dict[LabelKey, State]:
    """See `Store.states`.

    Raises:
        ManyKeysError: a label has more than `keys_max` keys in the table of keys.
    """
    found: dict[LabelKey, State] = {}
    for chunk in chunks(labels):
        sql = f"""
            WITH wanted (domain, label) AS (VALUES {places(chunk)})
            SELECT labels.domain, labels.label, contested, former, newest.timestamp, newest.id, head.id, head.body,
                final.id, undecided, doubly_decided,
                iif(EXISTS (SELECT 1 FROM former_keys WHERE label = labels.no), labels.no, NULL)
            FROM wanted
            CROSS JOIN labels ON labels.domain = wanted.domain AND labels.label = wanted.label
            CROSS JOIN records AS newest ON newest.no = labels.newest
            LEFT JOIN records AS head ON head.no = labels.head
            LEFT JOIN records AS final ON final.no = labels.final
        """
        for domain, label, *row, with_more in connection.execute(sql, values(chunk)).fetchall():
            more = () if with_more is None else former_keys(connection, with_more, keys_max)
            found[domain, label] = state_of(tuple(row), more)
    return {key: found[key] for key in labels if key in found} if len(found) > 1 else found


def former_keys(connection: sqlite3.Connection, label: int, keys_max: int | None = None) -> list[bytes]:
    """The keys of a label that are in the table of keys.

    Raises:
        ManyKeysError: there are more than `keys_max`.
    """
    limit = -1 if keys_max is None else keys_max + 1  # SQLite takes a negative limit for none
    found = connection.execute("SELECT key FROM former_keys WHERE label = ? LIMIT ?", (label, limit))
    keys = [key for (key,) in found]
    if keys_max is not None and len(keys) > keys_max:
        raise ManyKeysError
    return keys


class Page(NamedTuple):
    """The arguments of `Store.heads`."""

    domain: str | None
    after: LabelKey | None
    since: int
    limit: int
    prefix: str
    bytes_max: int | None


def records(connection: sqlite3.Connection, ids: Sequence[str], bytes_max: int | None) -> dict[str, StoredRecord]:
    """See `Store.records`."""
    found: dict[str, StoredRecord] = {}
    size_bytes = 0
    for chunk in chunks(keys_of(dict.fromkeys(ids))):
        # CROSS makes SQLite look up one wanted id after another, so that the rows come in the order of the ids. SQLite
        # finds a row when it is asked for it, so at most one body is read that is not returned.
        sql = f"WITH wanted (id) AS (VALUES {places(chunk)}) {_STORED} FROM wanted CROSS JOIN records USING (id)"
        with closing(connection.execute(sql, values(chunk))) as rows:
            for row in rows:
                size_bytes += len(row[2])
                if bytes_max is not None and size_bytes > bytes_max and found:
                    return found
                found[row[0].hex()] = stored_record_of(row)
    return found


def held(connection: sqlite3.Connection, ids: Sequence[str]) -> frozenset[str]:
    """See `Store.held`. Only the index on the id is read."""
    found: set[str] = set()
    for chunk in chunks(keys_of(ids)):
        rows = connection.execute(f"SELECT id FROM records WHERE id IN (VALUES {places(chunk)})", values(chunk))
        found.update(row[0].hex() for row in rows)
    return frozenset(found)


def history(connection: sqlite3.Connection, domain: str, label: str) -> list[Past]:
    """See `Store.history`."""
    rows = connection.execute(f"SELECT id, body, verdict FROM records {_OF_LABEL}", (domain, label))
    return [past_of(*row) for row in rows]


def outline(connection: sqlite3.Connection, domain: str, label: str) -> Outline:
    """See `Store.outline`. Bodies are not read, because they come last in their rows."""
    ids, verdicts = bytearray(), []
    for record_id, verdict in connection.execute(f"SELECT id, verdict FROM records {_OF_LABEL}", (domain, label)):
        ids += record_id
        verdicts.append(verdict_of(verdict))
    return Outline(bytes(ids), verdicts)


def head(connection: sqlite3.Connection, domain: str, label: str) -> ShownRecord | None:
    """See `Store.head`."""
    row = connection.execute(_HEAD, (domain, label)).fetchone()
    if row is None:
        return None
    record_id, signature, body, is_final = row
    return ShownRecord(record_id.hex(), signature.hex(), body, bool(is_final))


def heads(connection: sqlite3.Connection, page: Page) -> list[SignedRecord]:
    """See `Store.heads`. Every label has at least one byte, so all labels come after the empty text."""
    domain, after, since, limit, prefix, bytes_max = page
    assert domain is None or after is None or after[0] == domain, "a page continues in its own domain"
    assert domain is not None or not prefix, "labels with one prefix are neighbours only within one domain"
    queries = HEADS_BY_TIMESTAMP if since > 0 and _are_few_since(connection, since) else HEADS_IN_ORDER
    if domain is None:
        rows = connection.execute(queries["all"], (*(after or ("", "")), since, limit))
    else:
        rows = connection.execute(queries["one"], (domain, *_label_range(after, prefix), since, limit))
    return [signed_record_of(*row) for row in (rows if bytes_max is None else _first_rows(rows, bytes_max))]


def _first_rows(rows: sqlite3.Cursor, bytes_max: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The rows up to the one that brings the bodies to so many bytes."""
    size_bytes = 0
    with closing(rows):
        for record_id, signature, body in rows:
            yield record_id, signature, body
            size_bytes += len(body)
            if size_bytes >= bytes_max:
                return


def heads_of_owner(connection: sqlite3.Connection, owner: str, page: Page) -> list[SignedRecord]:
    """See `Store.heads_of_owner`."""
    domain, after, since, limit, _prefix, bytes_max = page
    assert domain is None or after is None or after[0] == domain, "a page continues in its own domain"
    key, which = bytes.fromhex(owner), "all" if domain is None else "one"
    place = (after or ("", "")) if domain is None else (domain, *_label_range(after, ""))
    if _are_few_of_owner(connection, key):
        rows = connection.execute(HEADS_OF_OWNER[which], (key, key, *place, since, limit))
    else:
        rows = connection.execute(HEADS_OF_OWNER_IN_ORDER[which], (*place, key, since, limit))
    return [signed_record_of(*row) for row in (rows if bytes_max is None else _first_rows(rows, bytes_max))]


def labels_founded(connection: sqlite3.Connection, founders: Sequence[Founder]) -> dict[Founder, int]:
    """See `Store.labels_founded`."""
    found = {}
    for domain, key in founders:
        if is_witnessed(domain):
            found[domain, key] = _foundings(connection, domain, key)
            continue
        raw = bytes.fromhex(key)
        (found[domain, key],) = connection.execute(_FOUNDED, (domain, raw, raw, domain, raw, raw)).fetchone()
    return found


def _foundings(connection: sqlite3.Connection, domain: str, key: str) -> int:
    """How many foundings the key brought to a witnessed domain. The search for the text finds few other records."""
    rows = connection.execute(
        "SELECT id, body FROM labels CROSS JOIN records ON records.label = labels.no "
        "WHERE domain = ? AND labels.label NOT GLOB '@*' AND instr(body, ?)",
        (domain, f'"signedby":"{key}"'.encode()),
    )
    return sum(record.signedby == key and record.prev is None for record in (record_of(*row) for row in rows))


def _label_range(after: LabelKey | None, prefix: str) -> tuple[str, str | bytes]:
    """A range of the index: the first label in the page's range, and the first label past the range.

    No label holds U+0001, so a label with U+0001 appended is the bound directly after the label. Code points sort like
    their UTF-8 bytes.
    """
    begin = max(prefix, after[1] + "\x01") if after else prefix
    behind = text_behind(prefix)
    return begin, b"" if behind is None else behind  # SQLite sorts a blob after all text


def _are_few_since(connection: sqlite3.Connection, since: int) -> bool:
    sql = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE timestamp >= ? LIMIT ?)"
    (found,) = connection.execute(sql, (since, HEADS_FEW + 1)).fetchone()
    return int(found) <= HEADS_FEW


def _are_few_of_owner(connection: sqlite3.Connection, key: bytes) -> bool:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM labels INDEXED BY labels_by_owner WHERE {_OWNER} LIMIT ?)"
    (found,) = connection.execute(sql, (key, key, HEADS_FEW + 1)).fetchone()
    return int(found) <= HEADS_FEW


def keys(connection: sqlite3.Connection, after: int) -> tuple[int, dict[str, list[bytes]]]:
    """A page of packed keys by domain, of records with row numbers above `after`; and the last row number."""
    rows = connection.execute(
        "SELECT records.no, domain, records.timestamp, id FROM records JOIN labels ON labels.no = records.label "
        "WHERE records.no > ? ORDER BY records.no LIMIT ?",
        (after, KEYS_PAGE),
    )
    page: dict[str, list[bytes]] = {}
    for number, domain, timestamp, record_id in rows:
        page.setdefault(domain, []).append(pack_key(timestamp, record_id))
        after = number
    return after, page


def events(
    connection: sqlite3.Connection,
    after: int,
    limit: int,
    selection: Selection = EVERYTHING,
    through: int | None = None,
) -> list[StoredEvent]:
    """See `Store.events`. Reads the events in order, and bodies only of selected events."""
    wanted = {"domain": selection.domains, "labels.label": selection.labels}
    names = {column: sorted(these) for column, these in wanted.items() if these is not None}
    sql = (
        "SELECT seq, type, previous, reason, records.id, body, signature FROM events "
        "CROSS JOIN records ON records.no = record "
        + ("CROSS JOIN labels ON labels.no = records.label " if names else "")
        + "WHERE seq > ? AND seq <= ? "
        + (f"AND type = {EVENT_TYPES[EventType.FINAL]} " if selection.only_final else "")
        + "".join(f"AND {column} IN ({', '.join('?' * len(these))}) " for column, these in names.items())
        + "ORDER BY seq LIMIT ?"
    )
    most = SAFE_INTEGER_MAX if through is None else through
    rows = connection.execute(sql, (after, most, *chain.from_iterable(names.values()), limit))
    return [stored_event_of(row) for row in rows]


def last_event(connection: sqlite3.Connection) -> int:
    """See `Store.last_event`. If a drop deleted the last event, its number stands in `meta`."""
    (last,) = connection.execute(
        "SELECT max((SELECT coalesce(max(seq), 0) FROM events), "
        "(SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE name = 'last_event'))"
    ).fetchone()
    return int(last)


def peers(connection: sqlite3.Connection) -> tuple[list[Peer], list[SkippedRow]]:
    """See `Store.peers`. Text comes as bytes, because people write here too."""
    return peers_of(
        connection.execute(
            "SELECT CAST(url AS BLOB), push, pull, accept, CAST(key AS BLOB) FROM peers ORDER BY coalesce(url, key)"
        )
    )


def cursors(connection: sqlite3.Connection) -> tuple[list[Cursor], list[SkippedRow]]:
    """See `Store.cursors`. Text comes as bytes, because people write here too."""
    return cursors_of(
        connection.execute(
            "SELECT CAST(peer AS BLOB), CAST(domain AS BLOB), CAST(direction AS BLOB), timestamp FROM cursors"
        )
    )
