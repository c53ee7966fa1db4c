"""The functions that change the database. Each is one transaction.

Only one connection writes records, so it numbers rows itself, before it inserts them. A batch can then refer to its own
records without a question to the database.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from itertools import count, islice
from typing import Any, Final, TypeVar

import msgspec

from node.store.contract import Batch, Cursor, LabelKey, Peer, StoredRecord
from node.store.rows import EVENT_TYPES, VERDICTS, former_of, founders_of, owner_of
from node.store.sqlite import testimony
from node.store.sqlite.connection import transaction
from node.store.sqlite.reading import last_event
from node.store.sqlite.statements import chunks, insert, keys_of, places, values
from node.store.sqlite.usage import TAIL_RECORDS_MAX, THROUGH, Tail, write_tail
from node.store.testimony_rows import named_by
from protocol.records.change import Event, EventType
from protocol.records.named_keys import FEW_KEYS, ManyKeys
from protocol.records.replay import State, Verdict
from protocol.sets.index import key_id

NUMBERS_KEPT: Final = 16_384
"""Row numbers of records, and of labels, that stay in memory: about 5 MB."""

_MOSTLY: Final = ("no", "domain", "label", "head", "newest", "timestamp", "contested", "former", "owner")
"""Columns of every label."""

_SELDOM: Final = "final, founder, undecided, doubly_decided"
"""Columns of a label that has witnesses, or another owner than its founder."""

_Key = TypeVar("_Key")


class LastNumbers(msgspec.Struct, frozen=True):
    """The row number after which each table goes on, 0 for a new table. The writer keeps them between commits."""

    record: int
    label: int
    event: int


class RecentNumbers(msgspec.Struct):
    """The row numbers of records and labels of witnessed domains that were written lately, `kept` of each at most.

    Two receipts name each record soon, and each time both would be looked for in the database. A row keeps its number
    as long as a node runs.
    """

    kept: int = NUMBERS_KEPT
    records: dict[str, int] = msgspec.field(default_factory=dict)
    labels: dict[LabelKey, int] = msgspec.field(default_factory=dict)

    def keep(self, batch: Batch, records: Mapping[str, int], labels: Mapping[LabelKey, int]) -> None:
        """Keep the numbers of this batch, which is durable."""
        if not batch.walked:
            return
        for record in (stored.signed.record for stored in batch.records):
            if record.domain in batch.walked:
                self.records[record.id] = records[record.id]
                self.labels[record.domain, record.label] = labels[record.domain, record.label]
        _drop_oldest(self.records, self.kept)
        _drop_oldest(self.labels, self.kept)


def _drop_oldest(numbers: dict[_Key, int], kept: int) -> None:
    for oldest in list(islice(numbers, max(0, len(numbers) - kept))):
        del numbers[oldest]


def last_numbers(connection: sqlite3.Connection) -> LastNumbers:
    """The numbers as the database has them.

    A drop may have deleted the last records. Their numbers are not used again, because the tables of usage count the
    records up to a number: a later start would take new records with old numbers for counted ones.
    """
    label, record, counted = connection.execute(
        f"SELECT (SELECT max(no) FROM labels), (SELECT max(no) FROM records), {THROUGH}"
    ).fetchone()
    return LastNumbers(max(record or 0, counted), label or 0, last_event(connection))


def commit(
    connection: sqlite3.Connection, batch: Batch, last: LastNumbers, tail: Tail, recent: RecentNumbers
) -> LastNumbers:
    """See `Store.commit`. Returns the last numbers after it. If it raises, `tail` is no longer right."""
    with transaction(connection):
        numbers = _Numbers(connection, batch.records, last.record + 1)
        if batch.walked or batch.verdicts:  # else it names hardly any record but its own
            numbers.look_up({*named_by(batch), *batch.verdicts}, recent)
        labels = _label_numbers(connection, batch, recent, last.label + 1)
        founders = founders_of(batch)
        full = _put_former_keys(connection, batch, labels)
        held = [key for key in _maybe_with_other_owners(batch) if labels[key] <= last.label]
        witnessed = {labels[key] for key in held if key[0] in batch.walked}
        _put_states(connection, _state_rows(batch, founders, numbers, labels, full), witnessed)
        if len(held) > len(witnessed):
            ordinary = [key for key in held if key[0] not in batch.walked]
            _update_owners(connection, [(labels[it], owner_of(batch.states[it]), founders.get(it)) for it in ordinary])
        _insert_records(connection, batch.records, labels, last.record + 1)
        if batch.verdicts:
            _update_verdicts(connection, batch.verdicts, numbers)
        if batch.is_plain:
            _insert_acceptances(connection, last)
        else:
            _insert_events(connection, batch.events, numbers, last.event + 1)
        for domain, change in batch.walked.items():
            testimony.put(connection, domain, change, numbers)
        tail.add(batch.records)
        if tail.records >= TAIL_RECORDS_MAX:
            write_tail(connection, tail, last.record + len(batch.records))
    for named in full.values():
        named.on_stored()
    recent.keep(batch, numbers, labels)
    last_label = max(last.label, *labels.values()) if labels else last.label
    return LastNumbers(last.record + len(batch.records), last_label, last.event + len(batch.events))


class _Numbers(dict[str, int]):
    """The row number of each record of a batch. The number of any other record is looked up in the database: of many
    records at once by `look_up`, which costs a tenth.
    """

    def __init__(self, connection: sqlite3.Connection, records: Sequence[StoredRecord], first: int) -> None:
        """`first` is the row number of the first record."""
        self._connection = connection
        super().__init__(zip((stored.signed.record.id for stored in records), count(first)))

    def look_up(self, ids: Collection[str], recent: RecentNumbers) -> None:
        """Look these records up. They are in the batch, or are stored."""
        for record_id in ids:
            if record_id not in self and record_id in recent.records:
                self[record_id] = recent.records[record_id]
        for chunk in chunks(keys_of(each for each in ids if each not in self)):
            sql = f"SELECT id, no FROM records WHERE id IN (VALUES {places(chunk)})"
            self.update((each.hex(), number) for each, number in self._connection.execute(sql, values(chunk)))

    def __missing__(self, record_id: str) -> int:
        row = self._connection.execute("SELECT no FROM records WHERE id = ?", (bytes.fromhex(record_id),)).fetchone()
        assert row is not None, "a batch names its own records, and records that are stored"
        number = self[record_id] = int(row[0])
        return number


def _label_numbers(
    connection: sqlite3.Connection, batch: Batch, recent: RecentNumbers, first: int
) -> dict[LabelKey, int]:
    """The row numbers of the labels of a batch, in the order of its states. New labels get numbers from `first` on."""
    found = {key: recent.labels[key] for key in batch.looked_up if key in recent.labels}
    for chunk in chunks([key for key in batch.looked_up if key not in found]):
        sql = f"""
            WITH wanted (domain, label) AS (VALUES {places(chunk)})
            SELECT domain, label, no FROM wanted CROSS JOIN labels USING (domain, label)
        """
        found |= {(domain, label): number for domain, label, number in connection.execute(sql, values(chunk))}
    free = count(first)
    if not found:  # most labels of a catch-up are new
        return dict(zip(batch.states, free, strict=False))
    return {key: found[key] if key in found else next(free) for key in batch.states}


def _put_former_keys(
    connection: sqlite3.Connection, batch: Batch, labels: dict[LabelKey, int]
) -> dict[LabelKey, ManyKeys]:
    """Put keys of labels with many of them in the table of keys; returns the sets whose keys are all there now.

    A label's own row holds its newest keys, until they are more than `FEW_KEYS`. So a record that names a new key costs
    the same, however many there are. If verdicts changed, a label may have fewer keys than before.
    """
    full = {}
    fewer: list[tuple[int]] = []
    rows: list[tuple[int, bytes]] = []
    for key, state in batch.states.items():
        named = state.named
        many = named if type(named) is ManyKeys else None  # `isinstance` of an abstract class takes five times as long
        if bool(batch.verdicts) if many is None else not many.has_stored:
            fewer.append((labels[key],))
        if many is not None and len(unstored := many.unstored()) > FEW_KEYS:
            rows += ((labels[key], bytes.fromhex(each)) for each in unstored)
            full[key] = many
    for chunk in chunks(fewer):
        connection.execute(f"DELETE FROM former_keys WHERE label IN (VALUES {places(chunk)})", values(chunk))
    insert(connection, "INSERT INTO former_keys (label, key)", rows)
    return full


def _state_rows(
    batch: Batch,
    founders: dict[LabelKey, bytes],
    numbers: _Numbers,
    labels: dict[LabelKey, int],
    full: Collection[LabelKey],
) -> list[tuple[Any, ...]]:
    """The rows of the labels of a batch. `full`: labels whose keys are all in the table of keys.

    `sqlite3` looks for an adapter of each `bytes`, bool and None that it binds, which takes 0.2 us. It binds a
    bytearray and an int at once.
    """
    has_seldom = bool(founders or batch.walked)  # otherwise these columns have their defaults

    def row(number: int, key: LabelKey, state: State) -> tuple[Any, ...]:
        tip, owner = state.tip, owner_of(state)
        most = (
            number,
            *key,
            numbers[tip.id] if tip else None,
            numbers[state.newest[1]],
            tip.timestamp if tip else None,
            int(state.contested),
            bytearray(b"" if key in full else former_of(state)),
            owner and bytearray(owner),
        )
        return (*most, *_seldom(state, owner, founders.get(key), numbers)) if has_seldom else most

    return list(map(row, labels.values(), batch.states, batch.states.values()))


def _put_states(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], witnessed: Set[int]) -> None:
    """Insert the labels that are new, and update the others. `witnessed`: the numbers of the held labels of witnessed
    domains that may have another owner. The owners of other held labels stay as they are.

    The owner of a witnessed label stands for its founder, so its own row has both. To write them together with the head
    saves a second update of a row that mostly gets its first head.
    """
    if not rows:
        return
    columns = _MOSTLY if len(rows[0]) == len(_MOSTLY) else (*_MOSTLY, _SELDOM)
    into = f"INSERT INTO labels ({', '.join(columns)})"
    rest = (
        "ON CONFLICT (no) DO UPDATE SET head = excluded.head, newest = excluded.newest, "
        "timestamp = excluded.timestamp, contested = excluded.contested, former = excluded.former, "
        "final = excluded.final, undecided = excluded.undecided, doubly_decided = excluded.doubly_decided"
    )
    if witnessed:
        moved = [row for row in rows if row[0] in witnessed]
        insert(connection, into, moved, f"{rest}, owner = excluded.owner, founder = excluded.founder")
        rows = [row for row in rows if row[0] not in witnessed]
    insert(connection, into, rows, rest)


def _seldom(state: State, owner: bytes | None, founder: bytes | None, numbers: _Numbers) -> tuple[Any, ...]:
    """The columns of `_SELDOM`."""
    final = None if state.final is None else numbers[state.final]
    return (final, None if founder == owner else founder, state.undecided, state.doubly_decided)


def _maybe_with_other_owners(batch: Batch) -> Iterable[LabelKey]:
    """The labels that may have another owner, or another founder, than before.

    In a witnessed domain the owner stands for the founder. So both stay as they are where no event tells of another
    head: many labels of a batch only have a head that is final now. Labels of receipts have no events.
    """
    if not batch.walked:
        return batch.states
    moved = {(it.record.domain, it.record.label) for it in batch.events if it.type is not EventType.FINAL}
    return [key for key in batch.states if key in moved or key[0] not in batch.walked or key[1].startswith("@")]


def _update_owners(connection: sqlite3.Connection, owners: Sequence[tuple[int, bytes | None, bytes | None]]) -> None:
    """Change the owners and the founders of labels that have others: the label's row number, its owner, and its
    founder, None if the founder stays.

    SQLite writes the index anew for each row of an update, even if nothing changes. So rows that stay the same are left
    out.
    """
    was, now = "coalesce(labels.founder, labels.owner)", "coalesce(changed.founder, labels.founder, labels.owner)"
    for chunk in chunks(owners):
        connection.execute(
            f"WITH changed (no, owner, founder) AS (VALUES {places(chunk)}) "
            f"UPDATE labels SET owner = changed.owner, founder = nullif({now}, changed.owner) FROM changed "
            f"WHERE labels.no = changed.no AND (labels.owner IS NOT changed.owner OR {was} IS NOT {now})",
            values(chunk),
        )


def _insert_records(
    connection: sqlite3.Connection, records: Sequence[StoredRecord], labels: dict[LabelKey, int], first: int
) -> None:
    """Insert records, the first of them with this row number."""

    def row(number: int, stored: StoredRecord) -> tuple[Any, ...]:
        record = stored.signed.record
        return (
            number,
            bytearray(key_id(record.index_key)),  # bound more quickly than bytes: see `_put_states`
            labels[record.domain, record.label],
            record.timestamp,
            stored.received,
            VERDICTS[stored.verdict],
            bytearray.fromhex(stored.signed.signature),
            bytearray(record.canonical),
        )

    columns = "no, id, label, timestamp, received, verdict, signature, body"
    insert(connection, f"INSERT INTO records ({columns})", list(map(row, count(first), records)))


def _update_verdicts(connection: sqlite3.Connection, verdicts: dict[str, Verdict], numbers: _Numbers) -> None:
    rows = [(numbers[record_id], VERDICTS[verdict]) for record_id, verdict in verdicts.items()]
    for chunk in chunks(rows):
        updated = connection.execute(
            f"UPDATE records SET verdict = column2 FROM (VALUES {places(chunk)}) WHERE no = column1",
            values(chunk),
        ).rowcount
        assert updated == len(chunk), "only a stored record gets a new verdict"


def _insert_acceptances(connection: sqlite3.Connection, last: LastNumbers) -> None:
    """Insert the events of a plain batch, whose records follow the last one. Faster than a value for each column."""
    connection.execute(
        "INSERT INTO events (seq, record, type) SELECT no + ?, no, ? FROM records WHERE no > ?",
        (last.event - last.record, EVENT_TYPES[EventType.ACCEPTED], last.record),
    )


def _insert_events(connection: sqlite3.Connection, events: Sequence[Event], numbers: _Numbers, first: int) -> None:
    def row(seq: int, event: Event) -> tuple[Any, ...]:
        previous = bytes.fromhex(event.previous) if event.previous else None
        return (seq, numbers[event.record.id], EVENT_TYPES[event.type], previous, event.reason)

    rows = [row(seq, event) for seq, event in enumerate(events, first)]
    insert(connection, "INSERT INTO events (seq, record, type, previous, reason)", rows)


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
    """See `Store.remove_peer`. A trigger removes the cursors."""
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
    """Give the store this epoch if it has none. Returns the epoch of the store."""
    connection.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?) ON CONFLICT (name) DO NOTHING", (proposed,))
    (epoch,) = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    return str(epoch)
