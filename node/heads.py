"""Answers to head queries, kept ready: the request that a node serves most.

A read through the store costs ten times what answering costs, so the bytes of recent answers stay in memory, for a
bounded number of labels. Only committed heads are shown. A commit replaces what is held of its labels; a read that
was under way while its label was committed is answered but not kept, as it may be the head before.
"""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from node.store.contract import LabelKey, Store, StoredEvent
from protocol.records.record import SignedRecord


class Head(msgspec.Struct, frozen=True):
    """A head and the answer that shows it: `body` is the JSON dict `{signature: record}`, `etag` the id in quotes."""

    signed: SignedRecord
    body: bytes
    etag: str

    @property
    def id(self) -> str:
        return self.signed.record.id


class Heads:
    """The heads of at most `cached_max` labels, the most recently asked for."""

    def __init__(self, store: Store, cached_max: int) -> None:
        self._store = store
        self._cached_max = cached_max
        self._cache: OrderedDict[LabelKey, Head] = OrderedDict()
        self._reading: set[LabelKey] = set()

    async def get(self, domain: str, label: str) -> Head | None:
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
        """Take note of the heads that a commit moved; called before anybody is told of it."""
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
