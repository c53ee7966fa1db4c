"""The loop whose clock jumps: order, waits, and what ends a run that cannot go on."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from simulations.world.virtual_time import LIFE, Life, StuckError, VirtualLoop, run_to_end


def test_an_hour_of_waiting_costs_nothing_and_ends_at_the_hour() -> None:
    loop = VirtualLoop()

    async def main() -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert run_to_end(main(), loop) == 3600.0


def test_timers_of_one_deadline_run_in_the_order_in_which_they_were_set() -> None:
    loop, ran = VirtualLoop(), list[int]()

    async def main() -> None:
        for number in range(1_000):
            loop.call_at(5.0, ran.append, number)
        for number in range(1_000, 2_000):
            loop.call_at(4.0, ran.append, number)
        await asyncio.sleep(6)

    run_to_end(main(), loop)

    assert ran == [*range(1_000, 2_000), *range(1_000)]


def test_a_timer_that_was_cancelled_never_runs_and_is_dropped_with_many_others() -> None:
    loop, ran = VirtualLoop(), list[int]()

    async def main() -> int:
        timers = [loop.call_later(10.0, ran.append, number) for number in range(5_000)]
        for timer in timers[1:]:
            timer.cancel()
        await asyncio.sleep(1)
        return len(loop._timers)

    left = run_to_end(main(), loop)

    assert ran == []
    assert left < 5_000


def test_whoever_waits_for_ever_is_named_with_the_place() -> None:
    async def main() -> None:
        async def forgotten() -> None:
            await asyncio.Event().wait()

        await asyncio.create_task(forgotten(), name="the forgotten one")

    with pytest.raises(StuckError, match=r"the forgotten one waits in .*forgotten"):
        run_to_end(main(), VirtualLoop())


def test_an_endless_repetition_ends_the_run() -> None:
    async def main() -> None:
        def again() -> None:
            asyncio.get_running_loop().call_later(0.001, again)

        again()
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match="repeats without end"):
        run_to_end(main(), VirtualLoop(callbacks_max=10_000))


def test_a_thread_is_refused() -> None:
    async def main() -> None:
        await asyncio.to_thread(print, "never")

    with pytest.raises(StuckError, match="to run in a thread"):
        run_to_end(main(), VirtualLoop())


def test_timeouts_are_measured_by_the_virtual_clock() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_to_end(main(), VirtualLoop()) == 30.0


def test_what_is_left_at_the_end_is_cancelled_in_the_order_of_its_making() -> None:
    loop, ended = VirtualLoop(), list[int]()

    async def leave(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    async def main() -> None:
        tasks = [loop.create_task(leave(number)) for number in range(100)]
        await asyncio.sleep(1)
        assert not any(task.done() for task in tasks)

    run_to_end(main(), loop)

    assert ended == list(range(100))


def test_a_life_that_is_over_does_nothing_more_whatever_it_had_set_in_motion() -> None:
    """A killed process must not finish what its `finally` clauses would do after a wait, nor have its timers come."""
    loop, did, life = VirtualLoop(), list[str](), Life()
    tasks: list[asyncio.Task[None]] = []

    async def process() -> None:
        loop.call_later(5, did.append, "a timer")
        tasks.append(loop.create_task(stubborn()))
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            did.append("a last word")

    async def stubborn() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            did.append("another task")

    async def main() -> None:
        token = LIFE.set(life)
        tasks.append(loop.create_task(process()))
        LIFE.reset(token)
        await asyncio.sleep(2)
        await loop.end_life(life)
        assert [task.done() for task in tasks] == [True, True]
        await asyncio.sleep(60)

    run_to_end(main(), loop)

    assert did == []


def test_garbage_is_collected_by_count_and_not_when_memory_says_so() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def main() -> bool:
        async for _ in numbers():
            break
        return gc.isenabled()

    assert run_to_end(main(), VirtualLoop()) is False
    assert gc.isenabled()
