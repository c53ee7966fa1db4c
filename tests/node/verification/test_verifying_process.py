"""A process that verifies."""

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from node.verification.verifier import Processes
from node.verification.verifying_process import VerifyingProcess
from protocol.records.record import SignedRecord
from tests.history import claim, signed

SHORT_S = 0.5


@pytest.fixture
def process() -> Iterator[VerifyingProcess]:
    process = VerifyingProcess()
    yield process
    process.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


def some(count: int, *, forged: set[int]) -> list[SignedRecord]:
    records = [signed(claim(f"label-{n}")) for n in range(count)]
    return [SignedRecord("00" * 64, it.record) if n in forged else it for n, it in enumerate(records)]


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "node.verification.verifying_process" in each.cmdline()]


def end(child: psutil.Process) -> None:
    """End it as the system does where memory is short; returns when it has ended."""
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("count", [0, 1, 64, 500])
def test_each_record_gets_its_own_answer_in_order(process: VerifyingProcess, count: int) -> None:
    forged = {0, 63, 400}

    assert process.verify(some(count, forged=forged)) == [n not in forged for n in range(count)]


def test_it_answers_one_question_after_another(process: VerifyingProcess) -> None:
    answers = [process.verify(some(3, forged={n})) for n in range(3)]

    assert answers == [[False, True, True], [True, False, True], [True, True, False]]


def test_a_question_to_an_ended_process_raises_an_error(process: VerifyingProcess) -> None:
    process.verify(some(1, forged=set()))

    end(*children())

    with pytest.raises(OSError, match=r"Broken pipe|has ended"):
        process.verify(some(1, forged=set()))


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2_000, reason="so many files may not be open here")
def test_a_node_with_more_than_1024_files_open_may_ask_whether_it_is_ready() -> None:
    with ExitStack() as stack:
        for _ in range(1_100):
            stack.enter_context(Path(os.devnull).open())
        process = VerifyingProcess()
        stack.callback(process.close)

        while not process.is_ready:
            os.sched_yield()

        assert process.verify(some(1, forged=set())) == [True]


def test_a_closed_process_is_gone() -> None:
    process = VerifyingProcess()

    process.close()

    assert children() == []


def test_without_a_process_there_is_no_answer(processes: Processes) -> None:
    assert processes.verify(some(1, forged=set())) is None


def test_an_ended_process_is_not_asked_again(processes: Processes) -> None:
    processes.start()

    end(*children())
    answers = [processes.verify(some(1, forged=set())) for _ in range(2)]

    assert answers == [None, None]
    assert children() == []


@pytest.mark.parametrize("count", [1, 500], ids=["a question that fits into the pipe", "a question that does not"])
def test_a_stopped_process_is_given_up(count: int) -> None:
    """Otherwise every claim would hang, and the node would look well."""
    process = VerifyingProcess(SHORT_S)
    while not process.is_ready:
        os.sched_yield()
    (child,) = children()
    child.suspend()

    with pytest.raises(TimeoutError):
        process.verify(some(count, forged=set()))

    process.close()


def test_a_process_that_does_not_answer_is_ended_and_not_asked_again(processes: Processes) -> None:
    processes.start(SHORT_S)
    while processes.verify(some(1, forged=set())) is None:
        os.sched_yield()
    (child,) = children()
    child.suspend()

    assert processes.verify(some(1, forged=set())) is None
    assert children() == []
