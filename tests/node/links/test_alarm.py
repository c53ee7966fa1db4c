"""An alarm rings once, at the earliest time that was set."""

import asyncio

import pytest
import uvloop

from node.links.alarm import Alarm

SOON_S = 0.01
LATER_S = 0.02
MARGIN_S = 0.02
"""After the last time, until the event loop has certainly gone past it."""


async def ring(*times_s: float | None) -> int:
    """Set an alarm to these times, in seconds from now, and count its rings until the last time has passed."""
    loop = asyncio.get_running_loop()
    now, rings = loop.time(), []
    alarm = Alarm(lambda: rings.append(loop.time()))
    for time_s in times_s:
        alarm.set(None if time_s is None else now + time_s)
    over = asyncio.Event()
    loop.call_at(now + max((time_s for time_s in times_s if time_s is not None), default=0) + MARGIN_S, over.set)
    await over.wait()
    alarm.cancel()
    return len(rings)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("times_s", "rings"),
    [
        ((None,), 0),
        ((SOON_S,), 1),
        ((SOON_S, SOON_S), 1),
        ((LATER_S, SOON_S), 1),
        ((SOON_S, LATER_S), 1),
        ((SOON_S, None), 1),
    ],
)
def test_an_alarm_rings_once_at_the_earliest_time_that_was_set(run, times_s, rings) -> None:  # type: ignore[no-untyped-def]
    assert run(ring(*times_s)) == rings


async def test_a_cancelled_alarm_does_not_ring() -> None:
    rings: list[None] = []
    loop = asyncio.get_running_loop()
    alarm, over = Alarm(lambda: rings.append(None)), asyncio.Event()

    alarm.set(loop.time() + SOON_S)
    alarm.cancel()
    loop.call_later(MARGIN_S, over.set)
    await over.wait()

    assert rings == []
