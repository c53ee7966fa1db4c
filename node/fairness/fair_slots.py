"""Fair slots: how much work of one kind goes on at once. Sources that wait for a slot take turns.

It is a semaphore, but in the order of `node.fairness.fair_queue`: a source with a thousand pieces of work delays that
of another source by one piece.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from node.fairness.fair_queue import FairQueue


class FairSlots:
    """So many slots."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
    async def take(self, source: Hashable) -> AsyncIterator[None]:
        """Run the block in a slot, when it is the turn of this source."""
        if self._taken < self._count:
            self._taken += 1
        else:
            await self._wait(source)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, source: Hashable) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.put(source, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had come already
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a slot to the next piece of work, if its task is still there."""
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1
