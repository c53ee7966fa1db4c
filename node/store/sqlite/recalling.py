"""The functions that read parts of a witnessed domain. See `protocol.witness.recall`."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from node.store.rows import past_of, record_of
from node.store.sqlite import reading
from node.store.sqlite.statements import chunks, keys_of, places, values
from node.store.sqlite.testimony import witnesses_of
from node.store.testimony_rows import hear
from protocol.records.record import POLICY_LABEL, Record
from protocol.witness.recall import Known, Overview, Spoken, Wanted
from protocol.witness.receipt import receipt_label, receipt_of
from protocol.witness.testimony import FORKS_MAX, SIBLINGS_KEPT, Act, Evidence, Fork, Link, Place, Spot

_NO_LIMIT: Final = -1
"""SQLite takes a negative limit for none."""

_OF_LABELS: Final = "records AS told ON told.label = wanted.it CROSS JOIN testimony ON record = told.no"
_OF_RECORDS: Final = "records AS told ON told.id = wanted.it CROSS JOIN testimony ON record = told.no"
_AHEAD: Final = "testimony_ahead AS told ON told.id = wanted.it"
"""What was said of the records of labels (records.label), of records (ids), and of records that are not held (ids)."""

_LAST_SAID: Final = f"""
    told AS (SELECT no FROM wanted CROSS JOIN records ON id = it),
    heard AS (SELECT no AS witness FROM witnesses WHERE domain = ?),
    deciding AS (
        SELECT record, round FROM told CROSS JOIN testimony ON record = told.no CROSS JOIN heard USING (witness)
        WHERE act = {int(Act.COMMIT)} GROUP BY record, round HAVING count(*) >= ?
    ),
    shown (record, witness, act, round) AS (
        SELECT told.no, heard.witness, acts.act, (
            SELECT max(round) FROM testimony
            WHERE record = told.no AND testimony.witness = heard.witness AND testimony.act = acts.act
        ) FROM told CROSS JOIN heard CROSS JOIN (SELECT 0 AS act UNION ALL SELECT 1 UNION ALL SELECT 2) AS acts
        UNION SELECT record, witness, {int(Act.COMMIT)}, min(round) FROM deciding CROSS JOIN heard GROUP BY 1, 2
    )
    SELECT said.id, witness, act, round, value, receipt.id FROM shown
    CROSS JOIN testimony USING (record, witness, act, round) CROSS JOIN records AS said ON said.no = record
    LEFT JOIN records AS receipt ON act > 0 AND receipt.no = value
"""
"""Of the wanted records (ids): the times, the last vote and the last commit of each witness of a domain, and the
commits of the first round in which a quorum commits.
"""


def overview(connection: sqlite3.Connection, domain: str) -> Overview:
    """See `Store.overview`."""
    witnesses = witnesses_of(connection, domain)
    keys = [(domain, label) for label in (POLICY_LABEL, *map(receipt_label, witnesses))]
    states = {label: state for (_, label), state in reading.states(connection, keys).items()}
    found = Overview(_policy(connection, domain), states)
    for key, number in witnesses.items():
        _read_witness(connection, found, key, number)
    found.forks = _forks(connection, {number: key for key, number in witnesses.items()})
    for label, undecided, doubly_decided in connection.execute(
        "SELECT label, undecided, doubly_decided FROM labels INDEXED BY labels_to_look_after "
        "WHERE domain = ? AND (undecided > 0 OR doubly_decided)",
        (domain,),
    ):
        if undecided:
            found.undecided[label] = undecided
        if doubly_decided:
            found.doubly_decided[label] = doubly_decided
    return found


def _policy(connection: sqlite3.Connection, domain: str) -> Record | None:
    sql = "SELECT id, body FROM labels CROSS JOIN records ON records.no = head WHERE domain = ? AND labels.label = ?"
    row = connection.execute(sql, (domain, POLICY_LABEL)).fetchone()
    return None if row is None else record_of(*row)


def _read_witness(connection: sqlite3.Connection, found: Overview, key: str, number: int) -> None:
    state = found.states.get(receipt_label(key))
    if state is not None and state.tip is not None:
        sql = "SELECT at_ms FROM receipts JOIN records ON records.no = receipts.record WHERE id = ?"
        (found.heard_ms[key],) = connection.execute(sql, (bytes.fromhex(state.tip.id),)).fetchone()
    sql = (
        "SELECT coalesce(sum(length(body)), 0) FROM receipts INDEXED BY receipts_that_wait "
        "JOIN records ON records.no = record WHERE witness = ? AND NOT sound"
    )
    (found.waiting[key],) = connection.execute(sql, (number,)).fetchone()
    sql = (
        "SELECT DISTINCT waiting.prev FROM receipts AS waiting INDEXED BY receipts_that_wait "
        "CROSS JOIN records ON id = waiting.prev CROSS JOIN receipts AS before ON before.record = records.no "
        "WHERE waiting.witness = ? AND NOT waiting.sound "
        "AND before.witness = waiting.witness AND before.sound AND before.at_ms < waiting.at_ms"
    )
    found.due += ((key, prev.hex()) for (prev,) in connection.execute(sql, (number,)))


def _forks(connection: sqlite3.Connection, witnesses: dict[int, str]) -> list[Fork]:
    sql = (
        "SELECT witness, act, forks.label, prev, round, one.id, other.id FROM forks "
        "JOIN records AS one ON one.no = one JOIN records AS other ON other.no = other WHERE witness = ? LIMIT ?"
    )
    rows = (row for number in witnesses for row in connection.execute(sql, (number, FORKS_MAX)))
    return [
        Fork(witnesses[number], Act(act), label, prev.hex() or None, at, (one.hex(), other.hex()))
        for number, act, label, prev, at, one, other in rows
    ]


def last_said(connection: sqlite3.Connection, domain: str, ids: Sequence[str], quorum: int) -> dict[str, Evidence]:
    """See `Store.last_said`. SQLite looks at all rounds, so that nobody waits for the interpreter's lock meanwhile."""
    found = Known()
    witnesses = {number: key for key, number in witnesses_of(connection, domain).items()}
    for chunk in chunks(keys_of(ids)):
        sql = f"WITH wanted (it) AS (VALUES {places(chunk)}), {_LAST_SAID}"
        hear(found, witnesses, connection.execute(sql, (*values(chunk), domain, quorum)))
    return found.said


