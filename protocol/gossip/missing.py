"""Wants: ids that were announced and have not come, with those who announced each and the time to ask.

Anyone may announce ids that nobody has, so all of this is bounded: ids in all, ids that one link brings up first, and
announcers remembered for each. What does not fit is not asked for, and is found by the repair pass at the latest.

Timers are entries of a heap. An entry whose id has come, or whose time was moved, stays until it is on top or until
such entries are the greater part: taking it out of the middle would cost more.
"""

import heapq
from collections.abc import Iterator
from random import Random
from typing import Final

MISSING_MAX: Final = 16_384
"""Ids announced and not here: what a second of 10,000 records leaves open, with a hundred links to tell of them."""

MISSING_LINK_MAX: Final = 4_096
"""Of these, ids that one link was the first to announce: four full frames, and a quarter of the whole for a liar."""

ANNOUNCERS_MAX: Final = 16
"""Links remembered for one id."""

ASKS_MAX: Final = 2
"""How often each announcer is asked for one id, on average, before it is given up."""

SPREAD: Final = 0.5
"""A wait is longer by up to this share, by chance. Where a link of the tree breaks, all below it miss the same record:
one that asks a little earlier gets it for the others too."""

_STALE_MIN: Final = 64


class MissingRecord:
    """One id: who announced it, and what was done about it. Times in seconds."""

    __slots__ = ("announced_at", "announcers", "asked", "asks", "due_at", "opener")

    def __init__(self, opener: int, hops: int, now: float, due_at: float) -> None:
        self.opener = opener
        self.announcers = {opener: hops}
        self.announced_at = now
        self.due_at = due_at
        self.asks = 0
        self.asked: int | None = None
        """The link that was asked last, and may still answer."""


class MissingTable:
    """All that one node misses."""

    __slots__ = ("_missing", "_opened", "_random", "_timers")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._missing: dict[str, MissingRecord] = {}
        self._opened: dict[int, int] = {}
        self._timers: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._missing)

    def get(self, record_id: str) -> MissingRecord | None:
        return self._missing.get(record_id)

    @property
    def timers(self) -> int:
        """Timers kept: those of what has come, too, as long as they are not many more than the others."""
        return len(self._timers)

    @property
    def next_at(self) -> float | None:
        """When the next id is to be asked for."""
        timers, missing = self._timers, self._missing
        while timers:
            due_at, record_id = timers[0]
            entry = missing.get(record_id)
            if entry is not None and entry.due_at == due_at:
                return due_at
            heapq.heappop(timers)
        return None

    def open(self, record_id: str, link: int, hops: int, now: float, wait_s: float) -> bool:
        """An id that is not here was announced for the first time. Returns whether there was room for it."""
        opened = self._opened.get(link, 0)
        if opened >= MISSING_LINK_MAX or len(self._missing) >= MISSING_MAX:
            return False
        self._opened[link] = opened + 1
        due_at = now + wait_s * (1 + SPREAD * self._random.random())
        self._missing[record_id] = MissingRecord(link, hops, now, due_at)
        self._set_timer(record_id, due_at)
        return True

    def close(self, record_id: str) -> MissingRecord | None:
        """It came, or nobody has it: what was known of it, None where it was not missed."""
        entry = self._missing.pop(record_id, None)
        if entry is not None:
            opened = self._opened[entry.opener] - 1
            if opened:
                self._opened[entry.opener] = opened
            else:
                del self._opened[entry.opener]
        return entry

    def due(self, now: float) -> Iterator[tuple[str, MissingRecord]]:
        """Each id whose time has come; it is to be closed or given another time."""
        while (due_at := self.next_at) is not None and due_at <= now:
            _, record_id = heapq.heappop(self._timers)
            yield record_id, self._missing[record_id]

    def ask(self, record_id: str, link: int, due_at: float) -> None:
        """The link is asked for it now, and has until then; it goes to the end of the announcers."""
        entry = self._missing[record_id]
        entry.announcers[link] = entry.announcers.pop(link)
        entry.asks += 1
        entry.asked = link
        entry.due_at = due_at
        self._set_timer(record_id, due_at)

    def forget_link(self, link: int, now: float) -> None:
        """What the link announced is to be had of others, and at once where it had been asked."""
        for record_id, entry in self._missing.items():
            entry.announcers.pop(link, None)
            if entry.asked == link:
                entry.asked = None
                entry.due_at = now
                self._set_timer(record_id, now)

    def _set_timer(self, record_id: str, due_at: float) -> None:
        timers = self._timers
        if len(timers) > _STALE_MIN + 2 * len(self._missing):
            timers[:] = [(entry.due_at, each) for each, entry in self._missing.items() if each != record_id]
            heapq.heapify(timers)
        heapq.heappush(timers, (due_at, record_id))
