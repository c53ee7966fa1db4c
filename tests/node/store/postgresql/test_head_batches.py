"""Which heads are read together, and that each caller gets its own."""

import asyncio
from collections.abc import Sequence

import pytest

from node.store.contract import LabelKey, ShownRecord
from node.store.postgresql.head_batches import BATCH_HEADS_MAX, BATCHES, HeadBatches


class Server:
    """Answers a batch when the test says so. `asked` has the labels of each batch."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self._answers: list[asyncio.Future[None]] = []

    async def read(self, labels: Sequence[LabelKey]) -> list[ShownRecord | None]:
        self.asked.append([label for _, label in labels])
        self._answers.append(asyncio.get_running_loop().create_future())
        await self._answers[-1]
        return [head(label) for _, label in labels]

    async def answer(self, batch: int, error: Exception | None = None) -> None:
        """Answer this batch, and let the callers go on."""
        if error is None:
            self._answers[batch].set_result(None)
        else:
            self._answers[batch].set_exception(error)
        await turns()


def head(label: str) -> ShownRecord | None:
    return None if label == "absent" else ShownRecord(label, "", b"")


async def turns() -> None:
    """Let all tasks go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def ask(batches: HeadBatches, *labels: str) -> list["asyncio.Task[ShownRecord | None]"]:
    return [asyncio.create_task(batches.head("test", label)) for label in labels]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def batches(server: Server) -> HeadBatches:
    return HeadBatches(server.read)


async def test_a_head_that_is_asked_for_alone_is_read_at_once(server: Server, batches: HeadBatches) -> None:
    asking = ask(batches, "garden")
    await turns()

    assert server.asked == [["garden"]]
    await server.answer(0)
    assert await asking[0] == head("garden")


async def test_heads_of_one_turn_are_read_together_and_each_caller_gets_its_own(
    server: Server, batches: HeadBatches
) -> None:
    labels = ["garden", "absent", "pond", "garden"]

    asking = ask(batches, *labels)
    await turns()
    await server.answer(0)

    assert server.asked == [labels]
    assert [await each for each in asking] == [head("garden"), None, head("pond"), head("garden")]


async def test_heads_that_are_asked_for_while_all_readers_are_busy_are_the_next_batch(
    server: Server, batches: HeadBatches
) -> None:
    for number in range(BATCHES):
        ask(batches, f"busy-{number}")
        await turns()
    waiting = ask(batches, "garden")
    await turns()
    waiting += ask(batches, "pond")
    await turns()
    before = list(server.asked)

    await server.answer(0)

    assert before == [[f"busy-{number}"] for number in range(BATCHES)]
    assert server.asked == [*before, ["garden", "pond"]]
    await server.answer(BATCHES)
    assert [await each for each in waiting] == [head("garden"), head("pond")]


async def test_one_head_more_than_a_batch_may_have_is_read_by_the_next_reader(
    server: Server, batches: HeadBatches
) -> None:
    labels = [f"label-{number}" for number in range(BATCH_HEADS_MAX + 1)]

    ask(batches, *labels)
    await turns()

    assert server.asked == [labels[:-1], labels[-1:]]


async def test_no_more_batches_than_allowed_are_read_at_once(server: Server, batches: HeadBatches) -> None:
    ask(batches, *(f"label-{number}" for number in range(BATCHES * BATCH_HEADS_MAX + 1)))
    await turns()

    assert list(map(len, server.asked)) == [BATCH_HEADS_MAX] * BATCHES
    await server.answer(0)
    assert len(server.asked[-1]) == 1


async def test_a_head_is_read_when_it_is_asked_for_right_after_an_answer(server: Server, batches: HeadBatches) -> None:
    """The reader has just found nothing more to read then."""

    async def ask_twice() -> ShownRecord | None:
        await batches.head("test", "garden")
        return await batches.head("test", "pond")

    asking = [asyncio.create_task(ask_twice())]
    await turns()
    for batch in range(2):
        await server.answer(batch)

    assert server.asked == [["garden"], ["pond"]]
    assert await asking[0] == head("pond")


async def test_an_error_is_told_to_the_callers_of_its_batch_only(server: Server, batches: HeadBatches) -> None:
    failing = ask(batches, "garden", "pond")
    await turns()
    await server.answer(0, ValueError("broken"))
    later = ask(batches, "sea")
    await turns()
    await server.answer(1)

    assert [repr(each.exception()) for each in failing] == ["ValueError('broken')"] * 2
    assert await later[0] == head("sea")


async def test_a_caller_that_has_gone_does_not_disturb_the_others(server: Server, batches: HeadBatches) -> None:
    gone, staying = ask(batches, "garden", "pond")
    await turns()

    gone.cancel()
    await server.answer(0)

    assert gone.cancelled()
    assert await staying == head("pond")


async def test_at_the_end_the_batches_under_way_are_waited_for(server: Server, batches: HeadBatches) -> None:
    asking = ask(batches, "garden")
    await turns()

    finishing = asyncio.create_task(batches.finish())
    await turns()
    assert not finishing.done()
    await server.answer(0)

    assert await asking[0] == head("garden")
    await finishing


async def test_at_the_end_nobody_waits_for_a_server_that_is_silent(server: Server, batches: HeadBatches) -> None:
    for number in range(BATCHES):
        ask(batches, f"busy-{number}")
        await turns()
    asking = ask(batches, "garden")
    await turns()

    finishing = asyncio.create_task(batches.finish())
    await turns()
    finishing.cancel()
    await turns()

    assert finishing.cancelled()
    assert asking[0].cancelled()
