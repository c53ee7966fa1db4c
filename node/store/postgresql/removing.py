"""The statements that take records down. `node.store.removals` describes what they promise.

A body is replaced by its skeleton, and a drop deletes rows. PostgreSQL keeps the old versions of rows until a vacuum,
and its log and its replicas keep them for as long as they are set up to: no statement can reach there, so the
documentation says what an operator does about that.

The phases of an erasure: BODIES, END. Those of a drop: BODIES, EVENTS, ROWS, END. Each step is one transaction.
"""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from node.store.postgresql import testimony
from node.store.postgresql.reading import Reader
from node.store.removals import Counted, Erasure, Finish, Removal, RemovalKind, Step, Target
from node.store.rows import record_of
from protocol.records.record import Record
from protocol.records.skeleton import skeleton_of

BODIES, EVENTS, ROWS, END = range(4)

STEP_ROWS: Final = 1_000
"""Row numbers that one step looks at. With bodies of the greatest length, a step writes 64 MB."""

_PHASES: Final = {RemovalKind.ERASE: (BODIES, END), RemovalKind.DROP: (BODIES, EVENTS, ROWS, END)}
_COLUMNS: Final = "no, kind, ids, domain, label, key, by, reason, time, done, records, bytes, position, through, phase"
_OF_DOMAIN: Final = "label IN (SELECT no FROM labels WHERE domain = $1)"


async def begin(
    connection: asyncpg.Connection, kind: RemovalKind, target: Target, by: str, reason: str, time: int
) -> Removal:
    """See `Removals.begin`."""
    number = await connection.fetchval(
        "INSERT INTO removals (no, kind, ids, domain, label, key, by, reason, time, through, phase) "
        "VALUES ((SELECT coalesce(max(no), 0) + 1 FROM removals), $1, $2, $3, $4, $5, $6, $7, $8, "
        f"(SELECT coalesce(max(no), 0) FROM records), {BODIES}) RETURNING no",
        str(kind),
        [bytes.fromhex(record_id) for record_id in target.ids],
        target.domain,
        target.label,
        target.key,
        by,
        reason,
        time,
    )
    if kind is RemovalKind.DROP:
        await connection.execute("INSERT INTO dropped (domain) VALUES ($1) ON CONFLICT DO NOTHING", target.domain)
    return await removal(connection, number)


async def removal(reader: Reader, number: int) -> Removal:
    """See `Removals.removal`."""
    (row,) = await reader.fetch(f"SELECT {_COLUMNS} FROM removals WHERE no = $1", number)
    return _removal_of(row)


async def unfinished(reader: Reader) -> list[Removal]:
    """See `Removals.unfinished`."""
    return [
        _removal_of(row) for row in await reader.fetch(f"SELECT {_COLUMNS} FROM removals WHERE NOT done ORDER BY no")
    ]


async def listed(reader: Reader, before: int | None, limit: int) -> list[Removal]:
    """See `Removals.list`."""
    sql = f"SELECT {_COLUMNS} FROM removals WHERE $1::bigint IS NULL OR no < $1 ORDER BY no DESC LIMIT $2"
    return [_removal_of(row) for row in await reader.fetch(sql, before, limit)]


def _removal_of(row: asyncpg.Record) -> Removal:
    number, kind, ids, domain, label, key, by, reason, time, is_done, records, size_bytes, position, through, phase = (
        row
    )
    phases = _PHASES[RemovalKind(kind)]
    done = phases.index(phase)
    return Removal(
        number=number,
        kind=RemovalKind(kind),
        target=Target(tuple(record_id.hex() for record_id in ids), domain, label, key),
        by=by,
        reason=reason,
        time=time,
        is_done=is_done,
        records=records,
        size_bytes=size_bytes,
        position=done * through + (position if phase != END else 0),
        total=(len(phases) - 1) * through,
        are_bodies_gone=phase > BODIES,
    )


async def go_on(connection: asyncpg.Connection, number: int) -> Step:
    """See `Removals.go_on`."""
    (row,) = await connection.fetch("SELECT phase, position, through FROM removals WHERE no = $1", number)
    phase, position, through = row
    now = await removal(connection, number)
    if phase == BODIES:
        return await _erase(connection, now, (position, through))
    if phase == EVENTS:
        await _delete_events(connection, now, position)
    elif phase == ROWS:
        last = await connection.fetchval("SELECT coalesce(max(no), 0) FROM records")
        await _delete_rows(connection, now, (position, max(last, through)))
    return Step((), frozenset(), is_last=phase == END, is_last_body=True)


