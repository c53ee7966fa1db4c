"""Turns: how long work shares the event loop with everything else.

While a callback runs, the event loop stands: no request is read and no answer is sent. So long work is done in pieces.
All long work of a node together takes about `TURN_S` of one turn of the loop, and then waits for the next turn. Short
work, such as a single claim, never waits here.

Time is measured by the clock of the loop. In a simulation this clock stands still while a callback runs, so nothing
ever waits.
"""

import asyncio
from collections.abc import Hashable
from typing import Final

from node.fairness.fair_queue import FairQueue

TURN_S: Final = 0.005
"""Seconds of one turn of the loop that long work may take. A single claim takes about ten turns, so beside long work it
waits for some 50 ms. Shorter turns would cost throughput: a turn itself takes about 0.05 ms."""


class Turns:
    """The long work of one node, or of one kind."""

    def __init__(self, turn_s: float = TURN_S) -> None:
        """`turn_s`: the seconds of one turn of the loop that this work may take."""
        self._turn_s = turn_s
        self._loop = asyncio.get_running_loop()
        self._used_s = 0.0
        self._is_renewing = False
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @property
    def is_used_up(self) -> bool:
        """Whether this turn of the loop has no time left for long work."""
        return self._used_s >= self._turn_s

    def begin(self, source: Hashable = None) -> "Piece":
        """Begin some work. `source` names who caused it. Sources take turns, however much work each of them has."""
        return Piece(self, source, self._loop)

    def count(self, seconds: float) -> None:
        """Add time that was used in this turn."""
        self._used_s += seconds
        if not self._is_renewing:
            self._is_renewing = True
            self._loop.call_soon(self._renew)

    async def wait(self, source: Hashable) -> None:
        """Wait for a turn with time left; returns at once if this turn has some and nobody else waits."""
        if not self.is_used_up and not self._waiting:
            return
        turn = self._loop.create_future()
        self._waiting.put(source, turn)
        await turn

    def _renew(self) -> None:
        """A new turn of the loop has begun."""
        self._used_s = 0.0
        self._is_renewing = False
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():  # otherwise its task was cancelled
                turn.set_result(None)
                break
        if self._waiting:
            self.count(0.0)


class Piece:
    """Work of one source, from its beginning or from its last rest."""

    def __init__(self, turns: Turns, source: Hashable, loop: asyncio.AbstractEventLoop) -> None:
        self._turns = turns
        self._source = source
        self._clock = loop.time
        self._begun_s = self._clock()
        self.seconds = 0.0
        """How long the work took until its last rest or end."""

    @property
    def is_long(self) -> bool:
        """Whether the work since the last rest fills a turn, so that it is time to rest."""
        return self._clock() - self._begun_s >= TURN_S

    async def rest(self) -> float:
        """Give others a turn if the work has used up this one; returns the seconds of work since the last rest."""
        seconds = self.end()
        await self._turns.wait(self._source)
        self.go_on()
        return seconds

    def go_on(self) -> None:
        """Work again after a pause. The time since the last rest does not count."""
        self._begun_s = self._clock()

    def end(self) -> float:
        """Count the work since the last rest; returns its seconds."""
        now_s = self._clock()
        seconds, self._begun_s = now_s - self._begun_s, now_s
        if seconds > 0.0:
            self.seconds += seconds
            self._turns.count(seconds)
        return seconds
