"""Testimony in the database: what witnesses said of records, their receipts in their chains, and the evidence of lies.

`node.store.sqlite.testimony` explains the tables. What is said of a record that is not held is kept by the id of the
record, and moves when the record comes.
"""

from collections.abc import Mapping
from typing import Final

import asyncpg

from node.store.postgresql.reading import Reader
from node.store.testimony_rows import Row, fork_row, link_row, rows_of
from protocol.witness.change import DomainChange

TABLES: Final = ("receipts", "testimony", "testimony_ahead", "forks")
"""The tables whose rows have a witness."""


_SAID: Final = """
    INSERT INTO {table} ({key}, witness, act, round, value)
    SELECT * FROM unnest($1::{kind}[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[])
    ON CONFLICT ({key}, witness, act, round) DO UPDATE SET value = excluded.value
"""
_PUT_OF_RECORDS: Final = _SAID.format(table="testimony", key="record", kind="bigint")
_PUT_AHEAD: Final = _SAID.format(table="testimony_ahead", key="id", kind="bytea")
_PUT_RECEIPTS: Final = """
    INSERT INTO receipts (record, witness, prev, at_ms, sound)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::boolean[])
    ON CONFLICT (record) DO UPDATE
    SET witness = excluded.witness, prev = excluded.prev, at_ms = excluded.at_ms, sound = excluded.sound
"""
_PUT_FORKS: Final = """
    INSERT INTO forks (witness, label, prev, act, round, one, other)
    SELECT * FROM unnest(
        $1::bigint[], $2::text[], $3::bytea[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[])
    ON CONFLICT (witness, label, prev) DO UPDATE
    SET act = excluded.act, round = excluded.round, one = excluded.one, other = excluded.other
"""
_MOVE: Final = """
    WITH moved AS (
        DELETE FROM testimony_ahead WHERE id = ANY($1::bytea[]) AND witness = ANY($2::bigint[])
        RETURNING id, witness, act, round, value
    )
    INSERT INTO testimony (record, witness, act, round, value)
    SELECT records.no, witness, act, round, value FROM moved JOIN records USING (id)
    ON CONFLICT (record, witness, act, round) DO UPDATE SET value = excluded.value
"""


async def put(connection: asyncpg.Connection, domain: str, change: DomainChange, numbers: Mapping[str, int]) -> None:
    """Write what a change of this domain says. `numbers`: the row numbers of the records that it names, by id."""
    if not (change.links or change.awaited or change.forks):
        return
    witnesses = await _witness_numbers(connection, domain, change)
    if change.awaited:
        await connection.execute(_MOVE, list(map(bytes.fromhex, change.awaited)), list(witnesses.values()))
    links = [link_row(numbers[each], link, witnesses) for each, link in change.links.items()]
    await _put(connection, _PUT_RECEIPTS, links)
    of_records: dict[Row, int] = {}
    ahead: dict[Row, int] = {}
    for record_id, evidence in change.said.items():
        is_ahead = record_id in change.ahead
        rows, key = (ahead, bytes.fromhex(record_id)) if is_ahead else (of_records, numbers[record_id])
        rows |= {(key, *place): value for *place, value in rows_of(evidence, witnesses, numbers)}
    await _put(connection, _PUT_OF_RECORDS, [(*place, value) for place, value in of_records.items()])
    await _put(connection, _PUT_AHEAD, [(*place, value) for place, value in ahead.items()])
    await _put(connection, _PUT_FORKS, [fork_row(fork, witnesses, numbers) for fork in change.forks.values()])


async def _put(connection: asyncpg.Connection, sql: str, rows: list[Row]) -> None:
    if rows:
        await connection.execute(sql, *map(list, zip(*rows, strict=True)))


async def _witness_numbers(connection: asyncpg.Connection, domain: str, change: DomainChange) -> dict[str, int]:
    """The row numbers of the witnesses of this domain, of those of the change at least, by key."""
    numbers = await witnesses_of(connection, domain)
    named = {link.witness for link in change.links.values()} | {fork.witness for fork in change.forks.values()}
    if named <= numbers.keys():
        return numbers
    keys = [bytes.fromhex(key) for key in sorted(named - numbers.keys())]
    sql = "INSERT INTO witnesses (domain, key) SELECT $1, key FROM unnest($2::bytea[]) AS new (key)"
    await connection.execute(sql, domain, keys)
    return await witnesses_of(connection, domain)


async def witnesses_of(reader: Reader, domain: str) -> dict[str, int]:
    """The row numbers of the witnesses of this domain, by key."""
    rows = await reader.fetch("SELECT key, no FROM witnesses WHERE domain = $1", domain)
    return {key.hex(): number for key, number in rows}


async def forget(connection: asyncpg.Connection, domain: str) -> None:
    """Delete what the witnesses of this domain said."""
    for table in TABLES:
        sql = f"DELETE FROM {table} WHERE witness IN (SELECT no FROM witnesses WHERE domain = $1)"
        await connection.execute(sql, domain)
    await connection.execute("DELETE FROM witnesses WHERE domain = $1", domain)
