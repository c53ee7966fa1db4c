"""A wait for a condition that has no event, and limits on time that hold on a machine that is slow or stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

TIMEOUT_S: Final = 120.0
"""Seconds after which a test that hangs fails. No test takes as long."""


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop run until `is_so` returns true."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():  # noqa: ASYNC110 - the condition has no event to wait for
            await asyncio.sleep(0)


TICK_S: Final = 0.01


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """End the block with a `TimeoutError` after these seconds. A stall of the machine counts as one tick.

    This is for promises in seconds. `asyncio.timeout` only ends a test that hangs.
    """

    async def count() -> None:
        for _ in range(round(seconds / TICK_S)):
            await asyncio.sleep(TICK_S)
        limit.reschedule(asyncio.get_running_loop().time())

    async with asyncio.timeout(None) as limit:
        counting = asyncio.create_task(count())
        try:
            yield
        finally:
            counting.cancel()


def waited_s(process: psutil.Process) -> float:
    """How long the first thread of a process was ready to run and had no core; 0 where the system does not say."""
    counts = Path(f"/proc/{process.pid}/schedstat")
    return int(counts.read_text().split()[1]) / 1e9 if counts.exists() else 0.0
