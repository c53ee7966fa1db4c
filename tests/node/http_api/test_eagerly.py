"""Eager work runs at once, and only what waits becomes a task."""

import asyncio
from contextvars import ContextVar

import pytest

from node.http_api.eagerly import Eager


async def test_work_that_waits_for_nothing_is_done_at_once() -> None:
    done = []

    async def work() -> None:
        done.append("done")

    Eager().run(work())

    assert done == ["done"]


async def test_work_that_waits_goes_on_later() -> None:
    steps: list[object] = []
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        steps.append("begun")
        steps.append(await first)
        await asyncio.sleep(0)
        end.set_result(None)

    Eager().run(work())
    assert steps == ["begun"]
    first.set_result("resumed")
    await end

    assert steps == ["begun", "resumed"]


async def test_what_it_waits_for_may_fail() -> None:
    caught: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await first
        except ValueError as error:
            caught.set_result(error)

    Eager().run(work())
    first.set_exception(ValueError("a fault"))

    assert str(await caught) == "a fault"


async def test_an_error_before_the_first_wait_reaches_the_caller() -> None:
    async def work() -> None:
        raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        Eager().run(work())


async def test_work_has_a_context_of_its_own() -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        name.set("work")
        await asyncio.sleep(0)
        seen.set_result(name.get())

    Eager().run(work())

    assert name.get() == "nobody"
    assert await seen == "work"
