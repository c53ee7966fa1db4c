"""A set of ids that forgets the older ones, so that it never grows beyond its limit.

Two halves: when the young one is full it becomes the old one, and the old one is gone. No order is kept and no time
needed to keep it, so that an id costs two look-ups and no more.
"""


class RecentIds:
    """At least `size_max // 2` of the newest ids, at most `size_max`."""

    def __init__(self, size_max: int) -> None:
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

    def remove(self, record_id: str) -> None:
        self._young.discard(record_id)
        self._old.discard(record_id)

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()
