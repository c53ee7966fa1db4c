"""Verification in threads and in processes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from node.verification.verifier import ParallelVerifier
from tests.node.verification.records import FORGED, children, some


@pytest.fixture
async def verifier() -> AsyncIterator[ParallelVerifier]:
    verifier = ParallelVerifier(2, busy_records=100)
    yield verifier
    verifier.close()


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 200])
async def test_each_record_gets_its_own_answer_in_order(verifier: ParallelVerifier, count: int) -> None:
    forged = {0, 64, 130}
    records = some(count, forged=forged)

    assert await verifier.verify(records) == [n not in forged for n in range(count)]


async def test_concurrent_callers_get_their_own_answers(verifier: ParallelVerifier) -> None:
    callers = [some(1 + n % 3, forged={n % 3}) for n in range(100)]

    answers = await asyncio.gather(*(verifier.verify(records) for records in callers))

    assert answers == [[it.signature != FORGED for it in records] for records in callers]


@pytest.mark.parametrize("short_first", [True, False])
async def test_single_records_and_batches_take_turns(short_first: bool) -> None:
    """Otherwise a claim would wait for all batches that came before it, and a batch for a flood of claims."""
    verifier = ParallelVerifier(1)
    first, last = (64, 256) if short_first else (640, 64)
    flood = [asyncio.create_task(verifier.verify(some(first, forged=set()))) for _ in range(10)]
    await asyncio.sleep(0)

    answer = await verifier.verify(some(last, forged={1}))
    waiting = sum(not task.done() for task in flood)
    await asyncio.gather(*flood)
    verifier.close()

    assert answer == [n != 1 for n in range(last)]
    assert waiting > 0


async def test_a_cancelled_caller_does_not_disturb_the_others(verifier: ParallelVerifier) -> None:
    leaving = asyncio.create_task(verifier.verify(some(300, forged=set())))
    await asyncio.sleep(0)

    leaving.cancel()

    assert await verifier.verify(some(3, forged={1})) == [True, False, True]


async def test_callers_that_wait_when_the_threads_end_are_cancelled() -> None:
    verifier = ParallelVerifier(1)
    waiting = [asyncio.create_task(verifier.verify(some(100, forged=set()))) for _ in range(3)]
    await asyncio.sleep(0)

    verifier.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert any(isinstance(answer, asyncio.CancelledError) for answer in answers)
    assert all(answer == [True] * 100 or isinstance(answer, asyncio.CancelledError) for answer in answers)


async def until_ready(verifier: ParallelVerifier, count: int, records: int = 100) -> None:
    """Have the verifier start its processes, by so many records a question, and wait until `count` are ready."""
    while len(verifier.processes) < count:
        assert all(await verifier.verify(some(records, forged=set())))


async def test_processes_start_once_many_records_came_within_a_second(verifier: ParallelVerifier) -> None:
    await verifier.verify(some(99, forged=set()))
    before = children()

    await verifier.verify(some(1, forged=set()))
    await until_ready(verifier, 2, records=1)

    assert (before, len(children())) == ([], 2)


async def test_answers_are_the_same_before_and_after_the_processes_start(verifier: ParallelVerifier) -> None:
    forged = {0, 64, 130, 999}

    first = await verifier.verify(some(1_000, forged=forged))
    await until_ready(verifier, 2)
    second = await verifier.verify(some(1_000, forged=forged))

    assert (first, second) == 2 * ([n not in forged for n in range(1_000)],)


async def test_all_idle_processes_share_a_short_question(verifier: ParallelVerifier) -> None:
    """Otherwise the claims of a turn of the loop would wait for one process, beside others that do nothing."""
    await until_ready(verifier, 2)
    shares = {}

    for count in (8, 9, 64, 128):
        asking = asyncio.create_task(verifier.verify(some(count, forged={3})))
        await asyncio.sleep(0)
        shares[count] = sorted(verifier.processes.unanswered())
        assert await asking == [n != 3 for n in range(count)]

    assert shares == {8: [0, 8], 9: [1, 8], 64: [32, 32], 128: [64, 64]}


async def test_short_questions_of_several_callers_are_shared_too(verifier: ParallelVerifier) -> None:
    await until_ready(verifier, 2)
    callers = [some(20, forged={n}) for n in range(6)]

    answers = await asyncio.gather(*(verifier.verify(records) for records in callers))

    assert answers == [[it.signature != FORGED for it in records] for records in callers]


@pytest.mark.parametrize("ended", [1, 2])
async def test_what_an_ended_process_was_asked_is_verified_by_others(verifier: ParallelVerifier, ended: int) -> None:
    await until_ready(verifier, 2)
    for child in children():
        child.suspend()
    asked = asyncio.create_task(verifier.verify(some(1_000, forged={7})))
    await asyncio.sleep(0)

    for number, child in enumerate(children()):
        child.kill() if number < ended else child.resume()

    assert await asked == [n != 7 for n in range(1_000)]
    assert len(verifier.processes) == 2 - ended


async def test_a_process_that_does_not_answer_is_given_up_and_others_verify() -> None:
    verifier = ParallelVerifier(1, busy_records=1, answer_s_max=0.5)
    await until_ready(verifier, 1)
    for child in children():
        child.suspend()

    answer = await verifier.verify(some(3, forged={1}))
    verifier.close()

    assert (answer, children()) == ([True, False, True], [])


async def test_a_verifier_that_closes_while_processes_start_leaves_none() -> None:
    verifier = ParallelVerifier(2, busy_records=1)
    await verifier.verify(some(2, forged=set()))

    verifier.close()
    await asyncio.sleep(0)

    assert children() == []
