"""What one node knows of erased records that only one of two nodes holds, and that no repair can bring.

If an operator has erased a record, that node holds its key and does not send it. A node that lacks the record is told
so once. From then on, both compare their sets as if the record were on both sides. Otherwise the two would find the
same difference again and again.
"""

from collections.abc import Iterable
from typing import Final

from protocol.sets.index import Index, fingerprint_of, key_id

KEYS_MAX: Final = 100_000
"""Keys that are remembered of one peer, 20 MB. A peer that erased more is compared with again and again."""


class ErasedKeys:
    """The keys of erased records between this node and one peer, by domain and by record id in hex.

    `there`: the peer erased the record, and this node lacks it. `here`: this node erased it, and the peer lacks it.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._there: dict[str, dict[str, bytes]] = {}
        self._here: dict[str, dict[str, bytes]] = {}
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

    def _note(self, side: dict[str, dict[str, bytes]], domain: str, keys: Iterable[bytes]) -> None:
        for key in keys:
            if self._count >= self._keys_max:
                return
            held = side.setdefault(domain, {})
            self._count += (record_id := key_id(key).hex()) not in held
            held[record_id] = key

    def there(self, domain: str) -> frozenset[str]:
        """The ids of the domain that the peer erased, and that this node lacks."""
        return frozenset(self._there.get(domain, ()))

    def here(self, domain: str) -> frozenset[str]:
        """The ids of the domain that are erased here, and that the peer lacks."""
        return frozenset(self._here.get(domain, ()))

    def forget(self, domain: str, record_ids: Iterable[str]) -> None:
        """A comparison has found that both sides hold these records, or neither does."""
        forgotten = frozenset(record_ids)
        for side in (self._there, self._here):
            held = side.get(domain, {})
            for record_id in forgotten & held.keys():
                del held[record_id]
                self._count -= 1
            if not held:
                side.pop(domain, None)

    def is_same(self, domain: str, index: Index, fingerprint: str) -> bool:
        """Whether the peer, whose fingerprint of the domain this is, holds what this node holds, up to erased records.

        The peer may have got the records that are erased here from another node since, all of them, and the same holds
        for this node.
        """
        if index.fingerprint().hex() == fingerprint:
            return True
        there = [each for each in self._there.get(domain, {}).values() if each not in index]
        here = [each for each in self._here.get(domain, {}).values() if each in index]
        return any(
            fingerprint == fingerprint_of(index.total + _sum(more) - _sum(less), len(index) + len(more) - len(less))
            for more, less in ((there, here), (there, []), ([], here))
            if more or less
        )


def _sum(keys: Iterable[bytes]) -> int:
    return sum(int.from_bytes(key_id(key), "little") for key in keys)
