"""Shared reads: one read serves all who asked for the same before it began.

Hundreds of clients may ask for one thing at the same time, such as a label with a race. An answer must hold all that
was stored before its question. So whoever asks while a read is under way waits for the next one, together with all
others who ask until then: however many ask, there are two reads at a time for each thing, one under way and one next.
(The name for this in Go's libraries is single flight; there a late caller gets the older answer.)
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SharedReads(Generic[_T]):
    """Reads of things by key. The first who asks reads, in a task of their own, so that the work counts as theirs."""

    def __init__(self) -> None:
        self._next: dict[Hashable, asyncio.Future[_T]] = {}
        self._under_way: dict[Hashable, asyncio.Future[_T]] = {}

    async def read(self, key: Hashable, work: Callable[[], Awaitable[_T]]) -> _T:
        """What `work` returns for the first who asked, if it has not begun by now. `work` reads the thing of this key.

        If the first one is cancelled or meets an error, the others read for themselves.
        """
        while (shared := self._next.get(key)) is not None:
            await asyncio.wait([shared])
            if not shared.cancelled():
                return shared.result()
        return await self._lead(key, work)

    async def _lead(self, key: Hashable, work: Callable[[], Awaitable[_T]]) -> _T:
        """Read when the read under way is over, and give the answer to all who wait by then."""
        own = self._next[key] = asyncio.get_running_loop().create_future()
        try:
            while (before := self._under_way.get(key)) is not None:
                await asyncio.wait([before])
            self._under_way[key] = self._next.pop(key)
            found = await work()
        except BaseException:
            own.cancel()
            raise
        else:
            own.set_result(found)
            return found
        finally:
            for futures in (self._next, self._under_way):
                if futures.get(key) is own:
                    del futures[key]
