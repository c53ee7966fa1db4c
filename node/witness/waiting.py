"""RaceWaiters: clients that want to know how the race of their record ends before they get an answer.

A record of a witnessed domain is taken at once, and becomes final, or loses, a little later. Who waits is told by the
commit that decides it.
"""

import asyncio
from collections import defaultdict
from typing import Final

from node.intake.commits import Committed
from node.intake.witnessed_domains import WitnessedDomains
from node.store.contract import Store
from node.witness.labels import read_label
from protocol.records.record import Record
from protocol.witness.label import WitnessedLabel
from protocol.witness.walk import Certainty

WAITERS_MAX: Final = 128
"""Clients that wait at once, because each holds a connection: strangers have 576. Any further one is answered without
waiting, as if it had not asked to wait."""


class RaceWaiters:
    """The clients that wait, by label."""

    def __init__(self, domains: WitnessedDomains, store: Store) -> None:
        self._domains = domains
        self._store = store
        self._waiters: dict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)
        self._count = 0

    async def end_of(self, record: Record, seconds: float) -> bool:
        """Wait until this held record is final or lost, at most so long; returns whether it came to that."""
        if await self._is_over(record):
            return True
        if self._count >= WAITERS_MAX:
            return False
        key, moved = (record.domain, record.label), asyncio.Event()
        self._waiters[key].add(moved)
        self._count += 1
        try:
            async with asyncio.timeout(seconds):
                while not await self._is_over(record):
                    await moved.wait()
                    moved.clear()
        except TimeoutError:
            return False
        finally:
            self._count -= 1
            self._waiters[key].discard(moved)
            if not self._waiters[key]:
                del self._waiters[key]
        return True

    def on_commit(self, committed: Committed) -> None:
        """Wake those whose labels the commit touched."""
        if not self._waiters:
            return
        for domain, change in committed.batch.walked.items():
            for label in change.states:
                for moved in self._waiters.get((domain, label), ()):
                    moved.set()

    async def _is_over(self, record: Record) -> bool:
        label = await self.read(record)
        return label is None or label.certainty_of(record.id) in (Certainty.FINAL, None)

    async def read(self, record: Record) -> WitnessedLabel | None:
        """The label of this record as it is on disk; None if it has no records."""
        domain = self._domains.get(record.domain)
        policy = None if domain is None else domain.policy
        found = await read_label(self._store, record.domain, policy, record.label)
        return None if found is None else found.label
