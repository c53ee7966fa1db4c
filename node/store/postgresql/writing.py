"""The statements that change the database.

One process writes records, so it numbers rows itself, before it inserts them. A batch can then refer to its own records
without a question to the server. New rows go by COPY, which costs the server half of what INSERT costs it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from itertools import count
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg
import msgspec

from node.store.contract import Batch, Cursor, LabelKey, Peer, StoredRecord
from node.store.postgresql import testimony, usage
from node.store.postgresql.reading import Reader
from node.store.rows import EVENT_TYPES, VERDICTS, former_of, founders_of, owner_of
from node.store.testimony_rows import named_by
from protocol.records.change import Event
from protocol.records.named_keys import FEW_KEYS, ManyKeys
from protocol.records.replay import State, Verdict

_P = ParamSpec("_P")
_T = TypeVar("_T")

_STATE_COLUMNS = (
    *("head", "newest", "timestamp", "contested", "former", "owner", "final"),
    *("undecided", "doubly_decided"),
)
_LABEL_COLUMNS = ("no", "domain", "label", *_STATE_COLUMNS, "founder")
_RECORD_COLUMNS = ("no", "id", "label", "timestamp", "received", "verdict", "signature", "body")
_EVENT_COLUMNS = ("seq", "record", "type", "previous", "reason")


# The first array stands in a subquery, as in `reading._STATES`, so that the server keeps one plan.
# A founder is kept where another key owns the label now, and is NULL where it is the owner. `changed.founder` is NULL
# where the batch brings no founder.
_UPDATE_LABELS: Final = """
    UPDATE labels SET head = changed.head, newest = changed.newest, timestamp = changed.timestamp,
        contested = changed.contested, former = changed.former, owner = changed.owner, final = changed.final,
        undecided = changed.undecided, doubly_decided = changed.doubly_decided,
        founder = nullif(coalesce(changed.founder, labels.founder, labels.owner), changed.owner)
    FROM unnest((SELECT $1::bigint[]), $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bytea[],
        $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[])
        AS changed (no, head, newest, timestamp, contested, former, owner, final, undecided, doubly_decided, founder)
    WHERE labels.no = changed.no
"""

_ORIGIN: Final = """
    SELECT format('%s/%s/%s', (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8), 'meta'::regclass::oid)
