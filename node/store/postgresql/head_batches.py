"""Heads that are asked for together are read together, because a statement costs more than a head.

A batch has the heads that were asked for in the same turn of the event loop, or while `BATCHES` others were being read.
Nobody waits for a timer: a head that is asked for alone is read at once.

Measured with 100,000 labels on a busy machine: if one caller asks at a time, a head costs this process 33 us and the
server 30 us. If 32 callers ask at a time, it costs 5 us and 12 us.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from node.store.contract import LabelKey, ShownRecord

BATCHES: Final = 2
"""Batches that are read at once: the server works on one while this process answers with the other."""

BATCH_HEADS_MAX: Final = 64
"""Heads in a batch: about 1 ms of the server, and 4 MB if all of them are as large as can be."""

ReadHeads = Callable[[Sequence[LabelKey]], Awaitable[list[ShownRecord | None]]]
"""Reads the heads of these labels, in their order."""

_Asked = tuple[LabelKey, "asyncio.Future[ShownRecord | None]"]


class HeadBatches:
    """Reads heads. At most as many wait as the node has requests."""

    def __init__(self, read: ReadHeads) -> None:
        self._read = read
        self._asked: deque[_Asked] = deque()
        self._readers: set[asyncio.Task[None]] = set()

    async def head(self, domain: str, label: str) -> ShownRecord | None:
        """See `Store.head`."""
        answer: asyncio.Future[ShownRecord | None] = asyncio.get_running_loop().create_future()
        self._asked.append(((domain, label), answer))
        if len(self._asked) == 1:  # otherwise a reader is about to take them, or all readers are busy
            self._begin()
        return await answer

    async def finish(self) -> None:
        """Wait for the batches under way."""
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _begin(self) -> None:
        """Let one more reader work, if there may be one. It begins in the next turn of the event loop."""
        if len(self._readers) < BATCHES:
            self._readers.add(asyncio.create_task(self._work(), name="heads"))

    async def _work(self) -> None:
        """Read one batch after another, until there is nothing to read."""
        reader = asyncio.current_task()
        assert reader is not None, "this is a task"
        try:
            while self._asked:
                batch = [self._asked.popleft() for _ in range(min(len(self._asked), BATCH_HEADS_MAX))]
                if self._asked:
                    self._begin()
                await self._answer(batch)
        finally:
            self._readers.discard(reader)  # in the same turn, so that the next head finds a free place

    async def _answer(self, batch: Sequence[_Asked]) -> None:
        """Read this batch. An error is that of each caller. Callers may have gone."""
        try:
            heads = await self._read([label for label, _ in batch])
        except asyncio.CancelledError:  # the store ends
            for _, answer in (*batch, *self._asked):
                answer.cancel()
            raise
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), head in zip(batch, heads, strict=True):
            if not answer.done():
                answer.set_result(head)
