"""Paging: which records one of two nodes lacks, decided from keys alone, page by page.

Two methods serve catch-up:

- By time. A *cursor* is the timestamp up to which one node has received everything once. A *pass* carries the records
  that are newer than the cursor, oldest first. A pass is cheap and can be resumed, but it misses a record that arrives
  late with an old timestamp.
- By comparison. If the fingerprints still differ after a pass, one node reads all keys of the other in order, page by
  page, and compares them with its own, as one merges two sorted files (Knuth, The Art of Computer Programming 3, 5.4).
  Memory holds one page, however many keys the two nodes hold.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from protocol.errors import TRANSIENT, Code
from protocol.sets.index import ID_BYTES, TIMESTAMP_BYTES, Index

FIRST: Final = b""
"""Below every key: the pages of a whole index begin here."""


class HeldKeys(Protocol):
    """A set of keys, for example an index."""

    def __contains__(self, key: bytes, /) -> bool: ...


class Pass:
    """How far one pass has come.

    `through` is the timestamp, in seconds, up to which everything was received once. It moves past records that were
    accepted, known, or refused for good. The first record refused for now (too new, or its receiver is too busy) holds
    it below that record's timestamp, whatever follows, so that the next pass offers the record again.
    """

    def __init__(self, begin: int) -> None:
        """`begin` is the cursor of the pass before, in seconds."""
        self.through = begin
        self.is_held = False

    def step(self, timestamp: int, refusal: Code | None) -> None:
        """Count the next record in order. `refusal` is the code of its refusal; None: it was accepted or known."""
        if self.is_held:
            return
        self.is_held = refusal in TRANSIENT
        self.through = min(self.through, timestamp - 1) if self.is_held else max(self.through, timestamp)

    def cursor(self, now_s: float) -> int:
        """The cursor to store, in seconds.

        It is never ahead of the clock. Otherwise one record from the future would put the cursor past all records that
        are written before that time comes.
        """
        return min(self.through, int(now_s))


def before(timestamp: int) -> bytes:
    """A bound below every key of this timestamp, in seconds, and above every older key."""
    return timestamp.to_bytes(TIMESTAMP_BYTES, "big")


def after(timestamp: int) -> bytes:
    """A bound above every key of this timestamp, in seconds, and below every newer key."""
    return before(timestamp) + ID_BYTES * b"\xff"


def fingerprint_of_second(index: Index, timestamp: int, end: int | None = None) -> str | None:
    """The fingerprint of the keys of this timestamp, in seconds, as hex digits; None: there is no such key.

    Only the first `end` keys of the index count; None: all.
    """
    first, last = index.rank(before(timestamp)), index.rank(after(timestamp) + b"\x00")
    last = last if end is None else min(last, end)
    return index.fingerprint(first, last).hex() if first < last else None


def pages_of(index: Index, begin: bytes, end: bytes | None, page_keys: int) -> Iterator[list[bytes]]:
    """The keys above `begin`, up to and including `end` (None: all), in order, in pages of at most `page_keys`.

    The index may grow between two pages.
    """
    while True:
        first = index.rank(begin + b"\x00")  # the lowest string above `begin`
        last = len(index) if end is None else index.rank(end + b"\x00")
        page = index.keys(first, min(last, first + page_keys)) if first < last else []
        if not page:
            return
        yield page
        begin = page[-1]


def lacking(keys: Iterable[bytes], held: HeldKeys) -> list[bytes]:
    """Those of the keys that the other side does not hold, in the order given."""
    return [key for key in keys if key not in held]
