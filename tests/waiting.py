"""A wait for a condition that has no event."""

import asyncio
from collections.abc import Callable
from typing import Final

TIMEOUT_S: Final = 30.0
"""Seconds after which a test that hangs fails. No test takes as long."""


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop run until `is_so` returns true."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():  # noqa: ASYNC110 - the condition has no event to wait for
            await asyncio.sleep(0)
