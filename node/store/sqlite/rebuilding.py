"""Rebuilding: computes every derived value again from the bytes of the records, and compares it with the file.

Only the body of a record is original data. Its place in the index, its label, its verdict, the state of the label and
the events all follow from bodies. So a rebuild needs no second copy: it derives each value, compares, and writes only
the values that differ. It does so in one transaction, so a killed process leaves the file as before or complete. If
nothing differs, the file is proven equal to its records.

Events keep their numbers, because clients hold cursors to them. If the last event of a label names another head than
replay does, the rebuild adds one event.

Only a body can be lost. A body that does not hash to its id is damage, and then nothing is written.

An erased record has a skeleton in the place of its body. Verdicts, states and events follow from skeletons as they do
from bodies. But nothing proves a skeleton, so a skeleton that no removal accounts for is damage too.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import msgspec

from node.store.contract import StoreError
from node.store.rows import (
    EVENT_TYPES,
    VERDICTS,
    former_of,
    join_keys,
    named_by,
    owner_of,
    record_of,
    split_keys,
    verdict_name,
)
from node.store.sqlite import recounting, testimony
from node.store.sqlite.connection import BUSY_TIMEOUT_S, transaction
from node.store.sqlite.deriving import derive_missing, walked, witnessed_names
from node.store.sqlite.faults import DAMAGED, explain
from node.store.sqlite.reading import former_keys, last_event
from node.store.sqlite.schema import MIGRATIONS, check_version, migrate, version_of
from protocol.records.change import EventType
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import State, Verdict, replay
from protocol.witness.change import DomainChange

DIFFERENCES_SHOWN_MAX: Final = 1_000
"""Differences that the report describes. It counts all of them."""

REASON: Final = "the state of this label was rebuilt from its records, and the head shown before was wrong"

_PAGE: Final = 2_000
"""Records, or labels, in one read. The read ends before anything is written, because a cursor must not meet its own
changes."""

_MOVING: Final = frozenset({"timestamp", "place", "verdict"})
"""Differences whose repair can move the row of a record, and leave a copy of its body in a free place of the file."""

_STATE_COLUMNS: Final = (
    *("head", "newest", "timestamp", "contested", "former", "owner", "final", "founder"),
    *("undecided", "doubly_decided"),
)

_DAMAGED_SHOWN_MAX: Final = 10
_INDEX_FAULTS: Final = ("missing from index", "entries in index", "non-unique entry in index", "out of order in index")

# SQLite builds the table of the last events before it gives the first row, so events may be added meanwhile. Events of
# type 3 say that a record is final, not that it is the head. Receipts of witnesses have no events.
_TOLD_OTHERWISE: Final = """
    SELECT domain, labels.label, head, told.record
    FROM labels LEFT JOIN (
        SELECT records.label, events.record, max(seq) FROM events JOIN records ON no = record
        WHERE type <> 3 GROUP BY records.label
    ) AS told ON told.label = labels.no
    WHERE head IS NOT NULL AND head IS NOT told.record AND labels.label NOT GLOB '@seen/*'
    ORDER BY labels.no
