"""Tasks: the work that one part of a node has started, in the order of starting.

asyncio drops a task that nobody holds, and an `asyncio.TaskGroup` ends its tasks in no fixed order. `Tasks` holds them,
ends them in the order in which they started, and reports a failed task at once instead of when somebody awaits it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """Tasks that end at the latest with `close`."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        """`on_failure` is called with the exception that a task has raised."""
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[None], None] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> Callable[[], bool]:
        """Start this work as a task, and return the function that cancels it."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._on_done)
        return task.cancel

    async def close(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(error)
