"""Recent bodies: the records that other links will ask for in the next moments, by id.

A record is announced before it is committed, so for a while nothing but memory can give it; and what is asked for
(`want`) is nearly always recent, so that the store is spared. The oldest leaves first, by count and by bytes. What has
left before its commit cannot be given and is not missed: whoever wants it asks again, or finds it by repair.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from node.store.contract import Store
from protocol.link.orders import Load
from protocol.records.record import SignedRecord

RECORDS_MAX: Final = 16_384
BYTES_MAX: Final = 16 * 2**20


class Bodies:
    """A bounded cache of signed records, in the order in which they came."""

    def __init__(self, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._by_id: OrderedDict[str, SignedRecord] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._by_id

    def add(self, records: Iterable[SignedRecord]) -> None:
        for signed in records:
            if signed.record.id not in self._by_id:
                self._by_id[signed.record.id] = signed
                self.size_bytes += len(signed.record.canonical)
        while len(self._by_id) > self._records_max or self.size_bytes > self._bytes_max:
            _, oldest = self._by_id.popitem(last=False)
            self.size_bytes -= len(oldest.record.canonical)

    def get(self, ids: Sequence[str]) -> dict[str, SignedRecord]:
        """Those of these records that are still here, by id."""
        return {it: signed for it in ids if (signed := self._by_id.get(it)) is not None}


_STORE_READ_RECORDS = 128
"""Records read from the store at once: 8 MiB at most."""


async def load(store: Store, bodies: Bodies, order: Load) -> list[SignedRecord]:
    """The records of the order that are held, in its order, up to its bytes though never none for their size."""
    loaded: list[SignedRecord] = []
    size_bytes = 0
    for begin in range(0, len(order.ids), _STORE_READ_RECORDS):
        ids = order.ids[begin : begin + _STORE_READ_RECORDS]
        found = bodies.get(ids)
        missing = [each for each in ids if each not in found]
        if missing:
            found |= {each: stored.signed for each, stored in (await store.records(missing)).items()}
        for signed in [found[each] for each in ids if each in found]:
            size_bytes += len(signed.record.canonical)
            if size_bytes > order.bytes_max and loaded:
                return loaded
            loaded.append(signed)
    return loaded
