"""The tasks of a part end in the order in which they started, and report failures at once."""

import asyncio

from node.tasks import Tasks


async def test_tasks_end_in_the_order_in_which_they_started() -> None:
    ended: list[str] = []
    tasks = Tasks(on_failure=lambda _: None)

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    for name in ("first", "second", "third"):
        tasks.start(work(name), name)
    await asyncio.sleep(0)
    await tasks.close()

    assert ended == ["first", "second", "third"]
    assert len(tasks) == 0


async def test_a_task_that_fails_is_reported_and_one_that_is_cancelled_is_not() -> None:
    errors: list[BaseException] = []
    tasks = Tasks(on_failure=errors.append)
    error = ValueError("broken")

    async def fail() -> None:
        raise error

    async def wait() -> None:
        await asyncio.Event().wait()

    tasks.start(fail(), "fails")
    cancel = tasks.start(wait(), "waits")
    await asyncio.sleep(0)
    cancel()
    await tasks.close()

    assert errors == [error]
