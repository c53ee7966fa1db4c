"""Clocks: how far another machine's clock is ahead of the own one, as far as one exchange of messages can tell.

A node refuses a record that is ahead of its clock (`max_skew`) and a client's record that is far behind it (`max_age`).
So two clocks that differ cause refusals, and nobody sees the reason unless somebody compares the clocks.
"""

import time
from typing import Final

import msgspec

WARNED_S: Final = 5.0
"""A difference of more seconds causes a warning. Machines that use a time service differ by milliseconds."""

REMEDY: Final = "run a time service (NTP) on both machines"


class ClockReading(msgspec.Struct, frozen=True):
    """A peer's clock, read once: `ahead_s` seconds ahead of the own clock.

    `zero_s`: what the own clock showed when the event loop's clock was at 0. If the own clock was set since the
    reading, this number is another one, and the reading says nothing any more.
    """

    ahead_s: float
    zero_s: float

    def ahead_now_s(self, zero_s: float) -> float | None:
        """Seconds that the peer's clock is ahead; None if the own clock was set since the reading."""
        return self.ahead_s if abs(zero_s - self.zero_s) <= WARNED_S else None


def least_ahead_s(told_s: int, asked_s: float, answered_s: float) -> float:
    """Seconds that a clock is ahead of the own one at least, negative if it is behind, 0 if both may agree.

    The other machine told its time in whole seconds, at some moment between `asked_s` and `answered_s` of the own
    clock. So a slow answer never looks like a clock that differs.
    """
    return max(told_s - answered_s, min(0.0, told_s + 1 - asked_s))


def in_words(ahead_s: float, than: str) -> str:
    """For example `12 s ahead of this node's`. `than` names the other clock."""
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} {than}"


def moment(now_s: float) -> str:
    """A time for people, in UTC. `now_s` is in seconds since the Unix epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))


def differs(ahead_s: float | None) -> bool:
    """Whether the two clocks differ by so much that somebody should look. None: it is not known."""
    return ahead_s is not None and abs(ahead_s) > WARNED_S
