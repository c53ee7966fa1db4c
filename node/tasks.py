"""Tasks: what one part of a node has begun, in the order in which it began it.

asyncio forgets tasks that nobody holds, and a group of its own ends them in no order. Here they are held, ended first
to last, and one that fails says so at once instead of when somebody asks.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """Tasks that live no longer than whoever holds this. `on_failure` is called with what a task raised."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[None], None] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> Callable[[], bool]:
        """Begin this work; gives what to call to end it."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._on_done)
        return task.cancel

    async def close(self) -> None:
        """End all, and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(error)
