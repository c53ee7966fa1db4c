"""Sets of record ids that forget the oldest ids, so that a set never grows beyond its limit.

A set consists of two halves. When the young half is full it becomes the old half, and the ids of the former old half
are gone. A set keeps no order, so that an id costs two look-ups.

Every record of a catch-up goes through these sets, so the ids of a frame are added and looked up together.
"""

from collections.abc import Sequence

from protocol.sets.erased import ErasedKeys


class RecentIds:
    """At least `size_max // 2` of the newest ids, at most `size_max`."""

    def __init__(self, size_max: int) -> None:
        """`size_max`: how many ids the set may hold; at least 2 of them."""
        self._half = max(1, size_max // 2)
        self._young: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._young or record_id in self._old

    def __len__(self) -> int:
        return len(self._young | self._old)

    def add(self, record_id: str) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, set()
        self._young.add(record_id)

    def update(self, ids: Sequence[str]) -> None:
        """Add these ids, the last one as the newest."""
        begin = 0
        while begin < len(ids):
            if len(self._young) >= self._half:
                self._old, self._young = self._young, set()
            end = begin + self._half - len(self._young)
            self._young.update(ids[begin:end])
            begin = end

    def without(self, ids: Sequence[str]) -> list[str]:
        """Those of these ids that are not in the set, in their order."""
        young, old = self._young, self._old
        return [each for each in ids if each not in young and each not in old]

    def remove(self, record_id: str) -> None:
        self._young.discard(record_id)
        self._old.discard(record_id)

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()


class Exchanged:
    """The recent ids of one link, by what became of their records."""

    def __init__(self, size_max: int, erased: ErasedKeys) -> None:
        """`size_max`: how many ids each of the sets may hold. `erased` may outlive the link."""
        self.erased = erased
        """What the two nodes told each other of erased records."""
        self.received = RecentIds(size_max)
        """The peer sent the record, and it was accepted, known, or refused for good."""
        self.sent = RecentIds(size_max)
        """This node sent the record."""
        self.refused = RecentIds(size_max)
        """The peer refused the record for good."""
        self.postponed = RecentIds(size_max)
        """The peer refused the record for now."""
        self.postponed_here = RecentIds(size_max)
        """This node refused the record for now."""
