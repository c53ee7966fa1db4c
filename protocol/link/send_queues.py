"""The records that wait for one link, as ids: the node loads the records when the window has room for them.

There are three queues: live records that found the window full; records that the peer is owed, because it asked for
them or because a reconciliation found that it lacks them; and passes through whole domains. A queue gives a batch of
ids, is told how many of these were sent, and keeps the rest.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec

from protocol.sets.index import Index, key_id
from protocol.sets.paging import pages_of


class QueuedBatch(msgspec.Struct, frozen=True):
    """Ids of one frame, in hex.

    `hops`: what the frame says; 0: no live records. `pass_domain`: the records are part of that domain's pass.
    `is_answer`: the peer asked for the pass.
    """

    ids: tuple[str, ...]
    hops: int = 0
    pass_domain: str | None = None
    is_answer: bool = False


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """What is known of a queued record; `timestamp` in seconds."""

    hops: int
    domain: str
    timestamp: int


class IdQueue:
    """Ids in the order in which they came, each once."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._entries

    def add(self, record_id: str, hops: int, domain: str = "", timestamp: int = 0) -> None:
        """Add an id at the end; an id that is queued keeps its place and its hops.

        `domain` and `timestamp`, in seconds, matter to `clear` and `remove_domain` only.
        """
        if record_id not in self._entries:
            self._entries[record_id] = _Entry(hops, domain, timestamp)

    def remove(self, record_id: str) -> None:
        self._entries.pop(record_id, None)

    def remove_domain(self, domain: str) -> None:
        for record_id in [each for each, entry in self._entries.items() if entry.domain == domain]:
            self.remove(record_id)

    def clear(self) -> dict[str, int]:
        """Remove all ids; returns the lowest timestamp of each domain, in seconds."""
        oldest: dict[str, int] = {}
        for entry in self._entries.values():
            oldest[entry.domain] = min(entry.timestamp, oldest.get(entry.domain, entry.timestamp))
        self._entries.clear()
        return oldest

    def batch(self, size: int) -> QueuedBatch | None:
        """The first ids, at most `size`; None if the queue is empty.

        A frame carries either live records or others, never both. It says the highest number of hops of its records,
        because a lower number would promise a short way that most of them did not take.
        """
        if not self._entries:
            return None
        is_live = bool(next(iter(self._entries.values())).hops)
        ids: list[str] = []
        hops_max = 0
        for record_id, entry in islice(self._entries.items(), size):
            if bool(entry.hops) is not is_live:
                break
            ids.append(record_id)
            hops_max = max(entry.hops, hops_max)
        return QueuedBatch(tuple(ids), hops_max)

    def settle(self, batch: QueuedBatch, done: int) -> None:
        """The first `done` ids of the batch need not be sent any more."""
        for record_id in batch.ids[:done]:
            self.remove(record_id)


class _OpenPass(msgspec.Struct):
    """One pass through a domain: `position` is the last key that was sent; `is_answer`: the peer asked for the pass."""

    position: bytes
    is_answer: bool


class PassQueue:
    """Passes through domains, one after the other. A pass is over when the peer has acknowledged its last frame."""

    def __init__(
        self, index_of: Callable[[str], Index | None], needed: Callable[[Sequence[str]], Sequence[str]]
    ) -> None:
        """`index_of`: the index of a domain, None if nothing of it is held. `needed`: those of these ids, in their
        order, whose records the peer does not have and does not get anyway.
        """
        self._index_of = index_of
        self._needed = needed
        self._passes: dict[str, _OpenPass] = {}
        self._last_frames: dict[str, int] = {}
        """Domains of which all records are sent: the number of the frame that has still to be acknowledged."""
        self._page: list[bytes] = []
        self._paged: _OpenPass | None = None
        """The pass to which the page belongs."""

    def __len__(self) -> int:
        """How many passes have still something to send."""
        return len(self._passes)

    def __contains__(self, domain: object) -> bool:
        """Whether a pass through the domain is not over yet."""
        return domain in self._passes or domain in self._last_frames

    @property
    def is_over(self) -> bool:
        """Whether every pass is over."""
        return not self._passes and not self._last_frames

    @property
    def first(self) -> str | None:
        """The domain whose pass is next."""
        return next(iter(self._passes), None)

    def begin(self, domain: str, position: bytes, *, is_answer: bool) -> None:
        """Begin a pass above that key. It replaces a pass through the domain that is under way."""
        self._passes[domain] = _OpenPass(position, is_answer)
        self._last_frames.pop(domain, None)

    def reach_back(self, domain: str, position: bytes) -> None:
        """Send everything above that key, by the pass that is under way or by a new pass."""
        pass_ = self._passes.get(domain)
        if pass_ is None:
            self._passes[domain] = _OpenPass(position, is_answer=False)
        elif position < pass_.position:
            self._passes[domain] = _OpenPass(position, pass_.is_answer)

    def stop(self, domain: str) -> None:
        """Send nothing more of the domain; nothing of its pass need be acknowledged."""
        self._passes.pop(domain, None)
        self._last_frames.pop(domain, None)

    def wait_for_ack(self, domain: str, seq: int) -> None:
        """All of the domain is sent, and the pass is over when the frame `seq` is acknowledged."""
        self._passes.pop(domain, None)
        self._last_frames[domain] = seq

    def take_acked(self, seq: int) -> list[str]:
        """The domains whose passes are over now that the frame `seq` is acknowledged."""
        domains = [domain for domain, last_frame in self._last_frames.items() if last_frame <= seq]
        for domain in domains:
            del self._last_frames[domain]
        return domains

    def batch(self, size: int) -> QueuedBatch | None:
        """The next ids of the first domain, at most `size`; None if all of it is sent."""
        domain = next(iter(self._passes))
        self._paged = pass_ = self._passes[domain]
        index = self._index_of(domain)
        for self._page in pages_of(index, pass_.position, None, size) if index is not None else ():
            ids = self._needed([key_id(key).hex() for key in self._page])
            if ids:
                return QueuedBatch(tuple(ids), pass_domain=domain, is_answer=pass_.is_answer)
            pass_.position = self._page[-1]
        return None

    def settle(self, batch: QueuedBatch, done: int) -> None:
        """The first `done` ids of the batch are sent. Does nothing if the pass began anew or stopped meanwhile."""
        pass_ = self._paged
        if pass_ is None or self._passes.get(batch.pass_domain or "") is not pass_:
            return
        if done == len(batch.ids):
            pass_.position = self._page[-1]
        elif done:
            last = bytes.fromhex(batch.ids[done - 1])
            pass_.position = next(key for key in self._page if key_id(key) == last)


class SendQueues:
    """The three queues of one link. They take turns, so that no queue starves."""

    def __init__(
        self, index_of: Callable[[str], Index | None], needed: Callable[[Sequence[str]], Sequence[str]]
    ) -> None:
        """Arguments as for `PassQueue`."""
        self.live = IdQueue()
        self.owed = IdQueue()
        self.passes = PassQueue(index_of, needed)
        self._turns: list[IdQueue | PassQueue] = [self.live, self.owed, self.passes]

    def in_turn(self) -> tuple[IdQueue | PassQueue, ...]:
        """The queues; the one that has waited longest for its turn comes first."""
        return tuple(self._turns)

    def had_turn(self, queue: IdQueue | PassQueue) -> None:
        """This queue comes last from now on."""
        self._turns.remove(queue)
        self._turns.append(queue)