"""

Advance = Callable[[int], None]


class DerivedDifference(msgspec.Struct, frozen=True):
    """A derived value in the file that differs from the value that the records give.

    `what` names the value. `was` is the value in the file, `now` the value that the records give. `record` is an id.
    """

    what: str
    was: str | None
    now: str | None
    domain: str | None = None
    label: str | None = None
    record: str | None = None


class Rebuilt(msgspec.Struct):
    """The number of values compared, the count of each kind of difference, and the first differences.

    `erased` counts the records among `records` whose bodies are erased.
    """

    records: int = 0
    erased: int = 0
    labels: int = 0
    events: int = 0
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    differences: list[DerivedDifference] = msgspec.field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        return not self.counts

    def note(self, difference: DerivedDifference) -> None:
        self.counts[difference.what] += 1
        if len(self.differences) < DIFFERENCES_SHOWN_MAX:
            self.differences.append(difference)


def count_steps(path: Path) -> int:
    """The number of steps that `rebuild` will report: two for each record."""
    with _explained(path), closing(_opened(path)) as connection:
        (records,) = connection.execute("SELECT count(*) FROM records").fetchone()
    return 2 * int(records)


def rebuild(path: Path, advance: Advance = lambda _: None, *, is_check: bool = False) -> Rebuilt:
    """Compare the derived values in the file with the records, and repair the values that differ.

    `is_check`: only compare. The caller must hold the folder, so that no node writes meanwhile. `advance` is called
    with the number of steps done.

    Raises:
        StoreError: the file is of another version, or its pages or bodies are damaged. Then nothing was written.
    """
    with _explained(path), closing(_opened(path)) as connection:
        version = version_of(connection)
        check_version(version, len(MIGRATIONS))
        if is_check and version < len(MIGRATIONS):
            raise StoreError(f"an older dnarc wrote {path}", "start the node once, or rebuild without --check")
        if not is_check:
            migrate(connection)
            derive_missing(connection)
        with _undone(connection) if is_check else transaction(connection):
            return _Rebuild(connection, advance).run()


def _opened(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise StoreError(f"there is no database at {path}", "name the data folder of a node")
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "cache_size = -65536"):
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns every error of SQLite into a `StoreError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error


@contextmanager
def _undone(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that is always rolled back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


class _Judged(msgspec.Struct, frozen=True):
    """What the records of a label give: verdicts by record id, the state, and the founder if another key owns it."""

    verdicts: dict[str, Verdict]
    state: State
    founder: bytes | None = None


class _Rebuild:
    """One rebuild inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, advance: Advance) -> None:
        self._connection = connection
        self._advance = advance
        self._report = Rebuilt()

    def run(self) -> Rebuilt:
        self._check_indexes()
        self._check_records()
        self._check_labels()
        self._check_witnessed()
        self._check_events()
        self._check_usage()
        if self._report.counts.keys() & _MOVING:
            sql = "INSERT INTO meta (name, value) VALUES ('remnants', 'rebuild') ON CONFLICT DO NOTHING"
            self._connection.execute(sql)
        return self._report

    def _check_indexes(self) -> None:
        """Check SQLite's own indexes first, because the other checks read by them."""
        faults = [text for (text,) in self._connection.execute("PRAGMA integrity_check(1000)") if text != "ok"]
        damage = [fault for fault in faults if not any(kind in fault for kind in _INDEX_FAULTS)]
        if damage:
            raise StoreError(f"the file is damaged ({damage[0]})", DAMAGED)
        for fault in faults:
            self._report.note(DerivedDifference("index", fault, None))
        if faults:
            self._connection.execute("REINDEX")

    def _check_records(self) -> None:
        """Check that each body hashes to its id, and that the columns beside the body were read from it."""
        damaged: list[str] = []
        for page in self._record_pages():
            for number, record_id, body, timestamp, domain, label, is_erased in page:
                if not (is_erased or hashlib.sha256(body).digest() == record_id):
                    damaged.append(record_id.hex())
                elif not damaged:
                    self._check_columns(number, record_of(record_id, body), timestamp, (domain, label))
                    self._report.erased += is_erased
            self._report.records += len(page)
            self._advance(len(page))
        if damaged:
            shown = ", ".join(damaged[:_DAMAGED_SHOWN_MAX])
            raise StoreError(f"the bodies of {len(damaged)} records are damaged: {shown}", DAMAGED)

    def _record_pages(self) -> Iterator[list[Any]]:
        last = 0
        while page := self._connection.execute(
            "SELECT records.no, id, body, records.timestamp, domain, labels.label, "
            "EXISTS (SELECT 1 FROM erasures WHERE record = records.no) "
            "FROM records LEFT JOIN labels ON labels.no = records.label "
            "WHERE records.no > ? ORDER BY records.no LIMIT ?",
            (last, _PAGE),
        ).fetchall():
            yield page
            last = page[-1][0]

    def _check_columns(self, number: int, record: Record, timestamp: int, key: tuple[str | None, str | None]) -> None:
        place = (record.domain, record.label)
        if timestamp != record.timestamp:
            self._note("timestamp", str(timestamp), str(record.timestamp), place, record.id)
            self._connection.execute("UPDATE records SET timestamp = ? WHERE no = ?", (record.timestamp, number))
        if key != place:
            was = None if key[0] is None else f"{key[0]} {key[1]}"
            self._note("place", was, " ".join(place), place, record.id)
            change = (self._label_no(place, number), number)
            self._connection.execute("UPDATE records SET label = ? WHERE no = ?", change)

    def _label_no(self, place: tuple[str, str], record_no: int) -> int:
        """The row number of this label. A new row is filled when labels are checked."""
        self._connection.execute(
            "INSERT INTO labels (domain, label, newest, contested, former) VALUES (?, ?, ?, 0, x'') "
            "ON CONFLICT (domain, label) DO NOTHING",
            (*place, record_no),
        )
        sql = "SELECT no FROM labels WHERE domain = ? AND label = ?"
        (number,) = self._connection.execute(sql, place).fetchone()
        return int(number)

    def _check_labels(self) -> None:
        """Replay every label of ordinary domains from its records. A label without records is removed."""
        last = 0
        while page := self._connection.execute(
            f"SELECT no, domain, label, {', '.join(_STATE_COLUMNS)} FROM labels WHERE no > ? ORDER BY no LIMIT ?",
            (last, _PAGE),
        ).fetchall():
            first, last = page[0][0], page[-1][0]
            ordinary = [row for row in page if not is_witnessed(row[1])]
            histories = self._histories(first, last, {number for number, *_ in ordinary})
            for number, domain, label, *columns in ordinary:
                history = histories.get(number, [])
                self._check_label(number, (domain, label), tuple(columns), history, _replayed(history))
            self._report.labels += len(histories)
            self._advance(sum(map(len, histories.values())))

    def _histories(self, first: int, last: int, wanted: Container[int]) -> dict[int, list[Any]]:
        """`(label, no, id, verdict, body)` of the records of the wanted labels among these, by the label's row."""
        rows = self._connection.execute(
            "SELECT label, no, id, verdict, body FROM records WHERE label BETWEEN ? AND ? ORDER BY label",
            (first, last),
        )
        return {label: list(history) for label, history in groupby(rows, key=itemgetter(0)) if label in wanted}

    def _check_label(
        self, number: int, place: tuple[str, str], columns: tuple[Any, ...], history: Sequence[Any], judged: "_Judged"
    ) -> None:
        """`history`: for each record the row number of its label, its own, its id, its verdict, and maybe more."""
        numbers = {record_id.hex(): no for _, no, record_id, *_ in history}
        if not numbers:
            self._note("label", "there", "no record is of it", place, None)
            self._connection.execute("DELETE FROM labels WHERE no = ?", (number,))
            return
        verdicts = {record_id.hex(): verdict for _, _, record_id, verdict, *_ in history}
        self._check_verdicts(place, judged, verdicts, numbers)
        self._check_state(number, place, columns, judged, numbers)

    def _check_verdicts(
        self, place: tuple[str, str], judged: "_Judged", stored: dict[str, int], numbers: dict[str, int]
    ) -> None:
        for record_id, verdict in judged.verdicts.items():
            if verdict_name(stored[record_id]) != verdict:
                self._note("verdict", verdict_name(stored[record_id]), verdict, place, record_id)
                change = (VERDICTS[verdict], numbers[record_id])
                self._connection.execute("UPDATE records SET verdict = ? WHERE no = ?", change)

    def _check_state(
        self, number: int, place: tuple[str, str], columns: tuple[Any, ...], judged: "_Judged", numbers: dict[str, int]
    ) -> None:
        state = judged.state
        head, timestamp = (numbers[state.tip.id], state.tip.timestamp) if state.tip else (None, None)
        final = None if state.final is None else numbers[state.final]
        newest, contested = numbers[state.newest[1]], int(state.contested)
        owner, founder = owner_of(state), judged.founder
        waiting = (state.undecided, state.doubly_decided)
        derived = (head, newest, timestamp, contested, former_of(state), owner, final, founder, *waiting)
        columns = self._with_all_former_keys(number, columns, state)
        if columns == derived:
            return
        self._connection.execute("DELETE FROM former_keys WHERE label = ?", (number,))
        ids = {no: record_id for record_id, no in numbers.items()}
        was, now = _described(columns, ids), _described(derived, ids)
        for what in was:
            if was[what] != now[what]:
                self._note(what, was[what], now[what], place, None)
        columns_set = ", ".join(f"{name} = ?" for name in _STATE_COLUMNS)
        self._connection.execute(f"UPDATE labels SET {columns_set} WHERE no = ?", (*derived, number))

    def _with_all_former_keys(self, number: int, columns: tuple[Any, ...], state: State) -> tuple[Any, ...]:
        """The columns of a label, with all its former keys, also those in the table of keys."""
        table = former_keys(self._connection, number)
        if not table:
            return columns
        place = _STATE_COLUMNS.index("former")
        keys = {key.hex() for key in (*table, *split_keys(columns[place]))} - named_by(state.tip)
        return (*columns[:place], join_keys(keys), *columns[place + 1 :])

    def _check_events(self) -> None:
        """Check that the last event of each label names its head; otherwise add one event."""
        (self._report.events,) = self._connection.execute("SELECT count(*) FROM events").fetchone()
        last = last_event(self._connection)
        for seq, (domain, label, head, told) in enumerate(self._connection.execute(_TOLD_OTHERWISE), start=last + 1):
            was, now = self._id_of(told), self._id_of(head)
            self._note("event", was.hex() if was else None, now.hex() if now else None, (domain, label), None)
            kind, reason = (EventType.REVERTED, REASON) if was else (EventType.ACCEPTED, None)
            self._connection.execute(
                "INSERT INTO events (seq, record, type, previous, reason) VALUES (?, ?, ?, ?, ?)",
                (seq, head, EVENT_TYPES[kind], was, reason),
            )

    def _check_usage(self) -> None:
        """Count the records of each domain and key again."""
        differences = list(recounting.find_differences(self._connection))
        for each in differences:
            self._note("usage", each.counted, each.right, (each.domain, each.key or ""), None)
        if differences:
            recounting.count_anew(self._connection)

    def _check_witnessed(self) -> None:
        """Walk all records of each witnessed domain, and compare its labels and what witnesses said with the file.

        A domain is walked as a whole, and once, because its labels may stand between those of other domains.
        """
        for table in testimony.TABLES:
            self._connection.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM main.{table} WHERE 0")
        for domain in witnessed_names(self._connection):
            found = walked(self._connection, domain)
            testimony.put(self._connection, domain, found.change, found.numbers, "temp")
            self._check_walked(domain, found.change)
            self._advance(len(found.numbers))
        for table in testimony.TABLES:
            wrong = self._rows_only_in(f"main.{table}", f"temp.{table}")
            missing = self._rows_only_in(f"temp.{table}", f"main.{table}")
            self._repair(table, wrong, missing)
            self._connection.execute(f"DROP TABLE temp.{table}")

    def _check_walked(self, domain: str, change: DomainChange) -> None:
        """Compare the labels of this domain with what its records give."""
        labels = self._connection.execute(
            f"SELECT no, label, {', '.join(_STATE_COLUMNS)} FROM labels WHERE domain = ?", (domain,)
        ).fetchall()
        for number, label, *columns in labels:
            history = self._connection.execute(
                "SELECT label, no, id, verdict FROM records WHERE label = ?", (number,)
            ).fetchall()
            ids = [record_id.hex() for _, _, record_id, _ in history]
            judged = _Judged({each: change.verdicts[each] for each in ids}, change.states.get(label, State()))
            self._check_label(number, (domain, label), tuple(columns), history, judged)
            self._report.labels += bool(history)

    def _rows_only_in(self, one: str, other: str) -> list[Any]:
        return self._connection.execute(f"SELECT * FROM {one} EXCEPT SELECT * FROM {other}").fetchall()

    def _repair(self, table: str, wrong: Sequence[Any], missing: Sequence[Any]) -> None:
        """Take these rows out of the table, and put those in."""
        columns = [name for _, name, *_ in self._connection.execute(f"PRAGMA main.table_info({table})")]
        where = " AND ".join(f"{name} IS ?" for name in columns)
        for row in wrong:
            self._report.note(DerivedDifference(table, _shown(row), None))
            self._connection.execute(f"DELETE FROM main.{table} WHERE {where}", row)
        for row in missing:
            self._report.note(DerivedDifference(table, None, _shown(row)))
            self._connection.execute(f"INSERT INTO main.{table} VALUES ({', '.join('?' * len(row))})", row)

    def _id_of(self, number: int | None) -> bytes | None:
        row = self._connection.execute("SELECT id FROM records WHERE no = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def _note(self, what: str, was: str | None, now: str | None, place: tuple[str, str], record: str | None) -> None:
        self._report.note(DerivedDifference(what, was, now, *place, record))


def _replayed(history: Iterable[Any]) -> _Judged:
    """What the records of a label of an ordinary domain give."""
    replayed = replay(record_of(record_id, body) for _, _, record_id, _, body in history)
    chain, owner = replayed.chain, replayed.state.owner
    founder = chain[0].signedby if chain and chain[0].signedby != owner else None
    return _Judged(replayed.verdicts, replayed.state, None if founder is None else bytes.fromhex(founder))


def _shown(row: Iterable[Any]) -> str:
    """The values of a row in words."""
    return " ".join(value.hex() if isinstance(value, bytes) else str(value) for value in row)


def _described(columns: tuple[Any, ...], ids: dict[int, str]) -> dict[str, str | None]:
    """The columns of a label's state in words. Row numbers of records become their ids."""
    head, newest, timestamp, contested, former, owner, final, founder, undecided, doubly_decided = columns
    return {
        "head": None if head is None else ids.get(head, f"row {head}"),
        "newest": ids.get(newest, f"row {newest}"),
        "head's timestamp": None if timestamp is None else str(timestamp),
        "contested": "yes" if contested else "no",
        "former owners": former.hex(),
        "owner": None if owner is None else owner.hex(),
        "final": None if final is None else ids.get(final, f"row {final}"),
        "founder": None if founder is None else founder.hex(),
        "undecided": str(undecided),
        "doubly decided": str(doubly_decided),
    }
