"""Deriving: what witnesses said, computed anew from all records of a domain.

A file of an older version has records of witnessed domains and no testimony, or counts records as undecided that have
lost. Opening it derives the testimony of each domain in one transaction, so a program that is killed goes on with the
next domain. A mark in the file says that this is not done yet. A rebuild derives the testimony of all domains into
temporary tables and compares.
"""

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec

from node.store.rows import record_of
from node.store.sqlite import recalling, testimony
from node.store.sqlite.connection import transaction
from protocol.records.record import Record, is_witnessed
from protocol.witness.change import DomainChange
from protocol.witness.domain import WitnessedDomain
from protocol.witness.policy import policy_of
from protocol.witness.recall import Wanted

_LABELS_AT_ONCE: Final = 500


class Walked(msgspec.Struct, frozen=True):
    """The change that all records of a domain cause, and the row number of each record by its id."""

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
    """Derive what an older version did not write, if this is not done yet."""
    if connection.execute("SELECT 1 FROM meta WHERE name = 'underived'").fetchone() is None:
        return
    derived = {name for (name,) in connection.execute("SELECT domain FROM witnessed_domains")}
    for domain in witnessed_names(connection):
        if domain in derived:
            count_undecided(connection, domain)
        else:
            derive(connection, domain)
    connection.execute("DELETE FROM meta WHERE name = 'underived'")


def count_undecided(connection: sqlite3.Connection, domain: str) -> None:
    """Count again which records of this domain can still win: an older version counted some that cannot."""
    overview = recalling.overview(connection, domain)
    policy = None if overview.policy is None else policy_of(overview.policy)
    labels = iter(overview.undecided)
    while page := dict.fromkeys(islice(labels, _LABELS_AT_ONCE)):
        known = recalling.known(connection, domain, Wanted(labels=page))
        rows = [(label.undecided, domain, name) for name, label in known.walked(policy).items()]
        with transaction(connection):
            connection.executemany("UPDATE labels SET undecided = ? WHERE domain = ? AND label = ?", rows)


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
