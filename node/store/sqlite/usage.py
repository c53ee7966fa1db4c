"""Usage: how many records and bytes each domain and each key has in the store.

To count one more record of a key that the table holds somewhere costs up to 10 us, because keys are random. So the
table holds the counts up to a record, `through`, and the rest is counted in memory: the tail. When the tail is long, it
is written in one go, in the order of the keys, together with a batch. After a start, the tail is counted again from the
records behind `through`. So the counts are always those of the records, and a record costs 0.3 us.

Bytes are those of the canonical records. An erased record keeps its length.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from node.store.contract import StoredRecord
from node.store.rows import signer_of
from node.store.sqlite.connection import transaction
from protocol.records.admission import Amount

TAIL_RECORDS_MAX: Final = 65_536
"""Records of the tail. It is written in 0.15 s if all of them have different keys, and counted again in 0.3 s."""

THROUGH: Final = "(SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'usage_through')"
"""SQL: the number of the last record that the tables count."""

_PUT_USAGE: Final = """
    INSERT INTO usage (key, domain, records, bytes) VALUES (?, ?, ?, ?)
    ON CONFLICT (key, domain) DO UPDATE SET records = records + excluded.records, bytes = bytes + excluded.bytes
"""
_PUT_DOMAIN: Final = """
    INSERT INTO domains (name, records, bytes) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET records = records + excluded.records, bytes = bytes + excluded.bytes
"""

_NOTHING: Final = Amount()


class Tail:
    """The counts of the records that are not in the table yet. `amounts` has them by domain and key."""

    __slots__ = ("_keys", "amounts", "records")

    def __init__(self) -> None:
        self.amounts: dict[tuple[str, str], Amount] = {}
        self.records = 0
        self._keys: dict[str, Amount] | None = None
        """The same by key, from the first question on: only nodes with quotas on keys ask, and then again and again."""

    def add(self, records: Iterable[StoredRecord]) -> None:
        """Count records that are being stored."""
        for stored in records:
            record = stored.signed.record
            self._count(record.domain, record.signedby, len(record.canonical))

    def _count(self, domain: str, key: str, size_bytes: int) -> None:
        """Count one record."""
        self.records += 1
        amount = self.amounts.get((domain, key))
        if amount is None:
            amount = self.amounts[domain, key] = Amount()
        amount.records += 1  # without a call, because every record comes here
        amount.size_bytes += size_bytes
        if self._keys is not None:
            self._keys.setdefault(key, Amount()).add(1, size_bytes)

    def of_key(self, key: str) -> Amount:
        """What this key has in the tail. The first call looks through the tail, which takes 10 ms if it is long."""
        if self._keys is None:
            self._keys = {}
            for (_, each), amount in self.amounts.items():
                self._keys.setdefault(each, Amount()).add(amount.records, amount.size_bytes)
        return self._keys.get(key, _NOTHING)

    def clear(self) -> None:
        """The tail is in the tables now."""
        self.amounts, self.records, self._keys = {}, 0, None

    def add_to_domains(self, amounts: dict[str, Amount]) -> None:
        """Add the tail to the amounts of domains, by name."""
        for (domain, _), amount in self.amounts.items():
            amounts.setdefault(domain, Amount()).add(amount.records, amount.size_bytes)

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> "Tail":
        """Count the records behind `through`."""
        tail = cls()
        sql = (
            "SELECT domain, body FROM records CROSS JOIN labels ON labels.no = records.label "
            f"WHERE records.no > {THROUGH}"
        )
        for domain, body in connection.execute(sql):
            tail._count(domain, signer_of(body).hex(), len(body))
        return tail


def write_tail(connection: sqlite3.Connection, tail: Tail, through: int) -> None:
    """Add the tail, which ends with the record of this row number, to the tables. The caller has a transaction."""
    by_domain: dict[str, Amount] = {}
    tail.add_to_domains(by_domain)
    connection.executemany(_PUT_DOMAIN, [(name, it.records, it.size_bytes) for name, it in by_domain.items()])
    numbers = dict(connection.execute("SELECT name, no FROM domains"))
    rows = [
        (bytes.fromhex(key), numbers[domain], amount.records, amount.size_bytes)
        for (domain, key), amount in tail.amounts.items()
    ]
    connection.executemany(_PUT_USAGE, sorted(rows))
    connection.execute("UPDATE meta SET value = ? WHERE name = 'usage_through'", (through,))
    tail.clear()


def settle(connection: sqlite3.Connection, tail: Tail) -> None:
    """Write the tail now, so that the tables alone have all counts."""
    if tail.records:
        with transaction(connection):
            (last,) = connection.execute("SELECT max(no) FROM records").fetchone()
            write_tail(connection, tail, last)


def of_domains(connection: sqlite3.Connection, tail: Tail) -> dict[str, Amount]:
    """See `Store.domain_usage`."""
    found = {
        name: Amount(records, size_bytes)
        for name, records, size_bytes in connection.execute("SELECT name, records, bytes FROM domains ORDER BY name")
    }
    tail.add_to_domains(found)
    return found


def of_keys(connection: sqlite3.Connection, tail: Tail, keys: Sequence[str]) -> dict[str, Amount]:
    """See `Store.key_usage`."""
    sql = "SELECT coalesce(sum(records), 0), coalesce(sum(bytes), 0) FROM usage WHERE key = ?"
    found = {key: Amount(*connection.execute(sql, (bytes.fromhex(key),)).fetchone()) for key in keys}
    for key, total in found.items():
        in_tail = tail.of_key(key)
        total.add(in_tail.records, in_tail.size_bytes)
    return found


def largest_keys(connection: sqlite3.Connection, domain: str | None, limit: int) -> list[tuple[str, Amount]]:
    """See `Store.largest_keys`, for what the table holds."""
    of_domain = "" if domain is None else "WHERE domain = (SELECT no FROM domains WHERE name = ?) "
    rows = connection.execute(
        f"SELECT key, sum(records), sum(bytes) FROM usage {of_domain}GROUP BY key ORDER BY 3 DESC, key LIMIT ?",
        (limit,) if domain is None else (domain, limit),
    )
    return [(key.hex(), Amount(records, size_bytes)) for key, records, size_bytes in rows]


def forget_domain(connection: sqlite3.Connection, domain: str) -> None:
    """Remove the counts of a domain whose records are removed. The caller has a transaction."""
    connection.execute("DELETE FROM usage WHERE domain = (SELECT no FROM domains WHERE name = ?)", (domain,))
    connection.execute("DELETE FROM domains WHERE name = ?", (domain,))
