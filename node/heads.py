"""Heads: answers to head queries in memory, because a node serves this request most often.

Reading a head from the store costs ten times as much as answering. So the bytes of recent answers stay in memory, for a
limited number of labels. Only committed heads are shown. A commit replaces the kept answers of its labels. If a commit
changes a label while its head is being read, the result of that read is not kept, because it may be the old head.
"""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from node.store.contract import LabelKey, Store, StoredEvent
from protocol.records.record import SignedRecord


class Head(msgspec.Struct, frozen=True):
    """A head and the answer that shows it. `body` is the JSON object `{signature: record}`, `etag` the id in quotes."""

    signed: SignedRecord
    body: bytes
    etag: str

    @property
    def id(self) -> str:
        return self.signed.record.id


class Heads:
    """The heads of the labels that were asked for most recently."""

    def __init__(self, store: Store, cached_max: int) -> None:
        """`cached_max` is the number of labels whose answers are kept."""
        self._store = store
        self._cached_max = cached_max
        self._cache: OrderedDict[LabelKey, Head] = OrderedDict()
        self._reading: set[LabelKey] = set()

    async def get(self, domain: str, label: str) -> Head | None:
        """The head of a label, None if it has none."""
        key = (domain, label)
        head = self._cache.get(key)
        if head is not None:
            self._cache.move_to_end(key)
            return head
        self._reading.add(key)
        signed = await self._store.head(domain, label)
        if signed is None:
            self._reading.discard(key)
            return None
        head = _prepared(signed)
        if key in self._reading:
            self._reading.discard(key)
            self._keep(key, head)
        return head

    def on_commit(self, events: Iterable[StoredEvent]) -> None:
        """Note the heads that a commit has moved. To be called before anybody learns of the commit."""
        for stored in events:
            record = stored.event.record
            key = (record.domain, record.label)
            self._reading.discard(key)
            if key in self._cache:
                self._cache[key] = _prepared(SignedRecord(stored.signature, record))

    def _keep(self, key: LabelKey, head: Head) -> None:
        self._cache[key] = head
        if len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)


def _prepared(signed: SignedRecord) -> Head:
    body = b'{"%s":%s}' % (signed.signature.encode(), signed.record.canonical)
    return Head(signed, body, f'"{signed.record.id}"')
