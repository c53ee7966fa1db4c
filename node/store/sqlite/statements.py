"""Many rows in one statement.

`sqlite3` gives up the interpreter lock at each step of a statement. While the event loop is busy, it can take
milliseconds to get the lock back. So up to 1,024 rows are written, or asked for, in one statement. That also halves the
cost.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

from node.store.rows import signer_of

_Row = TypeVar("_Row", bound=tuple[Any, ...])

_ROWS_MAX: Final = 1_024
"""Rows of one statement. 1,024 rows of 13 columns are 13,312 parameters. SQLite takes 32,766 since 3.32, and the store
needs 3.33. A statement of 1,024 rows takes 1 MB of memory."""

_ANY_NUMBER_MAX: Final = 16
"""Up to this number, any number of rows is one statement. Above it, the sizes are powers of two, so that SQLite keeps
the compiled statements of all sizes. The claims of a few clients share a commit, and are 5 or 7 as often as 4 or 8."""


def chunks(rows: Sequence[_Row]) -> Sequence[Sequence[_Row]]:
    """The rows in runs of 1,024, 512, 256, 128, 64 and 32 rows; at the end any number up to 16."""
    if len(rows) <= _ANY_NUMBER_MAX:
        return (rows,) if rows else ()
    runs, begin = [], 0
    while left := len(rows) - begin:
        size = left if left <= _ANY_NUMBER_MAX else min(_ROWS_MAX, 1 << (left.bit_length() - 1))
        runs.append(rows[begin : begin + size])
        begin += size
    return runs


def places(rows: Sequence[tuple[Any, ...]]) -> str:
    """`(?, ?), (?, ?)` for two rows of two columns."""
    return _places(len(rows), len(rows[0]))


@lru_cache(256)
def _places(rows: int, columns: int) -> str:
    """Cached, because a commit of one record needs four of them."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def values(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """The values of the places, row after row."""
    return list(chain.from_iterable(rows))


def keys_of(ids: Iterable[str]) -> list[tuple[bytearray]]:
    """Rows of one column, an id each. `sqlite3` looks for an adapter of all `bytes` that it binds, which takes 0.2 us.
    It binds a bytearray at once.
    """
    return [(bytearray.fromhex(record_id),) for record_id in ids]


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], rest: str = "") -> None:
    """Insert rows. `into` is the statement before the values, `INSERT INTO table (columns)`; `rest` follows them."""
    for chunk in chunks(rows):
        connection.execute(f"{into} VALUES {places(chunk)} {rest}", values(chunk))


def add_signer_of(connection: sqlite3.Connection) -> None:
    """Let SQL on this connection call `signer_of`."""
    connection.create_function("signer_of", 1, signer_of, deterministic=True)
