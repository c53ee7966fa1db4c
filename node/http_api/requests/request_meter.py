"""A meter of the work that requests cause, by address, in seconds of a core.

A request of some bytes can ask for much work: the history of a label, a listing of everything. An address may use a
share of a core for its reads. Past it, a request waits for a moment, an answer of many pages slows down, and if the
wait were long, the request is refused. All strangers together have a share too, for reads, and for their work of every
kind. While they have used it up, an address may use only its part (`node.fairness.crowd`), so that addresses which
cause little are still served. Callers on this machine are exempt.

Requests share each turn of the event loop too. If each of 100 connections took 5 ms of one turn, a claim, which takes
ten turns, would wait for 5 s. So a request begins, and an answer of many pages goes on, when a turn has time left.
"""

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

from node.fairness.crowd import Crowd
from node.fairness.read_cost import READ_COST, ReadCost
from node.fairness.shares import Shares
from node.fairness.turns import Turns
from protocol.errors import Code, ProtocolError

DELAY_S_MAX: Final = 2.0
"""Seconds that a request may wait before it is answered. If it had to wait longer, it is refused."""

_LINK_S: Final = 0.001
"""What it takes in one turn of the loop to begin a link, or to refuse it."""

_SPENT_S_MIN: Final = 0.005
"""Seconds of work that are counted at once."""

_T = TypeVar("_T")


class RequestMeter:
    """Counts the work of requests, and says how long an address has to wait."""

    def __init__(self, share_max: float | None, crowd: Crowd | None = None, turns: Turns | None = None) -> None:
        """`share_max` is the share of a core for one address; None: no limit. `crowd` counts the work with that of
        other kinds. `turns` are those of all requests; None: no other meter counts any.
        """
        self.shares = Shares(share_max, crowd=crowd)
        self.turns = Turns() if turns is None else turns

    async def answer(self, address: str, answering: Coroutine[Any, Any, _T]) -> _T:
        """Await a request's handler, and count its work.

        Raises:
            ProtocolError: `rate_limited` if the address had to wait for long.
        """
        try:
            await self._wait(address)
        except BaseException:
            answering.close()
            raise
        answer: _T = await _Metered(self, address, answering)
        return answer

    async def _wait(self, address: str) -> None:
        wait_s = self.shares.wait_s(address, _now_s())
        if wait_s > DELAY_S_MAX:
            self.shares.counts.refused += 1
            detail = f"too much work for requests from {address}: come back in {wait_s:.0f} s, and ask for less"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=int(wait_s) + 1)
        if wait_s > 0:
            self.shares.counts.delayed += 1
            await asyncio.sleep(wait_s)
        await self.turns.wait(address)

    async def pace(self, address: str) -> None:
        """Wait between two pages of an answer, for at most `DELAY_S_MAX` seconds."""
        wait_s = self.shares.wait_s(address, _now_s())
        if wait_s > 0:
            self.shares.counts.delayed += 1
            await asyncio.sleep(min(wait_s, DELAY_S_MAX))
        await self.turns.wait(address)


class LinkTurns:
    """Gives requests for links their turns of the loop. What a link does then has meters of its own."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def answer(self, address: str, answering: Coroutine[Any, Any, _T]) -> _T:
        """Begin the link, or refuse it, when it is the turn of this address."""
        try:
            await self._turns.wait(address)
        except BaseException:
            answering.close()
            raise
        self._turns.count(_LINK_S)
        return await answering


class _Metered:
    """Awaits a coroutine, and measures each of its steps. Nothing else runs in this thread during a step."""

    def __init__(self, meter: RequestMeter, address: str, answering: Coroutine[Any, Any, Any]) -> None:
        self._meter = meter
        self._address = address
        self._answering = answering

    def __await__(self) -> Generator[Any, None, Any]:
        cost = ReadCost(lambda: self._meter.pace(self._address), self._address)
        READ_COST.set(cost)
        error: BaseException | None = None
        try:
            while True:
                begun_s, piece = time.thread_time(), self._meter.turns.begin(self._address)
                try:
                    awaited = self._answering.send(None) if error is None else self._answering.throw(error)
                except StopIteration as end:
                    return end.value
                finally:
                    cost.seconds += time.thread_time() - begun_s
                    piece.end()
                self._spend(cost, _SPENT_S_MIN)
                error = None
                try:
                    yield awaited
                except BaseException as thrown:
                    error = thrown
        finally:
            self._spend(cost, 0.0)

    def _spend(self, cost: ReadCost, least_s: float) -> None:
        if cost.seconds > least_s:
            self._meter.shares.spend(self._address, cost.seconds, _now_s())
            cost.seconds = 0.0


def _now_s() -> float:
    return asyncio.get_running_loop().time()
