"""Verification in threads."""

import asyncio
from collections.abc import Iterator

import pytest

from node.verification.verifier import ThreadedVerifier
from protocol.records.record import SignedRecord
from tests.history import claim, signed


@pytest.fixture
def verifier() -> Iterator[ThreadedVerifier]:
    verifier = ThreadedVerifier(2)
    yield verifier
    verifier.close()


def some(count: int, *, forged: set[int]) -> list[SignedRecord]:
    records = [signed(claim(f"label-{n}")) for n in range(count)]
    return [SignedRecord("00" * 64, it.record) if n in forged else it for n, it in enumerate(records)]


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 200])
async def test_each_record_gets_its_own_answer_in_order(verifier: ThreadedVerifier, count: int) -> None:
    forged = {0, 64, 130}
    records = some(count, forged=forged)

    assert await verifier.verify(records) == [n not in forged for n in range(count)]


async def test_concurrent_callers_get_their_own_answers(verifier: ThreadedVerifier) -> None:
    callers = [some(1 + n % 3, forged={n % 3}) for n in range(100)]

    answers = await asyncio.gather(*(verifier.verify(records) for records in callers))

    assert answers == [[it.signature != "00" * 64 for it in records] for records in callers]


async def test_a_cancelled_caller_does_not_disturb_the_others(verifier: ThreadedVerifier) -> None:
    leaving = asyncio.create_task(verifier.verify(some(300, forged=set())))
    await asyncio.sleep(0)

    leaving.cancel()

    assert await verifier.verify(some(3, forged={1})) == [True, False, True]


async def test_callers_that_wait_when_the_threads_end_are_cancelled() -> None:
    verifier = ThreadedVerifier(1)
    waiting = [asyncio.create_task(verifier.verify(some(100, forged=set()))) for _ in range(3)]
    await asyncio.sleep(0)

    verifier.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert any(isinstance(answer, asyncio.CancelledError) for answer in answers)
    assert all(answer == [True] * 100 or isinstance(answer, asyncio.CancelledError) for answer in answers)


async def test_answers_are_the_same_before_and_after_the_processes_start() -> None:
    verifier = ThreadedVerifier(2, delays_max=1)
    forged = {0, 64, 130, 999}

    answers = [await verifier.verify(some(1_000, forged=forged)) for _ in range(5)]
    verifier.close()

    assert answers == 5 * [[n not in forged for n in range(1_000)]]
