"""When to dial again: later after each failure, and never together with everybody else.

Exponential backoff with jitter (Brooker, "Exponential Backoff And Jitter", 2015): a node that comes back must not be
met by all its peers in the same second. A peer that gave invalid records is left alone longest: it would do so again.
"""

from random import Random
from typing import Final

CUT_OFF_S: Final = 3_600.0
"""After invalid records: a fault in a peer's program is mended in hours, if at all, and each try costs both."""

STEADY_S: Final = 10.0
"""A link that stood this long was no failure, whatever ended it."""

_DOUBLINGS_MAX: Final = 32
_JITTER: Final = (0.5, 1.5)


class Backoff:
    """The pauses of one dialler, in seconds."""

    def __init__(self, first_s: float, longest_s: float, random: Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = random
        self._failures = 0

    def pause_s(self, open_s: float, *, is_cut_off: bool = False) -> float:
        """How long to wait after a link that was open for so long; 0: it never was."""
        if is_cut_off:
            return CUT_OFF_S * self._random.uniform(*_JITTER)  # longer than `longest_s`: that is for honest peers
        if open_s >= STEADY_S:
            self._failures = 0
        doubled = self._first_s * 2.0 ** min(self._failures, _DOUBLINGS_MAX)
        self._failures += 1
        return min(doubled * self._random.uniform(*_JITTER), self._longest_s)
