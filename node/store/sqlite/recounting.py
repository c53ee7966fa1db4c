"""Recounting: what the tables of usage say, beside what the records give.

The tables hold the counts of the records up to a certain one (see `usage.py`). So the same records are counted here,
and no more.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final

import msgspec

from node.store.sqlite.statements import add_signer_of
from node.store.sqlite.usage import THROUGH

_COUNTED: Final = f"""
    CREATE TEMP TABLE counted AS
    SELECT signer_of(body) AS key, domain, count(*) AS records, sum(length(body)) AS bytes
    FROM records JOIN labels ON labels.no = records.label WHERE records.no <= {THROUGH} GROUP BY 1, 2
"""

_DIFFERENCES: Final = """
    WITH
        rightly (domain, key, records, bytes) AS (
            SELECT domain, lower(hex(key)), records, bytes FROM counted
            UNION ALL SELECT domain, NULL, sum(records), sum(bytes) FROM counted GROUP BY domain
        ),
        held (domain, key, records, bytes) AS (
            SELECT name, lower(hex(key)), usage.records, usage.bytes FROM usage LEFT JOIN domains ON no = domain
            UNION ALL SELECT name, NULL, records, bytes FROM domains
        ),
        differing (domain, key) AS (
            SELECT domain, key FROM (SELECT * FROM rightly EXCEPT SELECT * FROM held)
            UNION SELECT domain, key FROM (SELECT * FROM held EXCEPT SELECT * FROM rightly)
        )
    SELECT coalesce(differing.domain, ''), differing.key, held.records, held.bytes, rightly.records, rightly.bytes
    FROM differing
    LEFT JOIN held ON held.domain IS differing.domain AND held.key IS differing.key
    LEFT JOIN rightly ON rightly.domain IS differing.domain AND rightly.key IS differing.key
"""

_COUNT_DOMAINS: Final = """
    INSERT INTO domains (name, records, bytes)
    SELECT domain, count(*), sum(length(body)) FROM records JOIN labels ON labels.no = records.label GROUP BY domain
"""
_COUNT_KEYS: Final = """
    INSERT INTO usage (key, domain, records, bytes)
    SELECT signer_of(body), domains.no, count(*), sum(length(body))
    FROM records JOIN labels ON labels.no = records.label JOIN domains ON name = labels.domain GROUP BY 1, 2
"""
_NOTE_THROUGH: Final = """
    INSERT INTO meta (name, value) SELECT 'usage_through', coalesce(max(no), 0) FROM records WHERE true
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


class UsageDifference(msgspec.Struct, frozen=True):
    """A count in the tables that is not that of the records; `key` is None for the count of a whole domain.

    `counted` is what the table says, and `right` what the records give, in words; None: nothing.
    """

    domain: str
    key: str | None
    counted: str | None
    right: str | None


def find_differences(connection: sqlite3.Connection) -> Iterator[UsageDifference]:
    """Every count that is wrong."""
    add_signer_of(connection)
    connection.execute("DROP TABLE IF EXISTS temp.counted")
    connection.execute(_COUNTED)
    for domain, key, *held, records, size_bytes in connection.execute(_DIFFERENCES).fetchall():
        yield UsageDifference(domain, key, _in_words(*held), _in_words(records, size_bytes))
    connection.execute("DROP TABLE temp.counted")


def _in_words(records: int | None, size_bytes: int | None) -> str | None:
    return None if records is None else f"{records} records, {size_bytes} bytes"


def count_anew(connection: sqlite3.Connection) -> None:
    """Count all records again. The caller has a transaction."""
    add_signer_of(connection)
    for statement in ("DELETE FROM usage", "DELETE FROM domains", _COUNT_DOMAINS, _COUNT_KEYS, _NOTE_THROUGH):
        connection.execute(statement)
