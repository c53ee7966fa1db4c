"""Recent records: the records that peers are likely to ask for next, in memory.

A record is announced before it is committed, so for a short time only memory can give it. Peers nearly always ask for
recent records (`want`), so the cache also spares the store. Events about a record show its body, and witnesses speak
about a record soon after it came. The cache drops its oldest records first. If a record is dropped before its commit,
the node cannot give it for a moment; the peer asks again, or finds the record by repair.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from node.store.contract import Store
from protocol.records.record import SignedRecord

RECORDS_MAX: Final = 16_384
BYTES_MAX: Final = 16 * 2**20

_STORE_READ_RECORDS: Final = 256
"""Records that are read from the store at once: those of one frame of a link, because each read is a trip to a thread.
"""


class RecentRecords:
    """A cache of signed records, in the order in which they came. `size_bytes` counts their canonical bytes."""

    def __init__(self, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX) -> None:
        """`records_max` and `bytes_max` limit the cache; `bytes_max` is in bytes of canonical form."""
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._by_id: OrderedDict[str, SignedRecord] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._by_id

    def add(self, records: Iterable[SignedRecord]) -> None:
        """Add these records, and drop the oldest ones past the limits."""
        by_id, size_bytes = self._by_id, self.size_bytes
        for signed in records:
            record = signed.record
            if record.id not in by_id:
                by_id[record.id] = signed
                size_bytes += len(record.canonical)
        while len(by_id) > self._records_max or size_bytes > self._bytes_max:
            _, oldest = by_id.popitem(last=False)
            size_bytes -= len(oldest.record.canonical)
        self.size_bytes = size_bytes

    def remove(self, ids: Iterable[str]) -> None:
        """Drop these records, because they were erased."""
        for record_id in ids:
            signed = self._by_id.pop(record_id, None)
            if signed is not None:
                self.size_bytes -= len(signed.record.canonical)

    def get(self, ids: Sequence[str]) -> dict[str, SignedRecord]:
        """The records with these ids that the cache has, by id."""
        return {it: signed for it in ids if (signed := self._by_id.get(it)) is not None}


async def load(store: Store, recent: RecentRecords, ids: Sequence[str], bytes_max: int) -> list[SignedRecord]:
    """Read the records with these ids, in their order, from memory if they are recent and else from the store.

    Ids that the node does not hold are left out. The result has at most `bytes_max` bytes, but always at least one
    record if any is held. It may end before all that would fit, and then the last record tells where to go on.
    """
    loaded: list[SignedRecord] = []
    size_bytes = 0
    for begin in range(0, len(ids), _STORE_READ_RECORDS):
        part = ids[begin : begin + _STORE_READ_RECORDS]
        found = recent.get(part)
        missing = [each for each in part if each not in found]
        stored = await store.records(missing, max(1, bytes_max - size_bytes)) if missing else {}
        found.update((record_id, each.signed) for record_id, each in stored.items())
        is_cut = 0 < len(stored) < len(missing)  # the store may hold more than fits
        if is_cut:
            last_read = next(each for each in reversed(missing) if each in stored)
            part = part[: part.index(last_read) + 1]
        for signed in filter(None, map(found.get, part)):
            size_bytes += len(signed.record.canonical)
            if size_bytes > bytes_max and loaded:
                return loaded
            loaded.append(signed)
        if is_cut:
            return loaded
    return loaded
