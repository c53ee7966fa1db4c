"""The trace of a run: one digest over everything that happened, in order, and a readable line for what matters.

Two runs of a seed are the same run if and only if their digests are equal; the lines tell a person where they part.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgspec

LINES_MAX: Final = 20_000
"""The newest are kept."""

MIXED_PER_HASH: Final = 256


class TraceLine(msgspec.Struct, frozen=True):
    """Something that happened: virtual seconds since the begin, where, what, and its facts in words."""

    at_s: float
    where: str
    what: str
    facts: str = ""

    def __str__(self) -> str:
        return f"{self.at_s:10.3f}  {self.where:<10} {self.what:<18} {self.facts}".rstrip()


class Trace:
    """What happened so far. `counts` says how often each kind of thing did."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.lines: deque[TraceLine] = deque(maxlen=LINES_MAX)
        self.counts: Counter[str] = Counter()
        self._now_s = now_s
        self._hash = hashlib.blake2b(digest_size=16)
        self._mixed: list[str] = []

    def note(self, where: str, what: str, **facts: object) -> None:
        """A line for people, which is part of the digest too."""
        words = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
        self.lines.append(TraceLine(self._now_s(), where, what, words))
        self.counts[what] += 1
        self.mix(where, what, words)

    def mix(self, *facts: object) -> None:
        """Something for the digest alone: a delivery, say, of which there are many."""
        self._mixed.append(f"{self._now_s()!r} {facts!r}")
        if len(self._mixed) >= MIXED_PER_HASH:
            self._flush()

    def digest(self) -> str:
        """32 hex digits of everything so far."""
        self._flush()
        return self._hash.copy().hexdigest()

    def _flush(self) -> None:
        self._hash.update("\n".join(self._mixed).encode())
        self._mixed.clear()