async def _erase(connection: asyncpg.Connection, now: Removal, span: tuple[int, int]) -> Step:
    """Replace the bodies of one step. `span`: the last row that is done, and the last row of the removal."""
    is_drop = now.kind is RemovalKind.DROP
    found, end = await _bodies(connection, now.target, span, is_drop=is_drop)
    numbers = [no for no, _ in found]
    await connection.execute(
        "UPDATE records SET body = changed.body FROM unnest($1::bigint[], $2::bytea[]) AS changed (no, body) "
        "WHERE records.no = changed.no",
        numbers,
        [skeleton_of(record) for _, record in found],
    )
    await connection.execute(
        "INSERT INTO erasures (record, removal) SELECT record, $2 FROM unnest($1::bigint[]) AS erased (record)",
        numbers,
        now.number,
    )
    await _count(connection, now.number, len(found), sum(len(record.canonical) for _, record in found))
    is_last = end >= span[1]
    after_bodies = EVENTS if is_drop else END
    await _move(connection, now.number, (after_bodies, 0) if is_last else (BODIES, end))
    labels = frozenset((record.domain, record.label) for _, record in found)
    return Step(tuple(record.id for _, record in found), labels, after_bodies == END and is_last, is_last)


async def _bodies(
    connection: asyncpg.Connection, target: Target, span: tuple[int, int], *, is_drop: bool
) -> tuple[list[tuple[int, Record]], int]:
    """The first row numbers and records of the target in this span, without those that are erased already; and the last
    row that was looked at. An index finds ids and labels, so then the step looks at these rows only.
    """
    is_indexed = bool(target.ids) or target.label is not None
    end = span[1] if is_indexed else min(span[0] + STEP_ROWS, span[1])
    condition, arguments = _condition(target, 4)
    kept = "" if is_drop else "AND labels.label NOT LIKE '@%' "
    rows = await connection.fetch(
        "SELECT records.no, id, body FROM records JOIN labels ON labels.no = records.label "
        f"WHERE records.no > $1 AND records.no <= $2 AND {condition} "
        f"{kept}ORDER BY records.no LIMIT $3",
        span[0],
        end,
        STEP_ROWS,
        *arguments,
    )
    records = [(no, record_of(record_id, body)) for no, record_id, body in rows]
    end = records[-1][0] if len(records) == STEP_ROWS else end
    return [(no, record) for no, record in records if not record.is_erased], end


def _condition(target: Target, first: int) -> tuple[str, list[Any]]:
    """The SQL that selects the records of a target, and its arguments, which are numbered from `first` on."""
    parts: list[str] = []
    arguments: list[Any] = []

    def place(argument: Any) -> str:
        arguments.append(argument)
        return f"${first + len(arguments) - 1}"

    if target.ids:
        parts.append(f"records.id = ANY({place([bytes.fromhex(record_id) for record_id in target.ids])}::bytea[])")
    if target.domain is not None:
        parts.append(f"domain = {place(target.domain)}")
    if target.label is not None:
        label = "(SELECT no FROM labels WHERE domain = {} AND label = {})"
        parts.append(f"records.label = {label.format(place(target.domain), place(target.label))}")
    if target.key is not None:  # the search for the bytes is fast, and then the field itself decides
        text = f'"signedby":"{target.key}"'.encode()
        parts.append(f"position({place(text)}::bytea IN body) > 0")
        parts.append(f"convert_from(body, 'UTF8')::json ->> 'signedby' = {place(target.key)}")
    assert parts, "a removal has a target"
    return " AND ".join(parts), arguments


async def _delete_events(connection: asyncpg.Connection, now: Removal, position: int) -> None:
    """Delete the events of the domain among the next ones. The newest row of `commits` keeps the last number."""
    last = await connection.fetchval("SELECT event FROM commits ORDER BY no DESC LIMIT 1")
    end = min(position + STEP_ROWS, last)
    await connection.execute(
        f"DELETE FROM events WHERE seq > $2 AND seq <= $3 AND record IN (SELECT no FROM records WHERE {_OF_DOMAIN})",
        now.target.domain,
        position,
        end,
    )
    await _move(connection, now.number, (ROWS, 0) if end >= last else (EVENTS, end))


