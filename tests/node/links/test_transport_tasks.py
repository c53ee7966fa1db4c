"""The writer of a link sends texts in their order, and nothing waits for it after its connection is over."""

import asyncio

import pytest

from node.links.send_room import FEW_BYTES, SendRoom, send_budget
from node.links.transport import TransportEndedError
from node.links.transport_tasks import FrameWriter
from tests.node.links.network import HANG_S


class BrokenTransport:
    """A connection that the network has ended."""

    address = "127.0.0.1:1"

    async def send(self, text: str) -> None:
        raise TransportEndedError(None, "connection reset")

    async def receive(self) -> str:
        raise TransportEndedError(None, "connection reset")

    async def ping(self) -> float:
        raise TransportEndedError(None, "connection reset")

    async def close(self, code: str, detail: str) -> None:
        """There is nothing to close."""

    def abort(self) -> None:
        """There is nothing to drop."""


class SlowTransport(BrokenTransport):
    """A connection whose peer reads one text each time that it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Semaphore(0)

    async def send(self, text: str) -> None:
        await self.reads.acquire()


async def test_a_flush_ends_as_soon_as_the_connection_is_over() -> None:
    """Otherwise a node that stops would wait out the time limit of the flush for each peer that has just vanished."""
    writer = FrameWriter(BrokenTransport(), SendRoom(send_budget(), None), on_sent=lambda _: None)
    writer.put("lost")
    with pytest.raises(TransportEndedError):
        await writer.run()
    writer.put("too late")

    async with asyncio.timeout(HANG_S):
        await writer.flush(seconds_max=10 * HANG_S)


async def test_texts_count_in_the_budget_of_all_links_until_they_are_sent_or_the_link_is_over() -> None:
    budget, transport = send_budget(), SlowTransport()
    writer = FrameWriter(transport, SendRoom(budget, "192.0.2.1"), on_sent=lambda _: None)
    for _ in range(3):
        writer.put("x" * 1_000)
    before = budget.held_bytes

    task = asyncio.create_task(writer.run())
    transport.reads.release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one_less = budget.held_bytes
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (before, one_less, budget.held_bytes) == (3_000, 2_000, 0)


async def test_a_link_without_room_waits_until_its_peer_has_read() -> None:
    budget, transport = send_budget(bytes_max=1), SlowTransport()
    budget.add("192.0.2.2", 64 * 2**20)  # strangers that do not read
    writer = FrameWriter(transport, SendRoom(budget, "192.0.2.1"), on_sent=lambda _: None)
    writer.put("x" * (FEW_BYTES + 1))
    task = asyncio.create_task(writer.run())
    waiting = asyncio.create_task(writer.wait_for_room())
    await asyncio.sleep(0)
    was_done = waiting.done()

    transport.reads.release()
    async with asyncio.timeout(HANG_S):
        await waiting

    assert not was_done
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