def spoken(connection: sqlite3.Connection, domain: str, witness: str, receipt_id: str | None) -> Spoken:
    """See `Store.spoken`."""
    number = witnesses_of(connection, domain).get(witness)
    sql = "SELECT at_ms FROM records JOIN receipts ON record = records.no WHERE id = ? AND witness = ? AND sound"
    key = None if receipt_id is None else bytes.fromhex(receipt_id)
    row = connection.execute(sql, (key, number)).fetchone()
    lacks = connection.execute("SELECT 1 FROM testimony_ahead WHERE witness = ? LIMIT 1", (number,)).fetchone()
    return Spoken(None if row is None else row[0], lacks is not None)


class ManyRowsError(Exception):
    """The labels have more rows than this function reads."""


def known(connection: sqlite3.Connection, domain: str, wanted: Wanted, rows_max: int | None = None) -> Known:
    """See `Store.known`. Raises: ManyRowsError: the wanted labels have more than `rows_max` records, or more was said
    of them.
    """
    connection.execute("BEGIN").close()
    try:
        return _known(connection, domain, wanted, rows_max)
    finally:
        connection.execute("COMMIT").close()


def _known(connection: sqlite3.Connection, domain: str, wanted: Wanted, rows_max: int | None) -> Known:
    numbers = witnesses_of(connection, domain)
    witnesses = {number: key for key, number in numbers.items()}
    found = Known()
    labels = _labels(connection, domain, wanted.labels)
    for record_id, number, label in _held(connection, domain, wanted.ids):
        found.held[record_id] = label
        labels[number] = label
    _read_labels(connection, found, labels, witnesses, rows_max)
    found.newest = {label: key for label, key in _newest(connection, labels).items() if label in wanted.labels}
    without_slots = keys_of(it for it, label in found.held.items() if label.startswith("@"))
    hear(found, witnesses, _said(connection, _OF_RECORDS, without_slots))
    missing = keys_of(it for it in wanted.ids if it not in found.held)
    hear(found, witnesses, _said(connection, _AHEAD, missing))
    for place in wanted.places:
        is_known = place[0] in numbers  # else the witness said nothing yet
        found.places[place] = _spot(connection, numbers[place[0]], place) if is_known else Spot()
    return found


def _labels(connection: sqlite3.Connection, domain: str, labels: Iterable[str]) -> dict[int, str]:
    """The row numbers of these labels."""
    found: dict[int, str] = {}
    for chunk in chunks([(domain, label) for label in labels]):
        sql = f"""
            WITH wanted (domain, label) AS (VALUES {places(chunk)})
            SELECT no, label FROM wanted CROSS JOIN labels USING (domain, label)
        """
        found |= dict(connection.execute(sql, values(chunk)))
    return found


