"""What one node knows of erased records that only one of two nodes holds, and that no repair can bring.

If an operator has erased a record, that node holds its key and does not send it. A node that lacks the record is told
so once. From then on, both compare their sets as if the record were on both sides. Otherwise the two would find the
same difference again and again.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from protocol.sets.index import Index, fingerprint_of, key_id

KEYS_MAX: Final = 100_000
"""Keys that are remembered of one peer, 30 MB. A peer that erased more is compared with again and again."""

RECHECKED_MAX: Final = 2_048
"""Keys of one side of a domain that one comparison looks up in the index, in 6 ms. All of 100,000 take 0.3 s."""


class _Keys:
    """The keys of one side and one domain, by record id.

    `counted` are those by which the two sets differ, `others` those by which they do not: both nodes hold the record
    meanwhile, or neither does. That changes without notice, so each key is looked up again in its turn.
    """

    def __init__(self) -> None:
        self.counted: OrderedDict[str, bytes] = OrderedDict()
        self.others: OrderedDict[str, bytes] = OrderedDict()
        self.total = 0
        """The sum of the ids that count, as in the fingerprint of an index."""

    def __len__(self) -> int:
        return len(self.counted) + len(self.others)

    def __contains__(self, record_id: str) -> bool:
        return record_id in self.counted or record_id in self.others

    def ids(self) -> frozenset[str]:
        return frozenset((*self.counted, *self.others))

    def add(self, record_id: str, key: bytes) -> None:
        """Add a key, which counts as far as is known."""
        self.counted[record_id] = key
        self.total += _number(key)

    def remove(self, record_id: str) -> None:
        if self.others.pop(record_id, None) is None:
            self.total -= _number(self.counted.pop(record_id))

    def recheck(self, counts: Callable[[bytes], bool]) -> None:
        """Look up the keys that were not looked up for the longest time. `counts` says whether the sets differ by one.

        Each key that was looked up goes to the end of its queue.
        """
        counted = list(islice(self.counted.items(), RECHECKED_MAX))
        others = list(islice(self.others.items(), RECHECKED_MAX))
        for record_id, key in counted + others:
            self.remove(record_id)
            if counts(key):
                self.add(record_id, key)
            else:
                self.others[record_id] = key


class ErasedKeys:
    """The keys of erased records between this node and one peer, by domain and by record id in hex.

    `there`: the peer erased the record, and this node lacks it. `here`: this node erased it, and the peer lacks it.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._there: dict[str, _Keys] = {}
        self._here: dict[str, _Keys] = {}
        self._count = 0
        self._instance = ""

    def meet(self, instance: str) -> None:
        """The peer runs as this instance. After a new start it may hold other records, for example from a backup, so
        what another instance said is forgotten.
        """
        if instance != self._instance:
            self._there.clear()
            self._here.clear()
            self._count = 0
            self._instance = instance

    def __len__(self) -> int:
        """How many keys are remembered."""
        return self._count

    def note_there(self, domain: str, keys: Iterable[bytes]) -> None:
        """The peer has said that it erased these records."""
        self._note(self._there, domain, keys)

    def note_here(self, domain: str, keys: Iterable[bytes]) -> None:
        """The peer was told that this node erased these records."""
        self._note(self._here, domain, keys)

    def _note(self, side: dict[str, _Keys], domain: str, keys: Iterable[bytes]) -> None:
        for key in keys:
            if self._count >= self._keys_max:
                return
            held = side.setdefault(domain, _Keys())
            if (record_id := key_id(key).hex()) not in held:
                held.add(record_id, key)
                self._count += 1

    def there(self, domain: str) -> frozenset[str]:
        """The ids of the domain that the peer erased, and that this node lacks."""
        return self._there[domain].ids() if domain in self._there else frozenset()

    def here(self, domain: str) -> frozenset[str]:
        """The ids of the domain that are erased here, and that the peer lacks."""
        return self._here[domain].ids() if domain in self._here else frozenset()

    def forget(self, domain: str, record_ids: Iterable[str]) -> None:
        """A comparison has found that both sides hold these records, or neither does."""
        forgotten = frozenset(record_ids)
        for side in (self._there, self._here):
            held = side.get(domain, _Keys())
            for record_id in filter(held.__contains__, forgotten):
                held.remove(record_id)
                self._count -= 1
            if not len(held):
                side.pop(domain, None)

    def is_same(self, domain: str, index: Index, fingerprint: str) -> bool:
        """Whether the peer, whose fingerprint of the domain this is, holds what this node holds, up to erased records.

        The peer may have got the records that are erased here from another node since, all of them, and the same holds
        for this node. If many records are erased and some came since, several calls may pass until this is known. Until
        then the sets count as different, and both nodes compare them.
        """
        if index.fingerprint().hex() == fingerprint:
            return True
        if domain not in self._there and domain not in self._here:
            return False  # as nearly always, and 10,000 domains may differ
        there, here = self._there.get(domain, _Keys()), self._here.get(domain, _Keys())
        if _explains(there, here, index, fingerprint):
            return True
        there.recheck(lambda key: key not in index)
        here.recheck(lambda key: key in index)
        return _explains(there, here, index, fingerprint)


def _explains(there: _Keys, here: _Keys, index: Index, fingerprint: str) -> bool:
    """Whether this is the fingerprint of the index with the records that count there, without those that count here, or
    both.
    """
    nothing = _Keys()
    return any(
        _has_fingerprint(index, more, less, fingerprint)
        for more, less in ((there, here), (there, nothing), (nothing, here))
    )


def _has_fingerprint(index: Index, more: _Keys, less: _Keys, fingerprint: str) -> bool:
    """Whether this is the fingerprint of the index with `more` and without `less`.

    Keys that were not looked up again may count although they do not differ. So `less` may have more keys than there
    are records.
    """
    count = len(index) + len(more.counted) - len(less.counted)
    return count >= 0 and fingerprint == fingerprint_of(index.total + more.total - less.total, count)


def _number(key: bytes) -> int:
    return int.from_bytes(key_id(key), "little")
