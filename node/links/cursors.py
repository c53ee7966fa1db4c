"""Cursors: how far one link has come in each domain, on its way to the store.

A link moves its cursors often and stores them once a second. If the link breaks off in between, the next one offers the
records of up to one second again, which costs little because the peer knows them.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from node.store.contract import Cursor, Store
from node.tasks import Tasks
from protocol.link.orders import PutCursor
from protocol.link.terms import Flow

CURSORS_EVERY_S: Final = 1.0
"""Seconds from a move of a cursor until the store has it."""


class LinkCursors:
    """The cursors of one link that have moved since they were stored."""

    def __init__(
        self, store: Store, now_s: Callable[[], float], listed_name: Callable[[], str | None], tasks: Tasks
    ) -> None:
        """`now_s` is the wall clock, in seconds since the Unix epoch. `listed_name` returns the name under which the
        peers table lists the peer, None if it does not: then nothing is stored. `tasks` are the link's.
        """
        self._store = store
        self._now_s = now_s
        self._listed_name = listed_name
        self._tasks = tasks
        self._moved: dict[tuple[str, Flow], int] = {}

    def put(self, order: PutCursor) -> None:
        """Store this cursor within `CURSORS_EVERY_S`."""
        if not self._moved:
            self._tasks.start(self._save_soon(), "link cursors")
        self._moved[order.domain, order.flow] = order.timestamp

    async def _save_soon(self) -> None:
        await asyncio.sleep(CURSORS_EVERY_S)
        await self.save()

    async def save(self) -> None:
        """Store all cursors that have moved, now."""
        moved, self._moved = self._moved, {}
        name = self._listed_name()
        if not moved or name is None:
            return
        now_s = int(self._now_s())
        await self._store.put_cursors(
            [Cursor(name, domain, flow, min(timestamp, now_s)) for (domain, flow), timestamp in moved.items()]
        )