"""
"""The cluster, its timeline and the number of a table. A failover and a recovery to a point in time begin a timeline,
and a database that was restored from a dump has new tables. Then commits may be missing that clients have seen, and
numbers of events may be used again. So the epoch is another one, and cursors of before are noticed.
"""

COMMITS_KEPT: Final = 100_000
"""Rows of `commits` that stay."""

_PRUNE_EVERY: Final = 1_000
"""Commits from one removal of old rows to the next."""

CHANNEL: Final = "'dnarc ' || hashtext(current_schema())"
"""The channel, in SQL, on which the number of each commit is told. Channels are shared by all schemas of a database.
Their names must be short, and that of a schema may be long."""


class Position(msgspec.Struct, frozen=True):
    """The number of a commit, and the highest row number of each table after it. All are 0 in an empty store.

    The writer keeps the last position between commits, so that it can number rows without asking.
    """

    commit: int
    record: int
    label: int
    event: int


Written = tuple[_T, Position]
"""What a transaction returns, and the position after it."""

Work = Callable[[asyncpg.Connection, Position, int], Awaitable[Written[_T]]]
"""What a transaction does, from the position before it, in this term."""


async def last_position(reader: Reader) -> Position:
    """The position as the database has it."""
    return (await last_commit(reader))[1]


async def last_commit(reader: Reader) -> tuple[int, Position]:
    """The term of the last commit, and the position after it."""
    sql = "SELECT term, no, record, label, event FROM commits ORDER BY no DESC LIMIT 1"
    ((term, *position),) = await reader.fetch(sql)
    return term, Position(*position)


async def commit(
    connection: asyncpg.Connection, last: Position, term: int, batch: Batch
) -> Written[tuple[Iterable[ManyKeys], int]]:
    """See `Store.commit`. Runs within the caller's transaction.

    Returns the sets of keys that are all stored when the transaction is, and the number of the last event.
    """
    numbers = await _record_numbers(connection, batch, last.record + 1)
    held = await _label_numbers(connection, list(batch.looked_up))
    free = count(last.label + 1)
    labels = {key: held[key] if key in held else next(free) for key in batch.states}
    full = await _put_former_keys(connection, batch, labels)
    await _put_states(connection, batch, numbers, labels, held, full)
    await _copy(connection, "records", _RECORD_COLUMNS, _record_rows(batch.records, numbers, labels))
    await usage.add(connection, batch.records)
    await _update_verdicts(connection, batch.verdicts)
    await _copy(connection, "events", _EVENT_COLUMNS, _event_rows(batch.events, numbers, last.event + 1))
    for domain, change in batch.walked.items():
        await testimony.put(connection, domain, change, numbers)
    position = Position(
        last.commit + 1,
        last.record + len(batch.records),
        last.label + len(labels) - len(held),
        last.event + len(batch.events),
    )
    await _tell(connection, position, term)
    return (full.values(), position.event), position


def noted(
    work: Callable[Concatenate[asyncpg.Connection, _P], Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
) -> Work[_T]:
    """A transaction that does this, and is noted among the commits although it has no records."""
    return _noted(False, work, *args, **kwargs)


def noted_removal(
    work: Callable[Concatenate[asyncpg.Connection, _P], Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
) -> Work[_T]:
    """The same of work that takes something down."""
    return _noted(True, work, *args, **kwargs)


def _noted(
    is_removal: bool,
    work: Callable[Concatenate[asyncpg.Connection, _P], Awaitable[_T]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Work[_T]:
    async def write(connection: asyncpg.Connection, last: Position, term: int) -> Written[_T]:
        result = await work(connection, *args, **kwargs)
        position = msgspec.structs.replace(last, commit=last.commit + 1)
        await _tell(connection, position, term, is_removal=is_removal)
        return result, position

    return write


async def _tell(connection: asyncpg.Connection, position: Position, term: int, *, is_removal: bool = False) -> None:
    """Note the commit, and tell those who follow. The server tells them when the transaction is committed."""
    await connection.execute(
        "WITH noted AS (INSERT INTO commits (no, term, record, label, event, removal) VALUES ($1, $2, $3, $4, $5, $6) "
        f"RETURNING no) SELECT pg_notify({CHANNEL}, no::text) FROM noted",
        position.commit,
        term,
        position.record,
        position.label,
        position.event,
        is_removal,
    )
    if position.commit % _PRUNE_EVERY == 0:
        await connection.execute("DELETE FROM commits WHERE no <= $1", position.commit - COMMITS_KEPT)


_NUMBERS: Final = "SELECT id, no FROM unnest((SELECT $1::bytea[])) AS wanted (id) JOIN records USING (id)"


async def _record_numbers(connection: asyncpg.Connection, batch: Batch, first: int) -> dict[str, int]:
    """The row number of each record that the batch holds or names. Its new records are numbered from `first` on."""
    numbers = {stored.signed.record.id: number for number, stored in enumerate(batch.records, first)}
    named = set(named_by(batch))
    strangers = [bytes.fromhex(record_id) for record_id in named if record_id not in numbers]
    if strangers:
        rows = await connection.fetch(_NUMBERS, strangers)
        numbers |= {record_id.hex(): number for record_id, number in rows}
    assert named <= numbers.keys(), "a batch names its own records, and records that are stored"
    return numbers


async def _label_numbers(connection: asyncpg.Connection, keys: Sequence[LabelKey]) -> dict[LabelKey, int]:
    """The row numbers of those among these labels that are stored."""
    if not keys:
        return {}
    rows = await connection.fetch(
        "SELECT domain, label, no FROM unnest((SELECT $1::text[]), $2::text[]) AS wanted (domain, label) "
        "JOIN labels USING (domain, label)",
        [domain for domain, _ in keys],
        [label for _, label in keys],
    )
    return {(domain, label): number for domain, label, number in rows}


async def _put_former_keys(
    connection: asyncpg.Connection, batch: Batch, labels: dict[LabelKey, int]
) -> dict[LabelKey, ManyKeys]:
    """Put keys of labels with many of them in the table of keys; returns the sets whose keys are all there then.

    A label's own row holds its newest keys, until they are more than `FEW_KEYS`. So a record that names a new key costs
    the same, however many there are. If verdicts changed, a label may have fewer keys than before.
    """
    full = {}
    fewer: list[int] = []
    rows: list[tuple[int, bytes]] = []
    for key, state in batch.states.items():
        named = state.named
        if not named.has_stored if isinstance(named, ManyKeys) else bool(batch.verdicts):
            fewer.append(labels[key])
        if isinstance(named, ManyKeys) and len(unstored := named.unstored()) > FEW_KEYS:
            rows += ((labels[key], bytes.fromhex(each)) for each in unstored)
            full[key] = named
    if fewer:
        await connection.execute("DELETE FROM former_keys WHERE label = ANY($1::bigint[])", fewer)
    await _copy(connection, "former_keys", ("label", "key"), rows)
    return full


async def _put_states(
    connection: asyncpg.Connection,
    batch: Batch,
    numbers: dict[str, int],
    labels: dict[LabelKey, int],
    held: dict[LabelKey, int],
    full: Collection[LabelKey],
) -> None:
    """Insert the labels that are new, and update the others. `full`: labels whose keys are all in the table of keys."""
    founders = founders_of(batch)
    rows = {key: _state_row(state, numbers, is_full=key in full) for key, state in batch.states.items()}
    new = [
        (labels[key], *key, *rows[key], _founder(founders.get(key), state))
        for key, state in batch.states.items()
        if key not in held
    ]
    await _copy(connection, "labels", _LABEL_COLUMNS, new)
    changed = [(held[key], *rows[key], founders.get(key)) for key in batch.states if key in held]
    if changed:
        await connection.execute(_UPDATE_LABELS, *map(list, zip(*changed, strict=True)))


def _founder(founder: bytes | None, state: State) -> bytes | None:
    return None if founder == owner_of(state) else founder


def _state_row(state: State, numbers: dict[str, int], *, is_full: bool) -> tuple[Any, ...]:
    """The columns from `head` to `doubly_decided`."""
    head, timestamp = (numbers[state.tip.id], state.tip.timestamp) if state.tip else (None, None)
    final = None if state.final is None else numbers[state.final]
    newest = numbers[state.newest[1]]
    former = b"" if is_full else former_of(state)
    waiting = (state.undecided, state.doubly_decided)
    return (head, newest, timestamp, state.contested, former, owner_of(state), final, *waiting)


def _record_rows(
    records: Sequence[StoredRecord], numbers: dict[str, int], labels: dict[LabelKey, int]
) -> list[tuple[Any, ...]]:
    return [
        (
            numbers[stored.signed.record.id],
            bytes.fromhex(stored.signed.record.id),
            labels[stored.signed.record.domain, stored.signed.record.label],
            stored.signed.record.timestamp,
            stored.received,
            VERDICTS[stored.verdict],
            bytes.fromhex(stored.signed.signature),
            stored.signed.record.canonical,
        )
        for stored in records
    ]


async def _update_verdicts(connection: asyncpg.Connection, verdicts: dict[str, Verdict]) -> None:
    if not verdicts:
        return
    status = await connection.execute(
        "UPDATE records SET verdict = changed.verdict "
        "FROM unnest((SELECT $1::bytea[]), $2::smallint[]) AS changed (id, verdict) WHERE records.id = changed.id",
        [bytes.fromhex(record_id) for record_id in verdicts],
        [VERDICTS[verdict] for verdict in verdicts.values()],
    )
    assert status == f"UPDATE {len(verdicts)}", "only a stored record gets a new verdict"


def _event_rows(events: Sequence[Event], numbers: dict[str, int], first: int) -> list[tuple[Any, ...]]:
    return [
        (
            seq,
            numbers[event.record.id],
            EVENT_TYPES[event.type],
            bytes.fromhex(event.previous) if event.previous else None,
            event.reason,
        )
        for seq, event in enumerate(events, first)
    ]


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    if rows:
        await connection.copy_records_to_table(table, records=rows, columns=columns)


async def put_peer(connection: asyncpg.Connection, peer: Peer) -> None:
    """See `Store.put_peer`."""
    conflict = "(key) WHERE url IS NULL" if peer.url is None else "(url)"
    await connection.execute(
        "INSERT INTO peers (url, push, pull, accept, key) VALUES ($1, $2, $3, $4, $5) "
        f"ON CONFLICT {conflict} DO UPDATE SET push = excluded.push, pull = excluded.pull, accept = excluded.accept, "
        "key = excluded.key",
        peer.url,
        peer.push,
        peer.pull,
        peer.accept,
        peer.key,
    )


async def pin_peer(connection: asyncpg.Connection, name: str, key: str) -> bool:
    """See `Store.pin_peer`."""
    status = await connection.execute("UPDATE peers SET key = $1 WHERE url = $2 AND key IS NULL", key, name)
    return status != "UPDATE 0"


async def remove_peer(connection: asyncpg.Connection, name: str) -> bool:
    """See `Store.remove_peer`. A trigger removes the cursors."""
    return await connection.execute("DELETE FROM peers WHERE coalesce(url, key) = $1", name) != "DELETE 0"


async def put_cursors(connection: asyncpg.Connection, cursors: Iterable[Cursor]) -> None:
    """See `Store.put_cursors`. The last of two cursors for the same direction counts."""
    rows = {(cursor.peer, cursor.domain, cursor.direction): cursor.timestamp for cursor in cursors}
    if rows:
        peers, domains, directions = zip(*rows, strict=True)
        await connection.execute(
            "INSERT INTO cursors (peer, domain, direction, timestamp) "
            "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) "
            "ON CONFLICT (peer, domain, direction) DO UPDATE SET timestamp = excluded.timestamp",
            peers,
            domains,
            directions,
            list(rows.values()),
        )


async def put_epoch(connection: asyncpg.Connection, proposed: str) -> str:
    """Give the store this epoch if it has none, or if its origin is another one. Returns the epoch of the store."""
    before = await connection.fetchval("SELECT value FROM meta WHERE name = 'origin'")
    origin = str(await connection.fetchval(_ORIGIN))
    if before != origin:
        changed = ("origin",) if before is None else ("origin", "epoch")
        await connection.execute("DELETE FROM meta WHERE name = ANY($1::text[])", changed)
        await put_meta(connection, "origin", origin)
    return await put_meta(connection, "epoch", proposed)


async def put_meta(connection: asyncpg.Connection, name: str, proposed: str) -> str:
    """Store this value under the name if there is none. Returns the value that is stored."""
    sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
    await connection.execute(sql, name, proposed)
    return str(await connection.fetchval("SELECT value FROM meta WHERE name = $1", name))
