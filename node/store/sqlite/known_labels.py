"""Which labels the database may have: a filter in memory (Bloom, *Space/time trade-offs in hash coding with allowable
errors*, 1970).

Most claims found a label of their own. To learn from the database that it does not have the label takes 10 us, and 30
us in a thread that has just slept. The filter says so in 1 us. It never denies a label that the database has. Of labels
that the database does not have, it denies 95 to 99 in 100; the database is asked about the others.

Only the thread of the writer adds labels, and no other process writes labels. Any thread may ask: a label that is being
committed is in the memory of the intake, which does not ask. Labels of dropped domains stay in the filter.
"""

import sqlite3
from collections.abc import Collection
from typing import Final

from node.store.contract import LabelKey

LABELS_MIN: Final = 65_536
"""Labels for which even a small filter has room, in 64 KiB."""

_BITS_EACH: Final = 8
"""Bits for each label. A label sets two of them, so a full filter has 22 in 100 bits set."""

_HALF: Final = 32
"""Bits of a hash that choose one place of a label. The others choose the other place."""


class KnownLabels:
    """The filter. `is_complete`: all labels of the database were added. Until then it denies nothing.

    If it is full, it is incomplete again, and `load` begins with a larger one.
    """

    def __init__(self, labels_min: int = LABELS_MIN) -> None:
        self._labels_min = labels_min
        self._complete: bytearray | None = None
        self._draft: bytearray | None = None
        """The bits to which labels are added; `_complete` is the same array once it has all labels."""
        self._room = 0
        """Labels for which the draft still has room."""
        self._through = 0
        """The last row of the labels that `load` has added to the draft."""

    @property
    def is_complete(self) -> bool:
        return self._complete is not None

    def among(self, labels: Collection[LabelKey]) -> list[LabelKey]:
        """Those of these labels that the database may have. It does not have the others."""
        bits = self._complete
        if bits is None:
            return list(labels)
        size, found = 8 * len(bits), []
        for label in labels:
            hashed = hash(label)
            one = hashed % size
            if bits[one >> 3] >> (one & 7) & 1:
                other = (hashed >> _HALF) % size
                if bits[other >> 3] >> (other & 7) & 1:
                    found.append(label)
        return found

    def add(self, labels: Collection[LabelKey]) -> None:
        """The database has these labels, or will have them after the commit under way."""
        bits = self._draft
        if bits is None:
            return
        size = 8 * len(bits)
        for label in labels:
            hashed = hash(label)
            one, other = hashed % size, (hashed >> _HALF) % size
            bits[one >> 3] |= 1 << (one & 7)
            bits[other >> 3] |= 1 << (other & 7)
        self._room -= len(labels)
        if self._room < 0:
            self._complete = self._draft = None

    def load(self, connection: sqlite3.Connection, labels_max: int) -> None:
        """Add the next labels of the database, at most this many. Complete: there were fewer."""
        if self._draft is None:
            self._begin(connection)
        sql = "SELECT no, domain, label FROM labels WHERE no > ? ORDER BY no LIMIT ?"
        rows = connection.execute(sql, (self._through, labels_max)).fetchall()
        self.add([(domain, label) for _, domain, label in rows])
        if len(rows) < labels_max:
            self._complete = self._draft
        else:
            self._through = rows[-1][0]

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin a filter with room for twice as many labels as the database has."""
        (last,) = connection.execute("SELECT coalesce(max(no), 0) FROM labels").fetchone()
        self._room = max(self._labels_min, 2 * last)
        self._draft = bytearray(self._room * _BITS_EACH // 8)
        self._through = 0
