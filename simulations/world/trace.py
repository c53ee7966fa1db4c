"""The trace of a run: one digest over everything that happens, in order, and a readable line for what matters.

Two runs are the same run if and only if their digests are equal. If they differ, the lines show a person where.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgspec

LINES_MAX: Final = 20_000
"""Lines that a trace keeps: the newest."""

MIXED_PER_HASH: Final = 256
"""Facts that are gathered before they are hashed, because hashing each one by itself takes longer."""


class TraceLine(msgspec.Struct, frozen=True):
    """Something that happened: virtual seconds since the run began, the machine or user, what happened, and its facts
    in words. `where` is empty for what concerns no single machine.
    """

    at_s: float
    where: str
    what: str
    facts: str = ""

    def __str__(self) -> str:
        return f"{self.at_s:10.3f}  {self.where:<10} {self.what:<18} {self.facts}".rstrip()


class Trace:
    """What has happened so far. `counts`: how often each `what` happened."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s`: virtual seconds since the run began."""
        self.lines: deque[TraceLine] = deque(maxlen=LINES_MAX)
        self.counts: Counter[str] = Counter()
        self._now_s = now_s
        self._hash = hashlib.blake2b(digest_size=16)
        self._mixed: list[str] = []

    def note(self, where: str, what: str, **facts: object) -> None:
        """Add a line for people, and mix it into the digest. A fact that is None is left out."""
        words = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
        self.lines.append(TraceLine(self._now_s(), where, what, words))
        self.counts[what] += 1
        self.mix(where, what, words)

    def mix(self, *facts: object) -> None:
        """Mix something into the digest alone, such as a delivery, because there are too many of them for lines."""
        self._mixed.append(f"{self._now_s()!r} {facts!r}")
        if len(self._mixed) >= MIXED_PER_HASH:
            self._flush()

    def digest(self) -> str:
        """The digest of everything so far, 32 hex digits."""
        self._flush()
        return self._hash.copy().hexdigest()

    def _flush(self) -> None:
        self._hash.update("\n".join(self._mixed).encode())
        self._mixed.clear()
