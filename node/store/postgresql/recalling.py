"""The functions that read parts of a witnessed domain. See `protocol.witness.recall`.

Each of them makes several statements, so its reader is one session in a transaction that sees one moment.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from node.store.postgresql import reading
from node.store.postgresql.reading import Reader
from node.store.postgresql.testimony import witnesses_of
from node.store.rows import past_of, record_of
from node.store.testimony_rows import hear
from protocol.records.record import POLICY_LABEL, Record
from protocol.witness.recall import Known, Overview, Spoken, Wanted
from protocol.witness.receipt import receipt_label, receipt_of
from protocol.witness.testimony import FORKS_MAX, SIBLINGS_KEPT, Act, Evidence, Fork, Link, Place, Spot

_SAID: Final = """
    SELECT told.id, witness, act, round, value, receipt.id FROM {told}
    LEFT JOIN records AS receipt ON act > 0 AND receipt.no = value
"""
_OF_LABELS: Final = _SAID.format(
    told="records AS told JOIN testimony ON record = told.no AND told.label = ANY($1::bigint[])"
)
_OF_RECORDS: Final = _SAID.format(
    told="records AS told JOIN testimony ON record = told.no AND told.id = ANY($1::bytea[])"
)
_AHEAD: Final = _SAID.format(told="(SELECT * FROM testimony_ahead WHERE id = ANY($1::bytea[])) AS told")
"""What was said of the records of labels (records.label), of records (ids), and of records that are not held (ids)."""

_LAST_SAID: Final = f"""
    WITH told AS (SELECT no FROM records WHERE id = ANY($1::bytea[])),
    heard AS (SELECT no AS witness FROM witnesses WHERE domain = $2),
    deciding AS (
        SELECT record, round FROM told JOIN testimony ON record = told.no JOIN heard USING (witness)
        WHERE act = {int(Act.COMMIT)} GROUP BY record, round HAVING count(*) >= $3
    ),
    shown (record, witness, act, round) AS (
        SELECT told.no, heard.witness, acts.act, (
            SELECT max(round) FROM testimony
            WHERE record = told.no AND testimony.witness = heard.witness AND testimony.act = acts.act
        ) FROM told CROSS JOIN heard CROSS JOIN (SELECT 0 AS act UNION ALL SELECT 1 UNION ALL SELECT 2) AS acts
        UNION SELECT record, witness, {int(Act.COMMIT)}, min(round) FROM deciding CROSS JOIN heard GROUP BY 1, 2
    )
    SELECT said.id, witness, act, round, value, receipt.id FROM shown
    JOIN testimony USING (record, witness, act, round) JOIN records AS said ON said.no = record
    LEFT JOIN records AS receipt ON act > 0 AND receipt.no = value
