"""A wheel of time: events by the millisecond, in the order in which they were set within one.

At a hundred thousand nodes nearly every millisecond holds many events, so a list for each of them, and a heap of the
milliseconds alone, costs a tenth of what a heap of all events would (Varghese and Lauck, "Hashed and hierarchical
timing wheels", SOSP 1987, in its simplest form).
"""

import heapq
from collections.abc import Callable
from typing import Any

WheelEvent = tuple[Callable[[Any, Any], None], Any, Any]


class Wheel:
    """Virtual time in whole milliseconds. An event is a function and its two arguments."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.now = 0.0
        """The same in seconds."""
        self.events = 0
        """Events that have happened."""
        self._due: dict[int, list[WheelEvent]] = {}
        self._times: list[int] = []

    def set(self, at_ms: int, event: WheelEvent) -> None:
        """Let the event happen then; what is past or now is too late, and happens in the next millisecond."""
        if at_ms <= self.now_ms:
            at_ms = self.now_ms + 1
        due = self._due.get(at_ms)
        if due is None:
            self._due[at_ms] = [event]
            heapq.heappush(self._times, at_ms)
        else:
            due.append(event)

    def run_until(self, end_ms: int) -> None:
        """Let everything happen up to this millisecond, and what follows from it."""
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
