"""A process that verifies."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from node.verification.answering import NICE
from node.verification.verifying_process import VerifyingProcess
from tests.node.verification.records import children, some

SHORT_S = 0.05
"""Seconds for an answer. Less than any start takes."""


@pytest.fixture
async def process() -> AsyncIterator[VerifyingProcess]:
    process = await VerifyingProcess.start()
    yield process
    process.close()


@pytest.mark.parametrize("count", [1, 64, 500])
async def test_each_record_gets_its_own_answer_in_order(process: VerifyingProcess, count: int) -> None:
    forged = {0, 63, 400}

    assert await process.verify(some(count, forged=forged)) == [n not in forged for n in range(count)]


async def test_questions_may_be_asked_before_others_are_answered(process: VerifyingProcess) -> None:
    """Otherwise the process would wait for the event loop after each answer."""
    questions = [process.verify(some(3, forged={n})) for n in range(3)]

    answers = await asyncio.gather(*questions)

    assert answers == [[False, True, True], [True, False, True], [True, True, False]]


async def test_it_is_full_until_it_has_answered(process: VerifyingProcess) -> None:
    was_full = process.is_full
    answer = process.verify(some(384, forged=set()))
    is_full = process.is_full
    await answer

    assert (was_full, is_full, process.is_full) == (False, True, False)


@pytest.mark.usefixtures("process")
async def test_the_node_that_decides_goes_before_the_processes_that_verify() -> None:
    """Otherwise they finish early, and wait for it."""
    (child,) = children()

    assert child.nice() == min(os.nice(0) + NICE, 19)


async def test_a_caller_that_has_gone_does_not_disturb_the_next(process: VerifyingProcess) -> None:
    process.verify(some(2, forged=set())).cancel()

    assert await process.verify(some(2, forged={0})) == [False, True]


async def test_what_an_ended_process_was_asked_ends_with_an_error(process: VerifyingProcess) -> None:
    (child,) = children()
    child.suspend()
    asked = process.verify(some(1, forged=set()))

    child.kill()

    for answer in (asked, process.verify(some(1, forged=set()))):
        with pytest.raises(ConnectionError):
            await answer


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2_000, reason="so many files may not be open here")
async def test_a_node_with_more_than_1024_files_open_may_start_one() -> None:
    with ExitStack() as stack:
        for _ in range(1_100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        process = await VerifyingProcess.start()
        stack.callback(process.close)

        assert await process.verify(some(1, forged=set())) == [True]


async def test_a_closed_process_is_gone() -> None:
    process = await VerifyingProcess.start()

    process.close()

    assert children() == []


@pytest.mark.parametrize("count", [1, 5_000], ids=["a question that fits into the socket", "a question that does not"])
async def test_a_stopped_process_is_given_up(count: int) -> None:
    """Otherwise every claim would hang, and the node would look well."""
    process = await VerifyingProcess.start(SHORT_S)
    (child,) = children()
    child.suspend()

    with pytest.raises(TimeoutError):
        await process.verify(some(1, forged=set()) * count)

    assert children() == []


async def test_a_start_may_take_longer_than_an_answer() -> None:
    """A process starts when the node is busy, so on a busy machine its interpreter may need many seconds."""
    process = await VerifyingProcess.start(1e-9)

    process.close()


async def test_a_process_that_cannot_be_started_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await VerifyingProcess.start(python=str(tmp_path / "missing"))

    assert children() == []
