"""The writer of a link sends texts in their order, and nothing waits for it after its connection is over."""

import asyncio

import pytest

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


async def test_a_flush_ends_as_soon_as_the_connection_is_over() -> None:
    """Otherwise a node that stops would wait out the time limit of the flush for each peer that has just vanished."""
    writer = FrameWriter(BrokenTransport(), on_sent=lambda _: None)
    writer.put("lost")
    with pytest.raises(TransportEndedError):
        await writer.run()
    writer.put("too late")

    async with asyncio.timeout(HANG_S):
        await writer.flush(seconds_max=10 * HANG_S)
