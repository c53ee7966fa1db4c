"""Following: keeps the memory of a process in step with a database to which another process writes.

    commit -> NOTIFY -> look -> keys into the indexes -> events to caches and streams       some milliseconds

A message only says that it is time to look. A process that follows looks each second anyway, and at once after its
session broke off, and reads what came since the last commit that it knows. So a lost message loses nothing.

Labels of events leave the cache of heads, and nothing is put in their place: a read may have seen a later commit than
this one, and a head must never go back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from node.fleet.standing import Standing
from node.heads import Heads
from node.indexes import Indexes
from node.intake.commits import Committed
from node.intake.witnessed_domains import WitnessedDomains
from node.removal.erased import Erased
from node.store.contract import EVERYTHING, Batch, StoredEvent, StoreError
from node.streams import Streams
from protocol.records.record import is_witnessed
from protocol.sets.index import key_id

if TYPE_CHECKING:
    from node.store.postgresql import Lookout, Position, PostgresStore, Sight

POLL_S: Final = 1.0
"""How often it looks without being told."""

_RETRY_S: Final = 0.5
"""Seconds until it tries to reach the server again."""

_PAGE_EVENTS: Final = 500

_BEGIN_S_MAX: Final = 5.0

OpenLookout = Callable[[], Awaitable["Lookout"]]

log = structlog.get_logger()


@dataclass(frozen=True)
class Followed:
    """The parts that hold something of the database in memory."""

    store: "PostgresStore"
    indexes: Indexes
    witnessed: WitnessedDomains
    heads: Heads
    streams: Streams
    erased: Erased


class OtherDatabaseError(StoreError):
    """The database is not what this process has followed: its server failed over, or it was restored or replaced."""


class Following:
    """Follows the writer."""

    def __init__(
        self, parts: Followed, standing: Standing, open_lookout: OpenLookout, on_look: Callable[[], None]
    ) -> None:
        """`on_look` is called after each change of the standing."""
        self._parts = parts
        self._on_look = on_look
        self._standing = standing
        self._open_lookout = open_lookout
        self._clock = asyncio.get_running_loop().time
        self._moved = asyncio.Event()
        self._is_told_of = False
        self._has_looked = asyncio.Event()

    async def begin(self) -> None:
        """Wait for the first look, so that this process knows its writer when it answers. Not for long: reads work."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_S_MAX):
                await self._has_looked.wait()

    async def run(self) -> None:
        """Follow for ever. A server that does not answer is tried again and again.

        Raises:
            OtherDatabaseError: all has to be read anew, because what this process has in memory may be of lost commits.
        """
        while True:
            try:
                await self._follow()
            except OtherDatabaseError:
                raise
            except StoreError as error:
                self._standing.writer = None
                self._parts.store.suspect()
                self._on_look()
                if not self._is_told_of:
                    log.warning("the database cannot be followed", reason=str(error), remedy=error.remedy)
                self._is_told_of = True
            await asyncio.sleep(_RETRY_S)

    async def reach(self, commit: int, seconds: float) -> bool:
        """Wait until this process has the commit of this number, for this long at most. Returns whether it has it."""
        try:
            async with asyncio.timeout(seconds):
                while self._standing.commit < commit:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self) -> None:
        """Follow until the server fails. Raises: StoreError: it has failed."""
        lookout = await self._open_lookout()
        try:
            was_told = False
            while True:
                looked_s = self._clock()
                sight = await lookout.look(self._position.commit)
                is_known = was_told and sight.term == self._standing.term and self._standing.writer is not None
                is_writing = is_known or await lookout.is_there_a_writer()
                await self._catch_up(sight)
                self._note(sight, looked_s, is_writing=is_writing)
                was_told = await lookout.wait(POLL_S)
        finally:
            await lookout.close()

    @property
    def _position(self) -> "Position":
        position = self._parts.store.position
        assert position is not None, "the store of a process that follows has a position"
        return position

    def _note(self, sight: "Sight", looked_s: float, *, is_writing: bool) -> None:
        if self._is_told_of:
            log.info("the database is followed again")
        self._is_told_of = False
        standing = self._standing
        standing.seen_term, standing.seen_s = sight.term, looked_s
        standing.writer = (sight.writer or None) if is_writing else None
        self._moved.set()
        self._has_looked.set()
        self._on_look()

    async def _catch_up(self, sight: "Sight") -> None:
        """Read what is new up to the position in sight. Raises: OtherDatabaseError."""
        parts, position = self._parts, sight.position
        if sight.epoch != parts.store.epoch or position.commit < self._position.commit:
            raise OtherDatabaseError(
                "the database is another one than before: its server failed over, or it was restored",
                "nothing: this process reads the database anew",
            )
        if sight.is_removal:
            await self._forget_removed()
        if position.commit == self._position.commit:
            return
        async for page in parts.store.keys_between(self._position.record, position.record):
            for domain, keys in page.items():
                if is_witnessed(domain):  # before the domain is shown
                    await parts.witnessed.reread(domain, [key_id(key).hex() for key in keys])
                parts.indexes.add_keys(domain, keys)
        while events := await parts.store.events(parts.streams.last.seq, _PAGE_EVENTS, EVERYTHING, position.event):
            self._pass_on(events)
        parts.streams.skip(position.event)
        parts.store.reach(position)

    def _pass_on(self, events: list[StoredEvent]) -> None:
        """Give these events to the streams. Between two of them, events of a dropped domain may be missing."""
        parts = self._parts
        parts.heads.forget({_label_of(event) for event in events})
        for run in runs(events):
            parts.streams.skip(run[0].seq - 1)
            parts.streams.on_commit(Committed(Batch(), run))

    async def _forget_removed(self) -> None:
        """Forget everything of which a part may have been erased. Read which domains are dropped."""
        parts = self._parts
        parts.erased.is_any = True
        parts.heads.clear()
        parts.streams.forget()
        dropped = await parts.store.removals.dropped()
        for domain in dropped - parts.indexes.dropped:
            parts.indexes.drop(domain)
            parts.witnessed.drop(domain)
        parts.indexes.dropped &= dropped


def runs(events: Iterable[StoredEvent]) -> list[list[StoredEvent]]:
    """The events in pieces whose numbers follow each other without gaps."""
    pieces: list[list[StoredEvent]] = []
    for event in events:
        if pieces and pieces[-1][-1].seq + 1 == event.seq:
            pieces[-1].append(event)
        else:
            pieces.append([event])
    return pieces


def _label_of(stored: StoredEvent) -> tuple[str, str]:
    return stored.event.record.domain, stored.event.record.label
