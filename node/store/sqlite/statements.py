"""Many rows in one statement.

`sqlite3` gives up the interpreter lock at each step of a statement. While the event loop is busy, it can take
milliseconds to get the lock back. So up to 1,024 rows are written, or asked for, in one statement. That also halves the
cost.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

from node.store.rows import signer_of

_Row = TypeVar("_Row", bound=tuple[Any, ...])

_SIZES = (1_024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Few different statements, so that SQLite compiles each of them once. 1,024 rows of 13 columns are 13,312 parameters.
SQLite takes 32,766 since 3.32, and the store needs 3.33. Such a statement takes 1 MB of memory."""


def chunks(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """Runs of 1,024, 512, 256, 128, 64, 32, 16, 8, 4, 2 or 1 rows."""
    begin = 0
    for size in _SIZES:
        while begin + size <= len(rows):
            yield rows[begin : begin + size]
            begin += size


def places(rows: Sequence[tuple[Any, ...]]) -> str:
    """`(?, ?), (?, ?)` for two rows of two columns."""
    return ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))


def values(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """The values of the places, row after row."""
    return list(chain.from_iterable(rows))


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], rest: str = "") -> None:
    """Insert rows. `into` is the statement before the values, `INSERT INTO table (columns)`; `rest` follows them."""
    for chunk in chunks(rows):
        connection.execute(f"{into} VALUES {places(chunk)} {rest}", values(chunk))


def add_signer_of(connection: sqlite3.Connection) -> None:
    """Let SQL on this connection call `signer_of`."""
    connection.create_function("signer_of", 1, signer_of, deterministic=True)
