"""The functions that take records down. `node.store.removals` describes what they promise.

A body is overwritten where it stands by a skeleton of the same length, so that no row moves and no copy of a body is
left in a free place of a page. `secure_delete` overwrites what is freed. Then a checkpoint moves the write-ahead log
into the file and cuts the log to nothing.

A drop deletes rows. SQLite then joins pages that are nearly empty, and copies of rows of other domains can stay behind
in free places. So a drop ends with `VACUUM`, which writes the file anew and gives its space back to the machine. The
mark `remnants` in the table `meta` says that a file needs this.

The phases of an erasure: BODIES, FILES. Those of a drop: BODIES, EVENTS, ROWS, FILES. Each step is one transaction.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from node.store.removals import Counted, Erasure, Finish, Removal, RemovalKind, Step, Target
from node.store.rows import VERDICTS, record_of
from node.store.sqlite import testimony
from node.store.sqlite.connection import transaction
from node.store.sqlite.reading import last_event
from node.store.sqlite.statements import add_signer_of, chunks, keys_of, places, values
from node.store.sqlite.usage import forget_domain
from protocol.records.record import Record
from protocol.records.replay import Verdict
from protocol.records.skeleton import skeleton_of

BODIES, EVENTS, ROWS, FILES = range(4)

STEP_ROWS: Final = 1_000
"""Row numbers that one step looks at. With bodies of the greatest length, a step writes 64 MB."""

_ID_BYTES: Final = 32
_COLUMNS: Final = "no, kind, ids, domain, label, key, by, reason, time, done, records, bytes, position, through, phase"
_OF_DOMAIN: Final = "label IN (SELECT no FROM labels WHERE domain = ?)"


def begin(
    connection: sqlite3.Connection, kind: RemovalKind, target: Target, by: str, reason: str, time: int
) -> Removal:
    """See `Removals.begin`."""
    row = (kind, b"".join(map(bytes.fromhex, target.ids)), target.domain, target.label, target.key, by, reason, time)
    with transaction(connection):
        number = connection.execute(
            "INSERT INTO removals (kind, ids, domain, label, key, by, reason, time, through) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(no), 0) FROM records))",
            row,
        ).lastrowid
        if kind is RemovalKind.DROP:
            connection.execute("INSERT INTO dropped (domain) VALUES (?) ON CONFLICT DO NOTHING", (target.domain,))
    assert number is not None, "an INSERT has a row number"
    return removal(connection, number)


def removal(connection: sqlite3.Connection, number: int) -> Removal:
    """See `Removals.removal`."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM removals WHERE no = ?", (number,)).fetchone()
    return _removal_of(row)


