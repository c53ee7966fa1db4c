"""Catch-up: what one of two nodes has to be given so that both hold the same, decided from keys alone.

First by time: a cursor says up to where everything went through once, and a pass carries what is newer, oldest first.
That is cheap and resumable, and provably misses what arrives late with an old timestamp. So where the fingerprints
still differ afterwards, the two compare all their keys, in order and page by page, as the merge of two sorted files
does (Knuth, The Art of Computer Programming 3, 5.4): memory holds one page, however much the two hold.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from protocol.errors import TRANSIENT, Code
from protocol.sets.index import ID_BYTES, TIMESTAMP_BYTES, Index

FIRST: Final = b""
"""Below every key: where a walk through all of an index begins."""

INVALID: Final = frozenset({Code.MALFORMED, Code.TOO_LARGE, Code.BAD_SIGNATURE})
"""Refusals that depend on the bytes alone, so that no honest peer has such a record to give."""


class Held(Protocol):
    """A set of keys that can be asked: an index, say."""

    def __contains__(self, key: bytes, /) -> bool: ...


class Pass:
    """How far one pass has come: `through` is the timestamp, in seconds, up to which everything went through once.

    It moves past what was accepted, known, or refused for good. The first record that was refused for now (too new, or
    its receiver is too busy) holds it below that record's timestamp, whatever goes through after it, so that the next
    pass offers the record again.
    """

    def __init__(self, begin: int) -> None:
        self.through = begin
        self.is_held = False

    def step(self, timestamp: int, refusal: Code | None) -> None:
        """The next record in order, and the code of its refusal; None: it was accepted or known."""
        if self.is_held:
            return
        self.is_held = refusal in TRANSIENT
        self.through = min(self.through, timestamp - 1) if self.is_held else max(self.through, timestamp)

    def cursor(self, now_s: float) -> int:
        """What to store. Never ahead of the clock: else one record that is would make every one before it come late."""
        return min(self.through, int(now_s))


def before(timestamp: int) -> bytes:
    """A bound below every key of this timestamp, in seconds, and above all that are older."""
    return timestamp.to_bytes(TIMESTAMP_BYTES, "big")


def after(timestamp: int) -> bytes:
    """A bound above every key of this timestamp, in seconds, and below all that are newer."""
    return before(timestamp) + ID_BYTES * b"\xff"


def walk(index: Index, begin: bytes, end: bytes | None, page_keys: int) -> Iterator[list[bytes]]:
    """The keys above `begin` up to and with `end` (None: all), in order, in pages. The index may grow between two
    pages.
    """
    while True:
        first = index.rank(begin + b"\x00")  # the least string above `begin`
        last = len(index) if end is None else index.rank(end + b"\x00")
        page = index.keys(first, min(last, first + page_keys)) if first < last else []
        if not page:
            return
        yield page
        begin = page[-1]


def lacking(keys: Iterable[bytes], held: Held) -> list[bytes]:
    """Those of the keys that the other side does not hold, in the order given."""
    return [key for key in keys if key not in held]
