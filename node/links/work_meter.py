"""A meter of the work that links cause in the event loop, in seconds.

A peer can cause much work with few bytes: a comparison of sets, or a list of 10,000 domains. Each link may use a share
of a core. A link that has used more is neither read nor answered until its share has grown again, so its peer waits and
nobody else. All strangers together have a share too, because one stranger may have many addresses.

Strangers may use little at once. While the loop is always busy, each step of the thread that writes to the disk waits
for the interpreter's lock, so a claim of somebody else takes 0.3 s instead of 3 ms.
"""

from collections.abc import Callable
from typing import Final

from node.fairness.crowd import Crowd
from protocol.link.terms import LinkLimits
from protocol.records.quota import Quota

STRANGERS_BURST_S: Final = 1.0
"""What strangers do not use of their share, they can use later, but no more than the share of this many seconds."""

FRAME_S: Final = 0.00005
"""What it costs to receive a frame of a stranger, besides the work for its content, which is measured."""

RECORD_S: Final = 0.0001
"""What it costs to decide about a record of a stranger, and to store it. So one address brings 1,000 a second."""

_PAUSE_S_MIN: Final = 0.1
"""The shortest pause. Many links may wait for the share of all strangers, and each time each of them asks for it costs
0.05 ms."""

_STRANGERS: Final = "strangers"


class WorkMeter:
    """The meter of all links of a node. A source is a listed peer, or the address of strangers."""

    def __init__(self, limits: LinkLimits, clock: Callable[[], float], crowd: Crowd | None = None) -> None:
        """`limits` gives the shares. `clock` is in seconds and never steps back. `crowd` counts the work of strangers
        with their other work.
        """
        self._crowd = crowd
        self._clock = clock
        self._of_listed = Quota(limits.work_share_of_listed)
        self._of_address = Quota(limits.work_share_of_address, burst_s=STRANGERS_BURST_S)
        self._of_strangers = Quota(limits.work_share_of_strangers, burst_s=STRANGERS_BURST_S)

    def spend(self, source: str, seconds: float, *, is_listed: bool, frames: int = 0, records: int = 0) -> None:
        """Count work of a source, and this many frames and records of it."""
        now = self._clock()
        if is_listed:
            self._of_listed.spend(source, seconds, now)
            return
        seconds += frames * FRAME_S + records * RECORD_S
        self._of_address.spend(source, seconds, now)
        self._of_strangers.spend(_STRANGERS, seconds, now)
        if self._crowd is not None:
            self._crowd.spend(source, seconds, now)

    def pause_s(self, source: str, *, is_listed: bool) -> float:
        """How many seconds the links of this source have to wait. Others may work meanwhile, so ask again then."""
        now = self._clock()
        if is_listed:
            wait_s = self._of_listed.wait_s(source, now)
        else:
            wait_s = max(self._of_address.wait_s(source, now), self._of_strangers.wait_s(_STRANGERS, now))
            wait_s = wait_s if self._crowd is None else max(wait_s, self._crowd.wait_s(source, now))
            if wait_s > 0.0 and self._crowd is not None:
                self._crowd.counts.delayed += 1
        return max(wait_s, _PAUSE_S_MIN) if wait_s > 0.0 else 0.0
