"""Alarm: one timer of the event loop, for a machine that says when it next wants to be called.

Moving an alarm to a later time changes nothing: it rings early, the machine does nothing, and sets the alarm again. So
a machine whose next time moves away with every frame does not cost one new timer for each frame.
"""

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls back once, at the earliest time that was set. Times are of the loop's clock, in seconds."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """`ring` is called when the time has come."""
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0  # kept here, because the handles of uvloop do not tell their time

    def set(self, due_at: float | None) -> None:
        """Ring at this time, or earlier if the alarm is set to an earlier time already. None changes nothing."""
        if due_at is None or (self._timer is not None and self._due_at <= due_at):
            return
        self.cancel()
        self._due_at = due_at
        self._timer = asyncio.get_running_loop().call_at(due_at, self._on_time)

    def cancel(self) -> None:
        """Do not ring until the alarm is set again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        self._ring()
