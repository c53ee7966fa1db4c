"""Long work of many tasks takes one piece of each turn of the loop."""

import asyncio

from node.fairness.turns import TURN_S, Turns


async def work(turns: Turns, name: str, pieces: int, done: list[str]) -> None:
    """Work that fills one turn of the loop with each piece."""
    piece = turns.begin(name)
    for _ in range(pieces):
        done.append(name)
        turns.count(TURN_S)
        await piece.rest()


async def test_work_that_fits_into_a_turn_does_not_wait() -> None:
    turns = Turns()
    turns.count(TURN_S / 2)

    task = asyncio.create_task(turns.wait("somebody"))
    await asyncio.sleep(0)

    assert task.done()


async def test_a_turn_of_the_loop_has_one_piece_of_long_work_whatever_the_number_of_tasks() -> None:
    turns, done = Turns(), list[str]()
    tasks = [asyncio.create_task(work(turns, str(number), 3, done)) for number in range(10)]
    await asyncio.sleep(0)  # each begins with one piece
    counts = []

    while not all(task.done() for task in tasks):
        before = len(done)
        await asyncio.sleep(0)
        counts.append(len(done) - before)

    assert max(counts) == 1
    assert len(done) == 30


async def test_a_source_with_many_tasks_does_not_delay_another_source_by_more_than_one_piece() -> None:
    turns, done = Turns(), list[str]()
    tasks = [asyncio.create_task(work(turns, "flood", 3, done)) for _ in range(20)]
    tasks.append(asyncio.create_task(work(turns, "other", 3, done)))

    await asyncio.gather(*tasks)

    last = len(done) - 1 - done[::-1].index("other")
    assert last < 20 + 1 + 2 * 2 + 1  # the first piece of each task, then one piece of each source in turn


async def test_a_task_that_is_cancelled_while_it_waits_does_not_stop_the_others() -> None:
    turns, done = Turns(), list[str]()
    tasks = [asyncio.create_task(work(turns, str(number), 2, done)) for number in range(3)]
    await asyncio.sleep(0)

    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert sorted(done) == ["0", "1", "1", "2", "2"]


async def test_the_time_of_a_piece_is_counted_when_it_rests() -> None:
    turns = Turns()
    piece = turns.begin()
    begun_s = asyncio.get_running_loop().time()
    while not piece.is_long:
        pass

    seconds = piece.end()

    assert piece.seconds == seconds >= TURN_S
    assert turns.is_used_up
    assert asyncio.get_running_loop().time() - begun_s >= TURN_S
