"""What waits to be sent over a link, as ids: the bodies are loaded when there is room for them.

Three lines wait, and each has its reason: live records that found the window full, records that the peer is owed (it
asked, or a reconciliation found that it lacks them), and passes through whole domains. Each gives batches, and is told
how many of a batch have gone.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

import msgspec

from protocol.sets.index import Index, key_id
from protocol.sets.walk import walk


class Batch(msgspec.Struct, frozen=True):
    """Ids to load, in hex, for one frame. `hops` goes on it. `pass_domain`: part of that domain's pass."""

    ids: tuple[str, ...]
    hops: int = 0
    pass_domain: str | None = None
    is_answer: bool = False


class Queue:
    """Ids with their hops, in the order of their coming, each once."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[int, str, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._waiting

    def add(self, record_id: str, hops: int, domain: str = "", timestamp: int = 0) -> None:
        """The last two matter only to who asks for the oldest."""
        self._waiting.setdefault(record_id, (hops, domain, timestamp))

    def remove(self, record_id: str) -> None:
        self._waiting.pop(record_id, None)

    def clear(self) -> dict[str, int]:
        """Let all go; returns the lowest timestamp that each domain had in the line."""
        oldest: dict[str, int] = {}
        for _, domain, timestamp in self._waiting.values():
            oldest[domain] = min(timestamp, oldest.get(domain, timestamp))
        self._waiting.clear()
        return oldest

    def remove_domain(self, domain: str) -> None:
        for record_id in [each for each, (_, of, _) in self._waiting.items() if of == domain]:
            self.remove(record_id)

    def batch(self, size: int) -> Batch | None:
        """News and what is none never share a frame. The most hops of all stand for all: they promise no shortcut."""
        if not self._waiting:
            return None
        is_news = bool(next(iter(self._waiting.values()))[0])
        ids: list[str] = []
        hops_max = 0
        for record_id, (hops, _, _) in islice(self._waiting.items(), size):
            if bool(hops) is not is_news:
                break
            ids.append(record_id)
            hops_max = max(hops, hops_max)
        return Batch(tuple(ids), hops_max)

    def settle(self, batch: Batch, done: int) -> None:
        for record_id in batch.ids[:done]:
            self.remove(record_id)


class Walk(msgspec.Struct):
    """One pass: `position` is the last key that has gone; `is_answer`: the peer asked for it by `since`."""

    position: bytes
    is_answer: bool


class Walks:
    """Passes through domains, one after the other."""

    def __init__(self, index_of: Callable[[str], Index | None], is_needless: Callable[[str], bool]) -> None:
        """`is_needless`: the peer has the record of this id, or is sent it anyway."""
        self._index_of = index_of
        self._is_needless = is_needless
        self._walks: dict[str, Walk] = {}
        self._page: list[bytes] = []
        self._paged: Walk | None = None
        """Whose page it is."""

    def __len__(self) -> int:
        return len(self._walks)

    def __contains__(self, domain: object) -> bool:
        return domain in self._walks

    def begin(self, domain: str, position: bytes, *, is_answer: bool) -> None:
        """A pass above that key, in place of one that is under way."""
        self._walks[domain] = Walk(position, is_answer)

    def reach_back(self, domain: str, position: bytes) -> None:
        """Have everything above that key sent, by the pass that is under way or by a new one."""
        known = self._walks.get(domain)
        if known is None:
            self.begin(domain, position, is_answer=False)
        elif position < known.position:
            self._walks[domain] = Walk(position, known.is_answer)

    def end(self, domain: str) -> None:
        self._walks.pop(domain, None)

    @property
    def first(self) -> str | None:
        """The domain whose pass is under way."""
        return next(iter(self._walks), None)

    def batch(self, size: int) -> Batch | None:
        """The next of the first domain; None where its pass is over."""
        domain = next(iter(self._walks))
        self._paged = walk_ = self._walks[domain]
        index = self._index_of(domain)
        for self._page in walk(index, walk_.position, None, size) if index is not None else ():
            ids = tuple(each for key in self._page if not self._is_needless(each := key_id(key).hex()))
            if ids:
                return Batch(ids, pass_domain=domain, is_answer=walk_.is_answer)
            walk_.position = self._page[-1]
        return None

    def settle(self, batch: Batch, done: int) -> None:
        """Does nothing where the pass was begun anew or ended meanwhile."""
        walk_ = self._paged
        if walk_ is None or self._walks.get(batch.pass_domain or "") is not walk_:
            return
        if done == len(batch.ids):
            walk_.position = self._page[-1]
        elif done:
            last = bytes.fromhex(batch.ids[done - 1])
            walk_.position = next(key for key in self._page if key_id(key) == last)