def _held(connection: sqlite3.Connection, domain: str, ids: Iterable[str]) -> list[tuple[str, int, str]]:
    """The ids among these of records of this domain, each with its label: the row number and the name."""
    found: list[tuple[str, int, str]] = []
    for chunk in chunks(keys_of(ids)):
        rows = connection.execute(
            "SELECT id, labels.no, labels.label FROM records CROSS JOIN labels ON labels.no = records.label "
            f"WHERE id IN (VALUES {places(chunk)}) AND domain = ?",
            [*values(chunk), domain],
        )
        found += ((record_id.hex(), number, label) for record_id, number, label in rows)
    return found


def _read_labels(
    connection: sqlite3.Connection,
    found: Known,
    labels: dict[int, str],
    witnesses: dict[int, str],
    rows_max: int | None,
) -> None:
    """Read all records of the labels with slots, and what was said of them."""
    with_slots = [(number,) for number, label in labels.items() if not label.startswith("@")]
    for chunk in chunks(with_slots):
        rows = connection.execute(
            f"WITH wanted (no) AS (VALUES {places(chunk)}) "
            "SELECT id, body, verdict FROM wanted CROSS JOIN records ON label = wanted.no LIMIT ?",
            (*values(chunk), _limit(rows_max)),
        )
        for record in (past_of(*row).record for row in _few(rows, rows_max)):
            found.labels.setdefault(record.label, []).append(record)
    hear(found, witnesses, _few(_said(connection, _OF_LABELS, with_slots, _limit(rows_max)), rows_max))


def _few(rows: Iterable[Any], rows_max: int | None) -> Iterable[Any]:
    """These rows, `rows_max` at most. Raises: ManyRowsError: there are more.

    All of them are read before: a statement that has rows left would hold its connection at the commit of this moment,
    for as long as anybody holds the error with its frames.
    """
    if rows_max is None:
        return rows
    found = list(rows)
    if len(found) > rows_max:
        raise ManyRowsError
    return found


def _limit(rows_max: int | None) -> int:
    """How many rows to ask for: one more than there may be."""
    return _NO_LIMIT if rows_max is None else rows_max + 1


def _said(
    connection: sqlite3.Connection, told: str, wanted: Sequence[tuple[Any]], limit: int = _NO_LIMIT
) -> Iterator[Any]:
    """What was said of the records that `told` joins with the wanted rows: the rows that `hear` takes. `limit`: so many
    rows of each chunk.
    """
    for chunk in chunks(wanted):
        yield from connection.execute(
            f"WITH wanted (it) AS (VALUES {places(chunk)}) "
            f"SELECT told.id, witness, act, round, value, receipt.id FROM wanted CROSS JOIN {told} "
            "LEFT JOIN records AS receipt ON act > 0 AND receipt.no = value LIMIT ?",
            (*values(chunk), limit),
        )


def _newest(connection: sqlite3.Connection, labels: dict[int, str]) -> dict[str, tuple[int, str]]:
    """The order key of the newest record of each of these labels that begin with `@`."""
    found = {}
    sql = "SELECT records.timestamp, id FROM labels JOIN records ON records.no = newest WHERE labels.no = ?"
    for number, label in labels.items():
        if label.startswith("@"):
            timestamp, record_id = connection.execute(sql, (number,)).fetchone()
            found[label] = (timestamp, record_id.hex())
    return found


def _spot(connection: sqlite3.Connection, number: int, place: Place) -> Spot:
    """What stands in one place of the chains of the witness with this row number."""
    prev = None if place[1] is None else bytes.fromhex(place[1])
    spot = Spot()
    if prev is not None:
        sql = "SELECT prev, at_ms, sound FROM records JOIN receipts ON record = records.no WHERE id = ? AND witness = ?"
        row = connection.execute(sql, (prev, number)).fetchone()
        if row is not None:
            spot.before = Link(place[0], None if row[0] is None else row[0].hex(), row[1], bool(row[2]))
    rows = connection.execute(
        "SELECT id FROM receipts JOIN records ON no = record WHERE witness = ? AND prev IS ? ORDER BY id LIMIT ?",
        (number, prev, SIBLINGS_KEPT),
    )
    spot.receipts = [record_id.hex() for (record_id,) in rows]
    rows = connection.execute(
        "SELECT id, body FROM receipts JOIN records ON no = record WHERE witness = ? AND prev IS ? AND NOT sound",
        (number, prev),
    )
    for record in (record_of(*row) for row in rows):
        receipt = receipt_of(record)
        assert receipt is not None, "what stands in a chain is a receipt"
        spot.waiting.append(receipt)
    return spot
