"""Missing records: ids that peers announced and that have not arrived, with the time to ask for each.

A peer can announce ids that do not exist, so everything here has a limit: the ids in total, the ids that one link
announced first, and the links remembered for one id. An id that exceeds a limit is dropped. The node then does not ask
for that record, and the next repair finds it.

A record can name others: a receipt names what its witness saw. The peer that sent it most likely has these too, so
the node asks this peer. But the peer promised nothing, and a stranger may have written the record. So all named ids
together have the room of one link, among the ids of strangers, and a peer that lacks them has broken no promise.

Timers are entries of a heap. If a record arrives or its time changes, its old entry stays in the heap, because to take
an entry out of the middle costs more. An old entry is dropped when it reaches the top. When most entries are old, the
heap is built anew.
"""

import heapq
from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

MISSING_MAX: Final = 16_384
"""Missing ids in total. At 10,000 records a second and a hundred links, one second leaves this many open."""

MISSING_OF_STRANGERS_MAX: Final = MISSING_MAX // 2
"""Missing ids that links of strangers announced first: the other half stays for the peers that the operator listed."""

MISSING_LINK_MAX: Final = 4_096
"""Missing ids that one link announced first: four full frames, so that a liar gets at most a quarter of the table. The
same for all ids that no link announced, because a record named them.
"""

ANNOUNCERS_MAX: Final = 16
"""Links remembered for one missing id."""

ASKS_MAX: Final = 2
"""How often the node asks each announcer for one id, on average, before it gives the id up."""

SPREAD: Final = 0.5
"""Each wait is longer by a random share between 0 and this. When a link of the tree breaks, all nodes below it miss
the same record. If one of them asks a little earlier, it passes the record on and the others need not ask."""

_OLD_TIMERS_MIN: Final = 64
"""With fewer timers than this the heap is never built anew."""


class Announcer(NamedTuple):
    """Who announced an id: the link, the hops that it named, and whether it leads to a listed peer. `is_promise`: the
    peer said that it has the record; otherwise it sent a record that names the id.
    """

    link: int
    hops: int
    is_listed: bool
    is_promise: bool = True


_NOBODY: Final = -1
"""In the place of the link that announced an id first, if a record named the id."""


class MissingRecord:
    """One missing id: who announced it, and what the node did about it. Times are in seconds."""

    __slots__ = ("announced_at", "announcers", "asked", "asks", "due_at", "first_announcer", "is_listed", "promised")

    def __init__(self, announcer: Announcer, now: float, due_at: float) -> None:
        """`announcer` was the first; at `due_at` the node asks for the id."""
        self.first_announcer = announcer.link if announcer.is_promise else _NOBODY
        self.is_listed = announcer.is_listed and announcer.is_promise
        """Whether a listed peer promised the record first."""
        self.announcers: dict[int, int] = {}
        """Links to ask, with the hops that each announced. The link asked last is at the end."""
        self.promised: set[int] = set()
        """Those of these links that said that they have the record."""
        self.add(announcer)
        self.announced_at = now
        self.due_at = due_at
        self.asks = 0
        self.asked: int | None = None
        """The link that was asked last and may still answer."""

    def add(self, announcer: Announcer) -> None:
        """One more link to ask. A link that promises what it only named before has promised it from now on."""
        if announcer.is_promise and announcer.link not in self.promised:
            self.promised.add(announcer.link)
            self.announcers[announcer.link] = announcer.hops
        else:
            self.announcers.setdefault(announcer.link, announcer.hops)

    def remove(self, link: int) -> None:
        """Do not ask this link."""
        self.announcers.pop(link, None)
        self.promised.discard(link)


class MissingTable:
    """All missing ids of one node."""

    __slots__ = ("_first_announced", "_missing", "_of_strangers", "_random", "_timers")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._missing: dict[str, MissingRecord] = {}
        self._first_announced: dict[int, int] = {}
        """For each link, the number of missing ids that it announced first."""
        self._of_strangers = 0
        self._timers: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._missing)

    def get(self, record_id: str) -> MissingRecord | None:
        return self._missing.get(record_id)

    @property
    def timers(self) -> int:
        """Entries in the heap of timers, old ones included."""
        return len(self._timers)

    @property
    def next_at(self) -> float | None:
        """When the node asks for the next id; None: no id is missing."""
        timers, missing = self._timers, self._missing
        while timers:
            due_at, record_id = timers[0]
            entry = missing.get(record_id)
            if entry is not None and entry.due_at == due_at:
                return due_at
            heapq.heappop(timers)
        return None

    def open(self, record_id: str, announcer: Announcer, now: float, wait_s: float) -> bool:
        """Add an id that a link announced for the first time. Returns False if a limit leaves no room for it."""
        due_at = now + wait_s * (1 + SPREAD * self._random.random())
        entry = MissingRecord(announcer, now, due_at)
        first_announced = self._first_announced.get(entry.first_announcer, 0)
        is_full = len(self._missing) >= MISSING_MAX
        if is_full or first_announced >= MISSING_LINK_MAX:
            return False
        if not entry.is_listed:
            if self._of_strangers >= MISSING_OF_STRANGERS_MAX:
                return False
            self._of_strangers += 1
        self._first_announced[entry.first_announcer] = first_announced + 1
        self._missing[record_id] = entry
        self._set_timer(record_id, due_at)
        return True

    def close(self, record_id: str) -> MissingRecord | None:
        """Remove an id, because its record arrived or no announcer has it. Returns its entry; None: it had none."""
        entry = self._missing.pop(record_id, None)
        if entry is not None:
            self._of_strangers -= not entry.is_listed
            first_announced = self._first_announced[entry.first_announcer] - 1
            if first_announced:
                self._first_announced[entry.first_announcer] = first_announced
            else:
                del self._first_announced[entry.first_announcer]
        return entry

    def due(self, now: float) -> Iterator[tuple[str, MissingRecord]]:
        """Each id whose time has come. The caller closes it or calls `ask`, before it takes the next."""
        while (due_at := self.next_at) is not None and due_at <= now:
            _, record_id = heapq.heappop(self._timers)
            yield record_id, self._missing[record_id]

    def ask(self, record_id: str, link: int, due_at: float) -> None:
        """Note that the node asks this link now, and that the link has until `due_at` to answer."""
        entry = self._missing[record_id]
        entry.announcers[link] = entry.announcers.pop(link)  # to the end
        entry.asks += 1
        entry.asked = link
        entry.due_at = due_at
        self._set_timer(record_id, due_at)

    def forget_announcer(self, record_id: str, link: int, now: float) -> None:
        """The link does not give the record of this missing id. Without another announcer, the id is not missing."""
        entry = self._missing[record_id]
        if entry.announcers.keys() <= {link}:
            self.close(record_id)
        else:
            self._remove_announcer(record_id, entry, link, now)

    def forget_link(self, link: int, now: float) -> None:
        """Remove the link from all announcers. An id that this link had been asked for is due at once."""
        for record_id, entry in self._missing.items():
            self._remove_announcer(record_id, entry, link, now)

    def _remove_announcer(self, record_id: str, entry: MissingRecord, link: int, now: float) -> None:
        entry.remove(link)
        if entry.asked == link:
            entry.asked, entry.due_at = None, now
            self._set_timer(record_id, now)

    def _set_timer(self, record_id: str, due_at: float) -> None:
        timers = self._timers
        if len(timers) > _OLD_TIMERS_MIN + 2 * len(self._missing):
            timers[:] = [(entry.due_at, each) for each, entry in self._missing.items() if each != record_id]
            heapq.heapify(timers)
        heapq.heappush(timers, (due_at, record_id))
