"""The timer in the loop of a node under attack sees one long step, and not many short ones."""

import asyncio
import time
from pathlib import Path

from tests.attack.pace import pause
from tests.attack.timed_node import PERIOD_S, noting, stands


def work(seconds: float) -> None:
    """Use so much processor time."""
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


async def longest_work_s(path: Path, steps_s: list[float]) -> float:
    """The longest stand while the loop takes these steps, in processor time."""
    begin_s = time.monotonic()
    with noting(path):
        for step_s in steps_s:
            work(step_s)
            await asyncio.sleep(0)
        await pause(2 * PERIOD_S)  # the timer comes once more
    return max((stand.work_s for stand in stands(path, begin_s, time.monotonic())), default=0.0)


async def test_a_long_step_is_a_stand(tmp_path: Path) -> None:
    assert await longest_work_s(tmp_path / "stands", [0.1]) > 0.05


async def test_many_short_steps_are_no_stand(tmp_path: Path) -> None:
    assert await longest_work_s(tmp_path / "stands", [0.002] * 100) < 0.05
