"""RaceWaiters: clients that want to know how the race of their record ends before they get an answer.

A record of a witnessed domain is taken at once, and becomes final, or loses, a little later. A client that waits looks
once at the beginning, and then only after a commit that makes its record final or closes its slot, because each look
reads the whole label from the store.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from node.fairness.places import Places, Source
from node.intake.commits import Committed
from node.intake.witnessed_domains import WitnessedDomains
from node.witness.labels import LabelWalks
from protocol.records.change import EventType
from protocol.records.record import Record
from protocol.witness.label import WitnessedLabel
from protocol.witness.walk import Certainty

WAITERS_MAX: Final = 128
"""Clients that wait at once, because each holds a connection: strangers have 576. They have these places as they have
those for connections. Whoever gives way to another one is answered without further waiting."""


class _Waiter:
    """A client that waits. `moved` is set when it has to look again, `has_given_way` if another one got its place."""

    def __init__(self, record: Record, source: Source, since_s: float) -> None:
        self.record = record
        self.source = source
        self.moved = asyncio.Event()
        self.has_given_way = False
        self._since_s = since_s

    def waiting_since_s(self) -> float | None:
        return self._since_s

    def close_for_another(self) -> None:
        self.has_given_way = True
        self.moved.set()


class RaceWaiters:
    """The clients that wait, by domain and label."""

    def __init__(self, domains: WitnessedDomains, walks: LabelWalks) -> None:
        self._domains = domains
        self._walks = walks
        self._waiters: dict[tuple[str, str], set[_Waiter]] = defaultdict(set)
        self._places = Places(WAITERS_MAX)

    def __len__(self) -> int:
        """The number of clients that wait."""
        return self._places.taken

    async def end_of(self, record: Record, seconds: float, address: str | None) -> bool:
        """Wait until this held record is final or lost, at most this long; returns whether that happened.

        `address` is that of the client, None for a client on this machine.
        """
        source = Source(address or "", is_stranger=address is not None, has_share=address is not None)
        waiter = _Waiter(record, source, asyncio.get_running_loop().time())
        with self._listening(waiter):
            if await self._is_over(record, address):
                return True
            if not self._places.enter(waiter):
                return False
            try:
                async with asyncio.timeout(seconds):
                    return await self._wait(waiter, address)
            except TimeoutError:
                return False
            finally:
                self._places.leave(waiter)

    @contextmanager
    def _listening(self, waiter: _Waiter) -> Iterator[None]:
        """Commits move the waiter during the block. It begins before the first look, so that no commit is missed."""
        key = (waiter.record.domain, waiter.record.label)
        self._waiters[key].add(waiter)
        try:
            yield
        finally:
            self._waiters[key].discard(waiter)
            if not self._waiters[key]:
                del self._waiters[key]

    async def _wait(self, waiter: _Waiter, address: str | None) -> bool:
        """Wait until the race is over, or the waiter gives way. Returns whether the race is over."""
        while True:
            await waiter.moved.wait()
            if waiter.has_given_way:
                return False
            waiter.moved.clear()
            if await self._is_over(waiter.record, address):
                return True

    def on_commit(self, committed: Committed) -> None:
        """Wake those whose records became final, or whose slots are over."""
        if not self._waiters:
            return
        for domain, change in committed.batch.walked.items():
            final = {event.record.id: event.record.label for event in change.events if event.type is EventType.FINAL}
            closed = set(change.closed)
            for label in {*final.values(), *(name for name, _ in closed)}:
                for waiter in self._waiters.get((domain, label), ()):
                    if waiter.record.id in final or (label, waiter.record.prev) in closed:
                        waiter.moved.set()

    async def _is_over(self, record: Record, address: str | None) -> bool:
        label = await self.read(record, address)
        return label is None or label.certainty_of(record.id) in (Certainty.FINAL, None)

    async def read(self, record: Record, address: str | None) -> WitnessedLabel | None:
        """The label of this record as it is on disk; None if it has no records. `address` is that of the client."""
        domain = self._domains.get(record.domain)
        found = None if domain is None else await self._walks.read(domain, record.label, address)
        return None if found is None else found.label
