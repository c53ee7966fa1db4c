"""Errands: what is on its way from a process that follows to the writer. No errand outlives the writer."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from node.fleet.standing import Standing
from protocol.errors import Code, ProtocolError

RETRY_AFTER_S: Final = 1

_T = TypeVar("_T")


class Errands:
    """Counts the errands, and breaks them off when the writer has changed. `results` counts what became of them."""

    def __init__(self, standing: Standing, places: int) -> None:
        """`places`: errands that may be on their way at once."""
        self.results: Counter[str] = Counter()
        self._standing = standing
        self._places = places
        self._writers: dict[asyncio.Task[Any], str] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._writers)

    def writer(self) -> str:
        """The URL of the writer. Raises: ProtocolError: `overloaded`: there is no writer."""
        if self._standing.writer is None or self._is_closed:
            self.results["no writer"] += 1
            raise no_writer()
        return self._standing.writer

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await this errand to the present writer.

        Raises:
            ProtocolError: `overloaded`: there is no writer, it has changed meanwhile, or too many errands are
                under way.
        """
        try:
            writer = self.writer()
            self._check_room()
        except ProtocolError:
            work.close()
            raise
        task = asyncio.ensure_future(work)
        self._writers[task] = writer
        try:
            await asyncio.wait([task])
        finally:
            del self._writers[task]
            task.cancel()
        if task.cancelled():
            self.results["broken off"] += 1
            raise no_writer()
        return task.result()

    def on_writer(self) -> None:
        """Break off the errands to a process that is not the writer any more. Nobody knows what became of them."""
        for task, writer in self._writers.items():
            if writer != self._standing.writer:
                task.cancel()

    async def close(self) -> None:
        """Break off all, and begin no more: the role of this process changes."""
        self._is_closed = True
        tasks = list(self._writers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check_room(self) -> None:
        if len(self._writers) >= self._places:
            self.results["overloaded"] += 1
            detail = f"{self._places} requests are on their way to the writer already"
            raise ProtocolError(Code.OVERLOADED, detail, retry_after=RETRY_AFTER_S)


def no_writer() -> ProtocolError:
    """The error where the writer cannot be asked, or did not answer. What was sent may have been taken."""
    detail = "no process of this fleet writes at the moment, or the writer has just changed: send the same again"
    return ProtocolError(Code.OVERLOADED, detail, retry_after=RETRY_AFTER_S)
