"""The one timer of a machine."""

import asyncio

import pytest
import uvloop

from node.links.alarm import Alarm


async def ring(*times_s: float | None) -> int:
    """How often an alarm rings that is set to these times from now, before the loop has gone past all of them."""
    loop = asyncio.get_running_loop()
    now, rings = loop.time(), []
    alarm = Alarm(lambda: rings.append(loop.time()))
    for time_s in times_s:
        alarm.set(None if time_s is None else now + time_s)
    over = asyncio.Event()
    loop.call_at(now + max((time_s for time_s in times_s if time_s is not None), default=0) + 0.02, over.set)
    await over.wait()
    alarm.cancel()
    return len(rings)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("times_s", "rings"),
    [((None,), 0), ((0.01,), 1), ((0.01, 0.01), 1), ((0.02, 0.01), 1), ((0.01, 0.02), 1), ((0.01, None), 1)],
)
def test_an_alarm_rings_once_at_the_nearest_time_that_was_set(run, times_s, rings) -> None:  # type: ignore[no-untyped-def]
    assert run(ring(*times_s)) == rings


async def test_an_alarm_that_was_cancelled_does_not_ring() -> None:
    rings: list[None] = []
    loop = asyncio.get_running_loop()
    alarm, over = Alarm(lambda: rings.append(None)), asyncio.Event()

    alarm.set(loop.time() + 0.005)
    alarm.cancel()
    loop.call_later(0.02, over.set)
    await over.wait()

    assert rings == []
