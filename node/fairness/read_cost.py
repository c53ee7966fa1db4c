"""Read cost: the processor time that one request for reading takes, wherever it is spent.

The event loop spends some of it, and reader threads of the store spend some, which keep the loop waiting for the
interpreter lock. A request that is metered puts its `ReadCost` into `READ_COST`, and the store adds to it.
"""

import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ReadCost:
    """The cost of one request so far, in `seconds`. `pace` waits while its caller has read too much. `address` is that
    of the caller; None: the node itself reads.
    """

    __slots__ = ("address", "pace", "seconds")

    def __init__(self, pace: Callable[[], Awaitable[None]], address: str | None = None) -> None:
        self.seconds = 0.0
        self.pace = pace
        self.address = address

    def metered(self, work: Callable[_P, _T]) -> Callable[_P, _T]:
        """The same function, which adds the processor time that it takes in its thread."""

        def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            begun_s = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds += time.thread_time() - begun_s

        return call


class Timed:
    """Awaits a coroutine, and adds the processor time of each of its steps to a cost. Nothing else runs in this thread
    during a step.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], cost: ReadCost) -> None:
        self._work = work
        self._cost = cost

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            begun_s = time.thread_time()
            try:
                awaited = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                self._cost.seconds += time.thread_time() - begun_s
            error = None
            try:
                yield awaited
            except BaseException as thrown:
                error = thrown


READ_COST: ContextVar[ReadCost | None] = ContextVar("read_cost", default=None)
"""The cost of the request that the present task answers. None if nobody meters it."""


def metered(work: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function, which adds its processor time to the cost of the present request, if there is one."""
    cost = READ_COST.get()
    return work if cost is None else cost.metered(work)


def reader() -> str | None:
    """The address for which the present task reads. None: the node itself, or a caller whom nobody meters."""
    cost = READ_COST.get()
    return None if cost is None else cost.address


async def pace() -> None:
    """Wait if the caller of the present request has read too much."""
    cost = READ_COST.get()
    if cost is not None:
        await cost.pace()
