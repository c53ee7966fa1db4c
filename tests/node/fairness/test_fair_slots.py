"""So many pieces of work go on at once, and sources that wait take turns."""

import asyncio

from node.fairness.fair_slots import FairSlots


class Works:
    """Pieces of work, each of which goes on until the test ends it. `begun` are those that got a slot, in order."""

    def __init__(self, slots: FairSlots) -> None:
        self.begun: list[str] = []
        self._slots = slots
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def put(self, source: str, name: str) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._do(source, name))
        await settle()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await settle()

    async def _do(self, source: str, name: str) -> None:
        async with self._slots.take(source):
            self.begun.append(name)
            await self._ends[name].wait()


async def settle() -> None:
    """Let every task go on as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_sources_that_wait_take_turns_by_network() -> None:
    works = Works(FairSlots(2))
    waiting = [("192.0.2.1", "c"), ("192.0.2.1", "d"), ("192.0.2.2", "e"), ("198.51.100.1", "f")]
    for source, name in [("192.0.2.1", "a"), ("192.0.2.1", "b"), *waiting]:
        await works.put(source, name)

    assert works.begun == ["a", "b"]
    for name in "abcdef":
        await works.end(name)

    assert works.begun == ["a", "b", "c", "f", "e", "d"]


async def test_work_that_is_cancelled_loses_no_slot() -> None:
    works = Works(FairSlots(1))
    for name in "abcd":
        await works.put("192.0.2.1", name)

    await works.cancel("b")  # it waits
    await works.cancel("a")  # it has the slot
    await works.cancel("c")  # it has the slot by now
    await works.end("d")
    await works.put("192.0.2.1", "e")

    assert works.begun == ["a", "c", "d", "e"]
