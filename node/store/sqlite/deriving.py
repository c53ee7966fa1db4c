"""Deriving: what witnesses said, computed anew from all records of a domain.

A file of an older version has records of witnessed domains and no testimony. Opening it derives the testimony of each
domain in one transaction, so a program that is killed goes on with the next domain. A rebuild derives the testimony of
all domains into temporary tables and compares.
"""

import sqlite3
from collections.abc import Iterator

import msgspec

from node.store.rows import record_of
from node.store.sqlite import testimony
from node.store.sqlite.connection import transaction
from protocol.records.record import Record, is_witnessed
from protocol.witness.domain import DomainChange, WitnessedDomain


class Walked(msgspec.Struct, frozen=True):
    """What all records of a domain give, and the row number of each record by its id."""

    change: DomainChange
    numbers: dict[str, int]


def walked(connection: sqlite3.Connection, domain: str) -> Walked:
    """Walk all records of this domain."""
    numbers: dict[str, int] = {}

    def records() -> Iterator[Record]:
        sql = "SELECT no, id, body FROM records WHERE label IN (SELECT no FROM labels WHERE domain = ?)"
        for number, record_id, body in connection.execute(sql, (domain,)):
            numbers[record_id.hex()] = number
            yield record_of(record_id, body)

    change = WitnessedDomain(domain).add(records())
    return Walked(change, numbers)


def witnessed_names(connection: sqlite3.Connection) -> Iterator[str]:
    """The witnessed domains of the file. The index on labels leads from each domain to the next."""
    sql = "SELECT min(domain) FROM labels WHERE domain > ?"
    (name,) = connection.execute(sql, ("",)).fetchone()
    while name is not None:
        if is_witnessed(name):
            yield name
        (name,) = connection.execute(sql, (name,)).fetchone()


def derive_missing(connection: sqlite3.Connection) -> None:
    """Derive the testimony of the domains that an older version wrote."""
    derived = {name for (name,) in connection.execute("SELECT domain FROM witnessed_domains")}
    for domain in witnessed_names(connection):
        if domain not in derived:
            derive(connection, domain)


def derive(connection: sqlite3.Connection, domain: str) -> None:
    """Derive the testimony of this domain, in one transaction."""
    found = walked(connection, domain)
    with transaction(connection):
        testimony.put(connection, domain, found.change, found.numbers)
        connection.executemany(
            "UPDATE labels SET undecided = ?, doubly_decided = ? WHERE domain = ? AND label = ?",
            [
                (state.undecided, state.doubly_decided, domain, label)
                for label, state in found.change.states.items()
                if state.undecided or state.doubly_decided
            ],
        )
