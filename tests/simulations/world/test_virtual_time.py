"""The loop whose clock jumps: the order of timers, waiting without cost, and runs that cannot go on."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from simulations.world.virtual_time import LIFE, Life, StuckError, VirtualLoop, run_to_end

HOUR_S = 3_600.0


def test_an_hour_of_waiting_takes_no_real_time_and_ends_after_exactly_an_hour() -> None:
    loop = VirtualLoop()

    async def main() -> float:
        await asyncio.sleep(HOUR_S)
        return loop.time()

    assert run_to_end(main(), loop) == HOUR_S


def test_timers_with_the_same_deadline_run_in_the_order_in_which_they_were_set() -> None:
    loop, ran = VirtualLoop(), list[int]()
    late_s, early_s = 5.0, 4.0
    late, early = range(1_000), range(1_000, 2_000)

    async def main() -> None:
        for number in late:
            loop.call_at(late_s, ran.append, number)
        for number in early:
            loop.call_at(early_s, ran.append, number)
        await asyncio.sleep(late_s + 1)

    run_to_end(main(), loop)

    assert ran == [*early, *late]


def test_cancelled_timers_never_run_and_are_purged_from_the_heap() -> None:
    loop, ran = VirtualLoop(), list[int]()
    count = 5_000

    async def main() -> int:
        timers = [loop.call_later(10.0, ran.append, number) for number in range(count)]
        for timer in timers[1:]:
            timer.cancel()
        await asyncio.sleep(1)
        return len(loop._timers)

    left = run_to_end(main(), loop)

    assert ran == []
    assert left < count


def test_a_task_that_waits_for_ever_is_named_with_its_place() -> None:
    async def main() -> None:
        async def forgotten() -> None:
            await asyncio.Event().wait()

        await asyncio.create_task(forgotten(), name="the forgotten one")

    with pytest.raises(StuckError, match=r"the forgotten one waits in .*forgotten"):
        run_to_end(main(), VirtualLoop())


def test_a_timer_that_is_set_again_and_again_without_end_ends_the_run() -> None:
    async def main() -> None:
        def again() -> None:
            asyncio.get_running_loop().call_later(0.001, again)

        again()
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match=r"repeats without end\n.*waits in .*main"):
        run_to_end(main(), VirtualLoop(callbacks_max=10_000))


def test_a_run_without_progress_names_what_the_run_itself_waits_for_before_tasks_of_processes() -> None:
    """A process has many tasks that rightly wait. The place of the innermost coroutine shows the cause."""

    async def never_answered() -> None:
        await asyncio.Event().wait()

    async def ask() -> None:
        await never_answered()

    async def work() -> None:
        for _ in range(10_000):
            await asyncio.sleep(0.001)

    async def main() -> None:
        token = LIFE.set(Life())
        processes = [asyncio.create_task(work()) for _ in range(20)]
        LIFE.reset(token)
        await asyncio.gather(*processes, asyncio.create_task(ask(), name="the one that asks"))

    innermost_last = r"the one that asks waits in \S*ask:\d+ > \S*never_answered:\d+ > \S*wait:\d+"
    with pytest.raises(StuckError, match=innermost_last):
        run_to_end(main(), VirtualLoop(callbacks_max=10_000))


def test_a_thread_is_refused() -> None:
    async def main() -> None:
        await asyncio.to_thread(print, "never")

    with pytest.raises(StuckError, match="to run in a thread"):
        run_to_end(main(), VirtualLoop())


def test_timeouts_use_the_virtual_clock() -> None:
    timeout_s = 30.0

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_to_end(main(), VirtualLoop()) == timeout_s


def test_tasks_that_are_left_at_the_end_are_cancelled_in_the_order_of_creation() -> None:
    loop, ended = VirtualLoop(), list[int]()
    numbers = range(100)

    async def leave(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    async def main() -> None:
        tasks = [loop.create_task(leave(number)) for number in numbers]
        await asyncio.sleep(1)
        assert not any(task.done() for task in tasks)

    run_to_end(main(), loop)

    assert ended == list(numbers)


def test_a_process_whose_life_is_over_does_nothing_more() -> None:
    """After a kill no timer of the process fires, and no `finally` clause goes on after a wait."""
    loop, did, life = VirtualLoop(), list[str](), Life()
    tasks: list[asyncio.Task[None]] = []

    async def process() -> None:
        loop.call_later(5, did.append, "a timer")
        tasks.append(loop.create_task(stubborn()))
        try:
            await asyncio.sleep(HOUR_S)
        finally:
            await asyncio.sleep(1)
            did.append("a last word")

    async def stubborn() -> None:
        try:
            await asyncio.sleep(HOUR_S)
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


def test_the_automatic_garbage_collection_is_off_during_a_run() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def main() -> bool:
        async for _ in numbers():
            break
        return gc.isenabled()

    assert run_to_end(main(), VirtualLoop()) is False
    assert gc.isenabled()
