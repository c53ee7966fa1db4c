"""Usage: how many records and bytes each domain and each key has. Every commit adds what it brings.

Bytes are those of the canonical records. An erased record keeps its length.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from node.store.contract import StoredRecord
from node.store.postgresql.reading import Reader
from protocol.records.admission import Amount

# In the order of the keys, so that two statements never wait for each other.
_ADD: Final = """
    INSERT INTO usage (key, domain, records, bytes)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::bigint[]) AS added (key, domain, records, bytes)
    ORDER BY key, domain
    ON CONFLICT (key, domain) DO UPDATE
    SET records = usage.records + excluded.records, bytes = usage.bytes + excluded.bytes
"""


async def add(connection: asyncpg.Connection, records: Sequence[StoredRecord]) -> None:
    """Count these new records."""
    amounts: dict[tuple[str, str], Amount] = {}
    for stored in records:
        record = stored.signed.record
        amounts.setdefault((record.signedby, record.domain), Amount()).add(1, len(record.canonical))
    if amounts:
        await connection.execute(
            _ADD,
            [bytes.fromhex(key) for key, _ in amounts],
            [domain for _, domain in amounts],
            [amount.records for amount in amounts.values()],
            [amount.size_bytes for amount in amounts.values()],
        )


async def of_domains(reader: Reader) -> dict[str, Amount]:
    """See `Store.domain_usage`."""
    rows = await reader.fetch("SELECT domain, sum(records), sum(bytes) FROM usage GROUP BY domain ORDER BY domain")
    return {domain: Amount(int(records), int(size_bytes)) for domain, records, size_bytes in rows}


async def of_keys(reader: Reader, keys: Sequence[str]) -> dict[str, Amount]:
    """See `Store.key_usage`."""
    rows = await reader.fetch(
        "SELECT key, sum(records), sum(bytes) FROM usage WHERE key = ANY($1::bytea[]) GROUP BY key",
        [bytes.fromhex(key) for key in keys],
    )
    found = {key.hex(): Amount(int(records), int(size_bytes)) for key, records, size_bytes in rows}
    return {key: found.get(key, Amount()) for key in keys}


async def largest_keys(reader: Reader, domain: str | None, limit: int) -> list[tuple[str, Amount]]:
    """See `Store.largest_keys`. Two statements, because one plan for both would read the keys of all domains."""
    rows = await reader.fetch(
        "SELECT key, sum(records), sum(bytes) FROM usage "
        f"{'' if domain is None else 'WHERE domain = $2 '}GROUP BY key ORDER BY 3 DESC, key LIMIT $1",
        limit,
        *([] if domain is None else [domain]),
    )
    return [(key.hex(), Amount(int(records), int(size_bytes))) for key, records, size_bytes in rows]
