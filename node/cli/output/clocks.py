"""Clocks that differ: a common reason for refusals, and invisible unless somebody says it."""

import time

from node.cli.output.screen import warn
from node.clocks import REMEDY, differs, in_words, least_ahead_s


def warn_of_clock(url: str, told_s: int, asked_s: float) -> None:
    """Warn if the node's clock differs from this machine's.

    `told_s`: the node's time, which came just now. `asked_s`: when the request left, by this machine's clock.
    """
    ahead_s = least_ahead_s(told_s, asked_s, time.time())
    if differs(ahead_s):
        words = in_words(ahead_s, "this machine's")
        warn(f"the clock of {url} is {words}: records may be refused as too_new or too_old; {REMEDY}")
