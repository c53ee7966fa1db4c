"""Clocks that differ: the reason for many a refusal, and invisible unless somebody says it."""

import time
from typing import Final

from node.cli.output.screen import warn

AHEAD_WARNED_S: Final = 5.0
"""A node tells whole seconds, and an answer takes a moment; a larger difference is one of the clocks."""


def warn_of_clock(url: str, node_time_s: float) -> None:
    """Warn if the node's clock differs from the clock of this machine."""
    words = clock_words(node_time_s - time.time())
    if words is not None:
        warn(f"the clock of {url} is {words}: records may be refused as too_new or too_old until both are right")


def clock_words(ahead_s: float) -> str | None:
    """How a clock that is so many seconds ahead of this machine's differs from it; None if it hardly does."""
    if abs(ahead_s) <= AHEAD_WARNED_S:
        return None
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
