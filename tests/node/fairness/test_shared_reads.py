"""One read serves all who asked before it began, and none who asked later."""

import asyncio

import pytest

from node.fairness.shared_reads import SharedReads

ASKERS = 5


class Shelf:
    """Things that take until the test says so to be read. Each read finds the number of its beginning."""

    def __init__(self) -> None:
        self.reads = 0
        self.may_end = asyncio.Event()

    async def read(self) -> int:
        self.reads += 1
        number = self.reads
        await self.may_end.wait()
        return number


async def settle() -> None:
    """Let every task go on as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_whoever_asks_during_a_read_shares_the_next_one() -> None:
    shelf, shared = Shelf(), SharedReads[int]()

    first = asyncio.create_task(shared.read("a", shelf.read))
    await settle()
    later = [asyncio.create_task(shared.read("a", shelf.read)) for _ in range(ASKERS)]
    await settle()
    assert shelf.reads == 1
    shelf.may_end.set()

    assert await asyncio.gather(first, *later) == [1, *ASKERS * [2]]
    assert await shared.read("a", shelf.read) == shelf.reads == 3


async def test_reads_of_different_things_do_not_wait_for_each_other() -> None:
    shelf, shared = Shelf(), SharedReads[int]()

    tasks = [asyncio.create_task(shared.read(key, shelf.read)) for key in "abc"]
    await settle()

    assert shelf.reads == len(tasks)
    shelf.may_end.set()
    assert await asyncio.gather(*tasks) == [1, 2, 3]


@pytest.mark.parametrize("is_under_way", [False, True])
async def test_others_read_for_themselves_after_the_first_was_cancelled(is_under_way: bool) -> None:
    shelf, shared = Shelf(), SharedReads[int]()
    before = asyncio.create_task(shared.read("a", shelf.read))
    await settle()
    first = asyncio.create_task(shared.read("a", shelf.read))
    await settle()
    others = [asyncio.create_task(shared.read("a", shelf.read)) for _ in range(ASKERS)]
    await settle()

    if is_under_way:
        before.cancel()
        await settle()
    first.cancel()
    await settle()
    shelf.may_end.set()

    readers_at_most = 2  # one who reads at once, and one for all others
    assert len(set(await asyncio.gather(*others))) <= readers_at_most
    assert first.cancelled()


async def test_an_error_is_that_of_the_reader_and_the_next_one_reads_again() -> None:
    shared, errors = SharedReads[int](), [OSError("broken")]

    async def read() -> int:
        await asyncio.sleep(0)
        if errors:
            raise errors.pop()
        return 1

    asked = [asyncio.create_task(shared.read("a", read)) for _ in range(ASKERS)]
    said = await asyncio.gather(*asked, return_exceptions=True)

    assert sorted(map(str, said)) == [*(ASKERS - 1) * ["1"], "broken"]
