"""The removals of a running node, one after the other, beside everything else that the node does.

A removal goes on in steps of some milliseconds, between the commits. After each step, the caches of the node forget
what the step erased. A removal goes on if its caller leaves, and after a crash `completion` finishes it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from node.removal.completion import finish
from node.store.contract import Store
from node.store.removals import Removal, RemovalKind, Step, Target
from node.tasks import Tasks
from protocol.errors import Code, ProtocolError

QUEUE_MAX: Final = 64
"""Removals that wait for their turn or are under way."""

_RETRY_AFTER_S: Final = 5

log = structlog.get_logger()


class RemovalWork:
    """Takes records down while the node runs.

    `beginnings` are called when a removal begins, `erasings` after each step that erased bodies, and `droppings` with
    the domain before a drop begins, so that the node shows and takes nothing of it any more. A drop erases all bodies
    of its domain at once. Its skeletons go when the node starts the next time, because much of the node's memory refers
    to rows of the store.
    """

    def __init__(
        self,
        store: Store,
        dropped: set[str],
        now_s: Callable[[], float],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`dropped` are the domains that the node does not keep. `now_s` is in seconds since the Unix epoch.
        `on_failure` hears of an error of the disk.
        """
        self.beginnings: list[Callable[[], None]] = []
        self.erasings: list[Callable[[Step], None]] = []
        self.droppings: list[Callable[[str], None]] = []
        self.dropped_since_start: set[str] = set()
        """Their skeletons go when the node starts again."""
        self._store = store
        self._dropped = dropped
        self._now_s = now_s
        self._tasks = Tasks(on_failure)
        self._queue: asyncio.Queue[Removal] = asyncio.Queue()
        self._ended: dict[int, asyncio.Event] = {}
        self._beginning = 0
        """Removals that the store is making durable."""
        self.begun: Counter[RemovalKind] = Counter()
        self.erased_records = 0
        """Records that lost their bodies since the start."""

    def __len__(self) -> int:
        """Removals that are not done, with those that are being made durable."""
        return self._beginning + len(self._ended)

    def start(self) -> None:
        """Begin to work. The node accepts removals from now on."""
        self._tasks.start(self._work(), "removals")

    async def close(self) -> None:
        """Stop where the work is. The next start of the node finishes it."""
        await self._tasks.close()

    async def begin(self, kind: RemovalKind, target: Target, by: str, reason: str) -> Removal:
        """Make the removal durable and queue it.

        Raises:
            ProtocolError: `overloaded` if `QUEUE_MAX` removals are not done yet.
        """
        if len(self) >= QUEUE_MAX:
            detail = f"{QUEUE_MAX} removals are not done yet"
            raise ProtocolError(Code.OVERLOADED, detail, retry_after=_RETRY_AFTER_S)
        self._beginning += 1
        try:
            removal = await self._begin(kind, target, by, reason)
        finally:
            self._beginning -= 1
        self._ended[removal.number] = asyncio.Event()
        self._queue.put_nowait(removal)
        return removal

    async def _begin(self, kind: RemovalKind, target: Target, by: str, reason: str) -> Removal:
        """Make the removal durable."""
        if kind is RemovalKind.DROP:
            assert target.domain is not None, "a drop is of a domain"
            for forget in self.droppings:
                forget(target.domain)
            self.dropped_since_start.add(target.domain)
        removal = await self._store.removals.begin(kind, target, by, reason, int(self._now_s()))
        for note in self.beginnings:
            note()
        self.begun[kind] += 1
        return removal

    def is_going_on(self, number: int) -> bool:
        """Whether this removal waits for its turn or is under way."""
        return number in self._ended

    async def keep_again(self, domain: str) -> bool:
        """Undo the ban that a drop left. Returns whether there was a ban.

        Raises:
            ProtocolError: `precondition_failed` if the drop is not done yet.
        """
        if any(it.target.domain == domain for it in await self._store.removals.unfinished()):
            detail = "the drop is done when the node starts again: restart the node first"
            raise ProtocolError(Code.PRECONDITION_FAILED, detail)
        was_dropped = await self._store.removals.keep_again(domain)
        self._dropped.discard(domain)
        return was_dropped

    async def wait(self, number: int, seconds: float) -> Removal:
        """The removal when it is done, or as it is after this many seconds."""
        ended = self._ended.get(number)
        if ended is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ended.wait()
        return await self._store.removals.removal(number)

    async def _work(self) -> None:
        while True:
            removal = await self._queue.get()
            await self._carry_out(removal)
            self._ended.pop(removal.number).set()

    async def _carry_out(self, removal: Removal) -> None:
        is_last = False
        while not is_last:
            step = await self._store.removals.go_on(removal.number)
            for note in self.erasings:
                note(step)
            self.erased_records += len(step.ids)
            is_last = step.is_last_body
        await finish(self._store, removal.number)
        log.info("removed", number=removal.number, kind=str(removal.kind), target=str(removal.target))
