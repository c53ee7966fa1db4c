"""The tables of a store, as rows that any other store can take: so a node can move from one kind of store to another.

The rows keep their numbers. So everything that refers to a record by its number stays right, and events keep their
order. What a store only needs for itself, such as its epoch and how far its counts are, is no row of these tables.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

import msgspec

PAGE_ROWS: Final = 1_000
"""Rows that are in memory at once. With bodies of the greatest length, these are 64 MB."""

Row = tuple[Any, ...]
"""The values of a row's columns: integers, bytes, texts, bools and None."""


class Table(msgspec.Struct, frozen=True):
    """A table that every store has, or some of its columns. `flags`: the columns that hold a bool.

    `order`: the column that gives the order of the rows, where the order matters.
    """

    name: str
    columns: tuple[str, ...]
    flags: tuple[str, ...] = ()
    order: str | None = None


_OF_OPERATORS: Final = ("erasures", "dropped")
"""Tables that only an operator changes, besides `removals`."""

_LABEL: Final = "no domain label head newest timestamp contested former owner final founder undecided doubly_decided"
_REMOVAL: Final = "no kind ids domain label key by reason time through records bytes done"

RECORDS: Final = Table(
    "records", ("no", "id", "label", "timestamp", "received", "verdict", "signature", "body"), order="no"
)
EVENTS: Final = Table("events", ("seq", "record", "type", "previous", "reason"), order="seq")
PEERS: Final = Table("peers", ("url", "push", "pull", "accept", "key"), ("push", "pull", "accept"))
CURSORS: Final = Table("cursors", ("peer", "domain", "direction", "timestamp"))
USAGE: Final = Table("usage", ("key", "domain", "records", "bytes"))
"""`domain` is the name."""

REMOVALS: Final = Table("removals", tuple(_REMOVAL.split()), ("done",), order="no")
"""All of them are done. `ids` has 32 bytes for each id."""

TABLES: Final = (
    Table("labels", tuple(_LABEL.split()), ("contested",), order="no"),
    Table("former_keys", ("label", "key")),
    RECORDS,
    EVENTS,
    USAGE,
    Table("witnesses", ("no", "domain", "key"), order="no"),
    Table("receipts", ("record", "witness", "prev", "at_ms", "sound"), ("sound",)),
    Table("testimony", ("record", "witness", "act", "round", "value")),
    Table("testimony_ahead", ("id", "witness", "act", "round", "value")),
    Table("forks", ("witness", "label", "prev", "act", "round", "one", "other")),
    REMOVALS,
    Table("erasures", ("record", "removal")),
    Table("dropped", ("domain",)),
    PEERS,
    CURSORS,
)
"""Everything that moves, in an order in which rows that are referred to come first."""

JUDGED: Final = Table("records", ("id", "label", "timestamp", "verdict"), order="no")
"""What is derived from the body of a record, and stands beside it."""

DERIVED: Final = tuple(
    table for table in TABLES if table not in (RECORDS, REMOVALS, PEERS, CURSORS) and table.name not in _OF_OPERATORS
)
"""The tables that follow from the records alone."""

VERDICTS: Final = Table("records", ("id", "verdict"), order="no")
"""What two stores with the same records must agree on."""


class Rows(Protocol):
    """The rows of one store."""

    async def count(self, table: Table) -> int:
        """How many rows the table has."""

    def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows of the table, at most `PAGE_ROWS` at once."""

    async def last_event(self) -> int:
        """The number of the last event, which may be dropped since."""


class NewRows(Rows, Protocol):
    """The rows of a store that is being filled."""

    async def put(self, table: Table, rows: list[Row]) -> None:
        """Add these rows, whose values are in the order of the table's columns."""

    async def finish(self, last_event: int) -> None:
        """Add what the store only needs for itself. All rows are there."""
