"""Outage: the server of a store is away for a while, or has no room, and comes back by itself.

Calls of the store wait for the end of an outage, however long it takes, because memory would be wrong if some of them
failed. Whoever cannot wait that long looks at `trouble`: requests over HTTP are refused then, and health says why.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec
import structlog

PROBE_PAUSE_S: Final = 0.25
"""Between two tries to reach the server."""

log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True):
    """Why the server cannot be used, and what an operator does about it."""

    reason: str
    remedy: str


class Trouble(msgspec.Struct, frozen=True):
    """Why calls wait, and since when, by the clock of the event loop."""

    failure: Failure
    since_s: float


class Outage:
    """Whether the server is away. `trouble` is None while it answers. `watchers` are called when that changes."""

    def __init__(self, what: str) -> None:
        """`what` cannot be done meanwhile, for the log."""
        self.trouble: Trouble | None = None
        self.watchers: list[Callable[[], None]] = []
        self._what = what

    def begin(self, failure: Failure) -> None:
        """The server is away, or it is still away, maybe for another reason."""
        before = self.trouble
        if before is not None and before.failure == failure:
            return
        log.error("the database is away", waiting=self._what, reason=failure.reason, remedy=failure.remedy)
        since_s = asyncio.get_running_loop().time() if before is None else before.since_s
        self.trouble = Trouble(failure, since_s)
        if before is None:
            self._tell()

    def end(self) -> None:
        """The server answers."""
        before, self.trouble = self.trouble, None
        if before is not None:
            seconds = asyncio.get_running_loop().time() - before.since_s
            log.info("the database is back", waiting=self._what, seconds=round(seconds, 1))
            self._tell()

    def _tell(self) -> None:
        for watch in self.watchers:
            watch()


class Outages(NamedTuple):
    """The outages of one store. A server may take no writes, for example because its disk is full, and answer reads."""

    reading: Outage
    writing: Outage


class Probing:
    """Lets calls wait until the server answers, and tries that for all of them together."""

    def __init__(
        self, outage: Outage, probe: Callable[[], Awaitable[Failure | None]], pause_s: float = PROBE_PAUSE_S
    ) -> None:
        """`probe` tries to reach the server, and returns why it cannot be used."""
        self._outage = outage
        self._probe = probe
        self._pause_s = pause_s
        self._probing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Try to reach the server until it answers, for all calls together."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_until_it_answers(), name="outage of the store")

    async def wait(self) -> None:
        """Wait until the server answers. Call it after a call that failed, maybe only because of its own connection."""
        self.begin()
        assert self._probing is not None, "it has begun"
        await asyncio.shield(self._probing)

    async def close(self) -> None:
        """Probe no longer. Calls that wait are cancelled."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe_until_it_answers(self) -> None:
        while (failure := await self._probe()) is not None:
            self._outage.begin(failure)
            await asyncio.sleep(self._pause_s)
        self._outage.end()