async def _delete_rows(connection: asyncpg.Connection, now: Removal, span: tuple[int, int]) -> None:
    """Delete the records of the domain among the next ones, and after the last ones its labels and cursors."""
    domain = now.target.domain
    assert domain is not None, "a drop is of a domain"
    end = min(span[0] + STEP_ROWS, span[1])
    sql = f"DELETE FROM records WHERE no > $2 AND no <= $3 AND {_OF_DOMAIN} RETURNING no"
    gone = [row[0] for row in await connection.fetch(sql, domain, span[0], end)]
    for table in ("erasures", "testimony"):
        await connection.execute(f"DELETE FROM {table} WHERE record = ANY($1::bigint[])", gone)
    if end >= span[1]:
        await _forget_domain(connection, domain)
    await _move(connection, now.number, (END, 0) if end >= span[1] else (ROWS, end))


async def _forget_domain(connection: asyncpg.Connection, domain: str) -> None:
    """Delete what is left of a domain whose records are gone."""
    await connection.execute(f"DELETE FROM former_keys WHERE {_OF_DOMAIN}", domain)
    await testimony.forget(connection, domain)
    for table in ("labels", "cursors", "usage"):
        await connection.execute(f"DELETE FROM {table} WHERE domain = $1", domain)


async def _count(connection: asyncpg.Connection, number: int, records: int, size_bytes: int) -> None:
    sql = "UPDATE removals SET records = records + $2, bytes = bytes + $3 WHERE no = $1"
    await connection.execute(sql, number, records, size_bytes)


async def _move(connection: asyncpg.Connection, number: int, place: tuple[int, int]) -> None:
    """Note how far a removal is: its phase, and the last row in it that is done."""
    await connection.execute("UPDATE removals SET phase = $2, position = $3 WHERE no = $1", number, *place)


async def finish(connection: asyncpg.Connection, number: int) -> Finish:
    """See `Removals.finish`. A drop of a running node stays open, because its skeletons go at the next start."""
    await connection.execute("UPDATE removals SET done = true WHERE no = $1 AND phase = $2", number, END)
    return Finish.DONE


async def count(reader: Reader, target: Target) -> Counted:
    """See `Removals.count`. Looks at every record, unless the target names ids or a label."""
    condition, arguments = _condition(target, 1)
    (row,) = await reader.fetch(
        "SELECT count(*) FILTER (WHERE NOT w), coalesce(sum(size) FILTER (WHERE NOT w), 0), "
        "count(*) FILTER (WHERE is_head AND NOT w), count(*) FILTER (WHERE w) FROM ("
        "SELECT labels.label LIKE '@%' AS w, length(body) AS size, head = records.no AS is_head "
        "FROM records JOIN labels ON labels.no = records.label "
        f"WHERE {condition} AND NOT EXISTS (SELECT FROM erasures WHERE record = records.no)) AS counted",
        *arguments,
    )
    return Counted(*row)


async def erasures(reader: Reader, ids: Sequence[str]) -> dict[str, Erasure]:
    """See `Removals.erasures`."""
    rows = await reader.fetch(
        "SELECT id, time, by, reason FROM records JOIN erasures ON record = records.no "
        "JOIN removals ON removals.no = removal WHERE id = ANY($1::bytea[])",
        [bytes.fromhex(record_id) for record_id in ids],
    )
    found = {row[0].hex(): Erasure(*tuple(row)[1:]) for row in rows}
    return {record_id: found[record_id] for record_id in ids if record_id in found}


async def dropped(reader: Reader) -> frozenset[str]:
    """See `Removals.dropped`."""
    return frozenset(row[0] for row in await reader.fetch("SELECT domain FROM dropped"))


async def keep_again(connection: asyncpg.Connection, domain: str) -> bool:
    """See `Removals.keep_again`."""
    return await connection.execute("DELETE FROM dropped WHERE domain = $1", domain) != "DELETE 0"
