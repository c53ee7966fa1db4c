"""A timer wheel with slots of one millisecond. Events of one slot happen in the order in which they were set.

With 100,000 nodes, nearly every millisecond has many events. So each millisecond has a list of events, and a heap holds
only the milliseconds. This takes a tenth of the time of a heap of all events (Varghese and Lauck, "Hashed and
hierarchical timing wheels", SOSP 1987, in its simplest form).
"""

import heapq
from collections.abc import Callable
from typing import Any

WheelEvent = tuple[Callable[[Any, Any], None], Any, Any]
"""A function and its two arguments."""


class Wheel:
    """Virtual time in whole milliseconds. `now`: the same in seconds. `events`: how many events have happened."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.now = 0.0
        self.events = 0
        self._due: dict[int, list[WheelEvent]] = {}
        self._times: list[int] = []

    def set(self, at_ms: int, event: WheelEvent) -> None:
        """Set an event. If its time is now or past, it happens in the next millisecond."""
        if at_ms <= self.now_ms:
            at_ms = self.now_ms + 1
        due = self._due.get(at_ms)
        if due is None:
            self._due[at_ms] = [event]
            heapq.heappush(self._times, at_ms)
        else:
            due.append(event)

    def run_until(self, end_ms: int) -> None:
        """Let all events up to this millisecond happen, also those that they set."""
        times = self._times
        while times and times[0] <= end_ms:
            self._turn_to(heapq.heappop(times))
            due = self._due.pop(self.now_ms)
            self.events += len(due)
            for function, one, other in due:
                function(one, other)
        self._turn_to(max(self.now_ms, end_ms))

    def _turn_to(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.now = now_ms / 1_000