"""
"""Of these records: the times, the last vote and the last commit of each witness of a domain, and the commits of the
first round in which a quorum commits.
"""


async def overview(reader: Reader, domain: str) -> Overview:
    """See `Store.overview`."""
    witnesses = await witnesses_of(reader, domain)
    keys = [(domain, label) for label in (POLICY_LABEL, *map(receipt_label, witnesses))]
    states = {label: state for (_, label), state in (await reading.states(reader, keys)).items()}
    found = Overview(await _policy(reader, domain), states)
    await _read_witnesses(reader, found, witnesses)
    found.forks = await _forks(reader, {number: key for key, number in witnesses.items()})
    for label, undecided, doubly_decided in await reader.fetch(
        "SELECT label, undecided, doubly_decided FROM labels "
        "WHERE domain = $1 AND (undecided > 0 OR doubly_decided > 0)",
        domain,
    ):
        if undecided:
            found.undecided[label] = undecided
        if doubly_decided:
            found.doubly_decided[label] = doubly_decided
    return found


async def _policy(reader: Reader, domain: str) -> Record | None:
    sql = "SELECT id, body FROM labels JOIN records ON records.no = head WHERE domain = $1 AND labels.label = $2"
    rows = await reader.fetch(sql, domain, POLICY_LABEL)
    return record_of(*rows[0]) if rows else None


async def _read_witnesses(reader: Reader, found: Overview, witnesses: dict[str, int]) -> None:
    """Read of each witness when it was heard last, and how many bytes of its receipts wait."""
    tips = {
        bytes.fromhex(state.tip.id): key
        for key in witnesses
        if (state := found.states.get(receipt_label(key))) is not None and state.tip is not None
    }
    sql = "SELECT id, at_ms FROM records JOIN receipts ON record = records.no WHERE id = ANY($1::bytea[])"
    found.heard_ms = {tips[row[0]]: row[1] for row in await reader.fetch(sql, list(tips))}
    sql = (
        "SELECT witness, sum(length(body)) FROM receipts JOIN records ON records.no = record "
        "WHERE witness = ANY($1::bigint[]) AND NOT sound GROUP BY witness"
    )
    waiting: dict[int, int] = {row[0]: row[1] for row in await reader.fetch(sql, list(witnesses.values()))}
    found.waiting = {key: waiting.get(number, 0) for key, number in witnesses.items()}
    sql = (
        "SELECT DISTINCT waiting.witness, waiting.prev FROM receipts AS waiting JOIN records ON id = waiting.prev "
        "JOIN receipts AS before ON before.record = records.no "
        "WHERE waiting.witness = ANY($1::bigint[]) AND NOT waiting.sound "
        "AND before.witness = waiting.witness AND before.sound AND before.at_ms < waiting.at_ms"
    )
    keys = {number: key for key, number in witnesses.items()}
    found.due = [(keys[row[0]], row[1].hex()) for row in await reader.fetch(sql, list(keys))]


async def _forks(reader: Reader, witnesses: dict[int, str]) -> list[Fork]:
    rows = await reader.fetch(
        "SELECT witness, act, forks.label, prev, round, one.id, other.id FROM unnest($1::bigint[]) AS wanted "
        "CROSS JOIN LATERAL (SELECT * FROM forks WHERE witness = wanted ORDER BY forks.label, prev LIMIT $2) AS forks "
        "JOIN records AS one ON one.no = one JOIN records AS other ON other.no = other "
        "ORDER BY witness, forks.label, prev",
        list(witnesses),
        FORKS_MAX,
    )
    return [
        Fork(witnesses[number], Act(act), label, prev.hex() or None, at, (one.hex(), other.hex()))
        for number, act, label, prev, at, one, other in rows
    ]


async def spoken(reader: Reader, domain: str, witness: str, receipt_id: str | None) -> Spoken:
    """See `Store.spoken`."""
    number = (await witnesses_of(reader, domain)).get(witness)
    sql = "SELECT at_ms FROM records JOIN receipts ON record = records.no WHERE id = $1 AND witness = $2 AND sound"
    rows = await reader.fetch(sql, None if receipt_id is None else bytes.fromhex(receipt_id), number)
    lacks = await reader.fetch("SELECT 1 FROM testimony_ahead WHERE witness = $1 LIMIT 1", number)
    return Spoken(rows[0][0] if rows else None, bool(lacks))


async def known(reader: Reader, domain: str, wanted: Wanted) -> Known:
    """See `Store.known`."""
    numbers = await witnesses_of(reader, domain)
    witnesses = {number: key for key, number in numbers.items()}
    found = Known()
    sql = "SELECT no, label FROM labels WHERE domain = $1 AND label = ANY($2::text[])"
    labels: dict[int, str] = {row[0]: row[1] for row in await reader.fetch(sql, domain, list(wanted.labels))}
    for record_id, number, label in await _held(reader, domain, wanted.ids):
        found.held[record_id.hex()] = label
        labels[number] = label
    await _read_labels(reader, found, labels, witnesses)
    found.newest = {label: key for label, key in (await _newest(reader, labels)).items() if label in wanted.labels}
    without_slots = [bytes.fromhex(it) for it, label in found.held.items() if label.startswith("@")]
    hear(found, witnesses, await _said(reader, _OF_RECORDS, without_slots))
    missing = [bytes.fromhex(it) for it in wanted.ids if it not in found.held]
    hear(found, witnesses, await _said(reader, _AHEAD, missing))
    for place in wanted.places:
        is_known = place[0] in numbers  # else the witness said nothing yet
        found.places[place] = await _spot(reader, numbers[place[0]], place) if is_known else Spot()
    return found


async def last_said(reader: Reader, domain: str, ids: Sequence[str], quorum: int) -> dict[str, Evidence]:
    """See `Store.last_said`."""
    found = Known()
    witnesses = {number: key for key, number in (await witnesses_of(reader, domain)).items()}
    hear(found, witnesses, await reader.fetch(_LAST_SAID, list(map(bytes.fromhex, ids)), domain, quorum))
    return found.said


async def _held(reader: Reader, domain: str, ids: Iterable[str]) -> list[asyncpg.Record]:
    """The ids among these of records of this domain, each with its label: the row number and the name."""
    return await reader.fetch(
        "SELECT id, labels.no, labels.label FROM records JOIN labels ON labels.no = records.label "
        "WHERE id = ANY($1::bytea[]) AND domain = $2",
        list(map(bytes.fromhex, ids)),
        domain,
    )


async def _read_labels(reader: Reader, found: Known, labels: dict[int, str], witnesses: dict[int, str]) -> None:
    """Read all records of the labels with slots, and what was said of them."""
    with_slots = [number for number, label in labels.items() if not label.startswith("@")]
    if not with_slots:
        return
    sql = "SELECT id, body, verdict FROM records WHERE label = ANY($1::bigint[])"
    for record in (past_of(*row).record for row in await reader.fetch(sql, with_slots)):
        found.labels.setdefault(record.label, []).append(record)
    hear(found, witnesses, await _said(reader, _OF_LABELS, with_slots))


async def _said(reader: Reader, sql: str, wanted: Sequence[Any]) -> list[asyncpg.Record]:
    return await reader.fetch(sql, wanted) if wanted else []


async def _newest(reader: Reader, labels: dict[int, str]) -> dict[str, tuple[int, str]]:
    """The order key of the newest record of each of these labels that begin with `@`."""
    without_slots = [number for number, label in labels.items() if label.startswith("@")]
    sql = (
        "SELECT labels.label, records.timestamp, id FROM labels JOIN records ON records.no = newest "
        "WHERE labels.no = ANY($1::bigint[])"
    )
    rows = await reader.fetch(sql, without_slots) if without_slots else []
    return {label: (timestamp, record_id.hex()) for label, timestamp, record_id in rows}


async def _spot(reader: Reader, number: int, place: Place) -> Spot:
    """What stands in one place of the chains of the witness with this row number."""
    prev = None if place[1] is None else bytes.fromhex(place[1])
    spot = Spot()
    if prev is not None:
        sql = "SELECT prev, at_ms, sound FROM records JOIN receipts ON record = no WHERE id = $1 AND witness = $2"
        for before, at_ms, is_sound in await reader.fetch(sql, prev, number):
            spot.before = Link(place[0], None if before is None else before.hex(), at_ms, is_sound)
    at_place, arguments = ("prev IS NULL", [number]) if prev is None else ("prev = $2", [number, prev])
    of_witness = f"FROM receipts JOIN records ON no = record WHERE witness = $1 AND {at_place}"
    rows = await reader.fetch(f"SELECT id {of_witness} ORDER BY id LIMIT {SIBLINGS_KEPT}", *arguments)
    spot.receipts = [record_id.hex() for (record_id,) in rows]
    rows = await reader.fetch(f"SELECT id, body {of_witness} AND NOT sound", *arguments)
    for record in (record_of(*row) for row in rows):
        receipt = receipt_of(record)
        assert receipt is not None, "what stands in a chain is a receipt"
        spot.waiting.append(receipt)
    return spot
