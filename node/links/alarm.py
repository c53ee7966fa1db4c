"""An alarm: one timer of the loop for a machine that says when it wants to be called next.

It only ever moves nearer: a call that comes early does nothing, and sets the alarm anew. So a machine whose next time
moves away with every frame costs no timer a frame.
"""

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls back at the time set, once; times are those of the loop's clock, in seconds."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0  # kept apart, because uvloop's handles do not tell

    def set(self, due_at: float | None) -> None:
        """Ring then, or before; None: nothing more is wanted than was set already."""
        if due_at is None or (self._timer is not None and self._due_at <= due_at):
            return
        self.cancel()
        self._due_at = due_at
        self._timer = asyncio.get_running_loop().call_at(due_at, self._on_time)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        self._ring()