def unfinished(connection: sqlite3.Connection) -> list[Removal]:
    """See `Removals.unfinished`."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM removals WHERE NOT done ORDER BY no")
    return [_removal_of(row) for row in rows]


def listed(connection: sqlite3.Connection, before: int | None, limit: int) -> list[Removal]:
    """See `Removals.list`."""
    sql = f"SELECT {_COLUMNS} FROM removals WHERE ? IS NULL OR no < ? ORDER BY no DESC LIMIT ?"
    return [_removal_of(row) for row in connection.execute(sql, (before, before, limit))]


def _removal_of(row: tuple[Any, ...]) -> Removal:
    number, kind, ids, domain, label, key, by, reason, time, is_done, records, size_bytes, position, through, phase = (
        row
    )
    names = tuple(ids[begin : begin + _ID_BYTES].hex() for begin in range(0, len(ids), _ID_BYTES))
    phases = FILES if kind == RemovalKind.DROP else 1
    return Removal(
        number=number,
        kind=RemovalKind(kind),
        target=Target(names, domain, label, key),
        by=by,
        reason=reason,
        time=time,
        is_done=bool(is_done),
        records=records,
        size_bytes=size_bytes,
        position=min(phase, phases) * through + (position if phase < phases else 0),
        total=phases * through,
        are_bodies_gone=phase > BODIES,
    )


def go_on(connection: sqlite3.Connection, number: int) -> Step:
    """See `Removals.go_on`."""
    sql = "SELECT phase, position, through FROM removals WHERE no = ?"
    phase, position, through = connection.execute(sql, (number,)).fetchone()
    now = removal(connection, number)
    if phase == BODIES:
        return _erase(connection, now, (position, through))
    if phase == EVENTS:
        _delete_events(connection, now, position)
    elif phase == ROWS:
        (last,) = connection.execute("SELECT coalesce(max(no), 0) FROM records").fetchone()
        _delete_rows(connection, now, (position, max(last, through)))
    return Step((), frozenset(), is_last=phase == FILES, is_last_body=True)


def _erase(connection: sqlite3.Connection, now: Removal, span: tuple[int, int]) -> Step:
    """Overwrite the bodies of one step. `span`: the last row that is done, and the last row of the removal."""
    is_drop = now.kind is RemovalKind.DROP
    found, end = _bodies(connection, now.target, span, is_drop=is_drop)
    is_last = end >= span[1]
    after_bodies = EVENTS if is_drop else FILES
    with transaction(connection):
        bodies = [(skeleton_of(record), no) for no, record in found]
        connection.executemany("UPDATE records SET body = ? WHERE no = ?", bodies)
        rows = [(no, now.number) for no, _ in found]
        connection.executemany("INSERT INTO erasures (record, removal) VALUES (?, ?)", rows)
        connection.execute(
            "UPDATE removals SET records = records + ?, bytes = bytes + ? WHERE no = ?",
            (len(found), sum(len(body) for body, _ in bodies), now.number),
        )
        _move(connection, now.number, BODIES, end, next_phase=after_bodies if is_last else None)
    labels = frozenset((record.domain, record.label) for _, record in found)
    return Step(tuple(record.id for _, record in found), labels, after_bodies == FILES and is_last, is_last)


def _bodies(
    connection: sqlite3.Connection, target: Target, span: tuple[int, int], *, is_drop: bool
) -> tuple[list[tuple[int, Record]], int]:
    """The first row numbers and records of the target in this span, without those that are erased already; and the last
    row that was looked at. An index finds ids and labels, so then the step looks at these rows only.
    """
    condition, arguments = _condition(target)
    is_indexed = bool(target.ids) or target.label is not None
    end = span[1] if is_indexed else min(span[0] + STEP_ROWS, span[1])
    kept = "" if is_drop else "AND NOT labels.label GLOB '@*' "
    add_signer_of(connection)
    rows = connection.execute(
        "SELECT records.no, id, body FROM records CROSS JOIN labels ON labels.no = records.label "
        f"WHERE records.no > ? AND records.no <= ? AND {condition} {kept}ORDER BY records.no LIMIT ?",
        (span[0], end, *arguments, STEP_ROWS),
    )
    records = [(no, record_of(record_id, body)) for no, record_id, body in rows]
    end = records[-1][0] if len(records) == STEP_ROWS else end
    return [(no, record) for no, record in records if not record.is_erased], end


def _condition(target: Target) -> tuple[str, list[Any]]:
    """The SQL that selects the records of a target, and its arguments."""
    parts: list[str] = []
    arguments: list[Any] = []
    if target.ids:
        parts.append(f"records.id IN ({', '.join('?' * len(target.ids))})")
        arguments += map(bytes.fromhex, target.ids)
    if target.label is not None:
        parts.append("records.label = (SELECT no FROM labels WHERE domain = ? AND label = ?)")
        arguments += (target.domain, target.label)
    elif target.domain is not None:
        parts.append("domain = ?")
        arguments.append(target.domain)
    if target.key is not None:  # the search for the text is fast, and then the field itself decides
        parts.append("instr(body, ?) AND signer_of(body) = ?")
        arguments += (f'"signedby":"{target.key}"'.encode(), bytes.fromhex(target.key))
    assert parts, "a removal has a target"
    return " AND ".join(parts), arguments


def _delete_events(connection: sqlite3.Connection, now: Removal, position: int) -> None:
    """Delete the events of the domain among the next ones. The number of the last event stays known."""
    last = last_event(connection)
    end = min(position + STEP_ROWS, last)
    with transaction(connection):
        _keep_last_event(connection, last)
        connection.execute(
            f"DELETE FROM events WHERE seq > ? AND seq <= ? AND record IN (SELECT no FROM records WHERE {_OF_DOMAIN})",
            (position, end, now.target.domain),
        )
        _move(connection, now.number, EVENTS, end, next_phase=ROWS if end >= last else None)


def _keep_last_event(connection: sqlite3.Connection, last: int) -> None:
    """Numbers of events are never used again, because clients hold cursors to them."""
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('last_event', ?) "
        "ON CONFLICT (name) DO UPDATE SET value = max(CAST(value AS INTEGER), excluded.value)",
        (last,),
    )


def _delete_rows(connection: sqlite3.Connection, now: Removal, span: tuple[int, int]) -> None:
    """Delete the records of the domain among the next ones, and after the last ones its labels and cursors."""
    domain = now.target.domain
    assert domain is not None, "a drop is of a domain"
    end = min(span[0] + STEP_ROWS, span[1])
    # Nothing names these records any more. SQLite would look through all events for each deleted record to see that.
    connection.execute("PRAGMA foreign_keys = OFF").close()
    try:
        with transaction(connection):
            connection.execute("INSERT INTO meta (name, value) VALUES ('remnants', 'drop') ON CONFLICT DO NOTHING")
            numbers = f"SELECT no FROM records WHERE no > ? AND no <= ? AND {_OF_DOMAIN}"
            arguments = (span[0], end, domain)
            connection.execute(f"DELETE FROM erasures WHERE record IN ({numbers})", arguments)
            connection.execute(f"DELETE FROM testimony WHERE record IN ({numbers})", arguments)
            connection.execute(f"DELETE FROM records WHERE no IN ({numbers})", arguments)
            if end >= span[1]:
                connection.execute("DELETE FROM labels WHERE domain = ?", (domain,))
                testimony.forget(connection, domain)
                connection.execute("DELETE FROM cursors WHERE domain = ?", (domain,))
                forget_domain(connection, domain)
            _move(connection, now.number, ROWS, end, next_phase=FILES if end >= span[1] else None)
    finally:
        connection.execute("PRAGMA foreign_keys = ON").close()


def _move(connection: sqlite3.Connection, number: int, phase: int, position: int, *, next_phase: int | None) -> None:
    """Note how far a removal is."""
    place = (phase, position) if next_phase is None else (next_phase, 0)
    connection.execute("UPDATE removals SET phase = ?, position = ? WHERE no = ?", (*place, number))


def finish(connection: sqlite3.Connection, number: int) -> Finish:
    """See `Removals.finish`."""
    if connection.execute("SELECT 1 FROM meta WHERE name = 'remnants'").fetchone():
        try:
            _write_anew(connection)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
                return Finish.FULL
            raise
    if not _empty_log(connection):
        return Finish.BUSY
    with transaction(connection):
        connection.execute("UPDATE removals SET done = 1 WHERE no = ? AND phase = ?", (number, FILES))
    return Finish.DONE


def _write_anew(connection: sqlite3.Connection) -> None:
    """Write the whole file anew. Its copy on the way may be large, so it goes to a file and not to memory."""
    with transaction(connection):
        older = (VERDICTS[Verdict.FOUNDED],)
        connection.execute("UPDATE records SET verdict = ? WHERE verdict = 1", older)
    (store,) = connection.execute("PRAGMA temp_store").fetchone()
    connection.execute("PRAGMA temp_store = FILE").close()
    try:
        connection.execute("VACUUM").close()
        connection.execute("DELETE FROM meta WHERE name = 'remnants'")
    finally:
        connection.execute(f"PRAGMA temp_store = {store}").close()


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Move the whole log into the file and cut it to nothing. Returns False if a reader is still in the log."""
    (timeout_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0").close()  # commits wait meanwhile, so the caller repeats the call
    try:
        is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {timeout_ms}").close()
    return not is_busy


def count(connection: sqlite3.Connection, target: Target) -> Counted:
    """See `Removals.count`. Looks at every record, unless the target names ids or a label."""
    condition, arguments = _condition(target)
    add_signer_of(connection)
    records, size_bytes, heads, of_witnesses = connection.execute(
        "SELECT coalesce(sum(NOT w), 0), coalesce(sum(size * NOT w), 0), coalesce(sum(is_head AND NOT w), 0), "
        "coalesce(sum(w), 0) FROM ("
        "SELECT labels.label GLOB '@*' AS w, length(body) AS size, head IS records.no AS is_head "
        "FROM records CROSS JOIN labels ON labels.no = records.label "
        f"WHERE {condition} AND records.no NOT IN (SELECT record FROM erasures))",
        arguments,
    ).fetchone()
    return Counted(records, size_bytes, heads, of_witnesses)


def erasures(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Erasure]:
    """See `Removals.erasures`."""
    found: dict[str, Erasure] = {}
    for chunk in chunks(keys_of(ids)):
        rows = connection.execute(
            "SELECT id, time, by, reason FROM records JOIN erasures ON record = records.no "
            f"JOIN removals ON removals.no = removal WHERE id IN (VALUES {places(chunk)})",
            values(chunk),
        )
        found |= {record_id.hex(): Erasure(*rest) for record_id, *rest in rows}
    return {record_id: found[record_id] for record_id in ids if record_id in found}


def dropped(connection: sqlite3.Connection) -> frozenset[str]:
    """See `Removals.dropped`."""
    return frozenset(domain for (domain,) in connection.execute("SELECT domain FROM dropped"))


def keep_again(connection: sqlite3.Connection, domain: str) -> bool:
    """See `Removals.keep_again`."""
    return connection.execute("DELETE FROM dropped WHERE domain = ?", (domain,)).rowcount > 0
