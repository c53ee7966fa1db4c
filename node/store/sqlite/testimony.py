"""Testimony in the file: what witnesses said of records, their receipts in their chains, and the evidence of lies.

All of it is derived from receipts. A domain in memory (`protocol.witness.domain`) says what a batch changes, so a
commit only writes rows. What is said of a record that is not held is kept by the id of the record, and moves when the
record comes.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from node.store.sqlite.statements import insert
from node.store.testimony_rows import Row, fork_row, link_row, rows_of
from protocol.witness.change import DomainChange
from protocol.witness.testimony import SILENCE

TABLES: Final = ("receipts", "testimony", "testimony_ahead", "forks")
"""The tables whose rows have a witness."""


def put(
    connection: sqlite3.Connection, domain: str, change: DomainChange, numbers: Mapping[str, int], schema: str = "main"
) -> None:
    """Write what a change of this domain says. `numbers`: the row number of any stored record, by its id.

    `schema` is that of the tables to write to.
    """
    connection.execute("INSERT INTO witnessed_domains VALUES (?) ON CONFLICT DO NOTHING", (domain,))
    if not (change.links or change.awaited or change.forks):
        return
    witnesses = _witness_numbers(connection, domain, change)
    if change.awaited:
        _move(connection, witnesses.values(), change.awaited, numbers, schema)
    into = f"INSERT OR REPLACE INTO {schema}."
    links = [link_row(numbers[each], link, witnesses) for each, link in change.links.items()]
    insert(connection, f"{into}receipts", links)
    told: dict[bool, list[Row]] = {True: [], False: []}
    last, rows = SILENCE, list[Row]()
    for record_id, evidence in change.said.items():
        if evidence is not last:  # neighbours mostly share their evidence
            last, rows = evidence, list(rows_of(evidence, witnesses, numbers))
        is_held = record_id not in change.ahead
        key = numbers[record_id] if is_held else bytes.fromhex(record_id)
        told[is_held] += [(key, *row) for row in rows]
    insert(connection, f"{into}testimony", told[True])
    insert(connection, f"{into}testimony_ahead", told[False])
    insert(connection, f"{into}forks", [fork_row(fork, witnesses, numbers) for fork in change.forks.values()])


def _witness_numbers(connection: sqlite3.Connection, domain: str, change: DomainChange) -> dict[str, int]:
    """The row numbers of the witnesses of this domain, of those of the change at least, by key."""
    numbers = witnesses_of(connection, domain)
    named = {link.witness for link in change.links.values()} | {fork.witness for fork in change.forks.values()}
    if named <= numbers.keys():
        return numbers
    rows = [(domain, bytes.fromhex(key)) for key in sorted(named - numbers.keys())]
    connection.executemany("INSERT INTO witnesses (domain, key) VALUES (?, ?)", rows)
    return witnesses_of(connection, domain)


def witnesses_of(connection: sqlite3.Connection, domain: str) -> dict[str, int]:
    """The row numbers of the witnesses of this domain, by key."""
    rows = connection.execute("SELECT key, no FROM witnesses WHERE domain = ?", (domain,))
    return {key.hex(): number for key, number in rows}


def forget(connection: sqlite3.Connection, domain: str) -> None:
    """Delete what the witnesses of this domain said."""
    for table in TABLES:
        sql = f"DELETE FROM {table} WHERE witness IN (SELECT no FROM witnesses WHERE domain = ?)"
        connection.execute(sql, (domain,))
    for table in ("witnesses", "witnessed_domains"):
        connection.execute(f"DELETE FROM {table} WHERE domain = ?", (domain,))


def _move(
    connection: sqlite3.Connection,
    witnesses: Iterable[int],
    ids: Iterable[str],
    numbers: Mapping[str, int],
    schema: str,
) -> None:
    """Move what was said of these records to the records, which are held now."""
    of_witnesses = ", ".join(map(str, witnesses))
    for record_id in ids:
        key = bytes.fromhex(record_id)
        where = f"id = ? AND witness IN ({of_witnesses})"
        connection.execute(
            f"INSERT OR REPLACE INTO {schema}.testimony SELECT ?, witness, act, round, value "
            f"FROM {schema}.testimony_ahead WHERE {where}",
            (numbers[record_id], key),
        )
        connection.execute(f"DELETE FROM {schema}.testimony_ahead WHERE {where}", (key,))
