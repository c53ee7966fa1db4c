"""Run a coroutine at once, as far as it goes without waiting. Only a coroutine that waits becomes a task.

A task costs a turn of the loop before it begins, and most of the work here never waits. Python 3.12 has such tasks by
itself (`asyncio.eager_task_factory`).
"""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any


class Eager:
    """Runs coroutines, and holds the tasks of those that wait: asyncio drops a task that nobody holds."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run this work in a context of its own. Until it waits for the first time, no task is the current one.

        Returns the task of work that waits.
        """
        context = copy_context()
        try:
            awaited = context.run(work.send, None)
        except StopIteration:
            return None
        task = asyncio.get_running_loop().create_task(_go_on(work, awaited), name="eager", context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _go_on(work: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _Begun(work, awaited)


class _Begun:
    """Awaits a coroutine that has begun already, and that waits for `awaited`."""

    def __init__(self, work: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._work = work
        self._awaited = awaited

    def __await__(self) -> Generator[Any, None, None]:
        awaited = self._awaited
        while True:
            error: BaseException | None = None
            try:
                yield awaited
            except BaseException as thrown:
                error = thrown
            try:
                awaited = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration:
                return
