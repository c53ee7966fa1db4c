"""Heads: answers to head queries in memory, because a node serves this request most often.

Reading a head from the store costs more than answering. So recent answers stay in memory, up to a number of bytes.
Only committed heads are shown. A commit replaces the kept answers of its labels. If a commit changes a label while its
head is being read, the result of that read is not kept, because it may be the old head. A later read of the same label
may be under way then: its result is kept.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from node.store.contract import LabelKey, ShownRecord, Store, StoredEvent
from protocol.records.change import EventType
from protocol.records.record import is_skeleton, is_witnessed
from protocol.witness.walk import Certainty

ENTRY_BYTES: Final = 512
"""Memory of an answer beside its body: the tag, the names of domain and label, the objects. Measured."""


_CLAIMED: Final = str(Certainty.CLAIMED)


class Head(msgspec.Struct, frozen=True, gc=False):
    """The answer that shows a head. `body` is the JSON object `{signature: record}`, `etag` the record id in quotes.

    `certainty` is one of `protocol.witness.walk.Certainty`. `is_erased`: the record in `body` is a skeleton, which
    nobody is shown.
    """

    body: bytes
    etag: str
    certainty: str
    is_erased: bool = False

    @property
    def id(self) -> str:
        return self.etag[1:-1]


class Heads:
    """The heads of the labels that were asked for most recently."""

    def __init__(self, store: Store, cached_bytes_max: int) -> None:
        """`cached_bytes_max` bounds the answers in memory, `ENTRY_BYTES` for each answer included."""
        self._store = store
        self._cached_bytes_max = cached_bytes_max
        self._cached_bytes = 0
        self._cache: OrderedDict[LabelKey, Head] = OrderedDict()
        self._reading: dict[LabelKey, object] = {}
        """Labels whose heads are being read. A read keeps its result if it still finds its own object here."""

    @property
    def cached_bytes(self) -> int:
        """Bytes of the answers in memory."""
        return self._cached_bytes

    async def get(self, domain: str, label: str) -> Head | None:
        """The head of a label, None if it has none."""
        key = (domain, label)
        head = self._cache.get(key)
        if head is not None:
            self._cache.move_to_end(key)
            return head
        reading = self._reading.setdefault(key, object())
        try:
            shown = await self._store.head(domain, label)
            head = None if shown is None else _answer(key, shown)
            if head is not None and self._reading.get(key) is reading:
                self._keep(key, head)
            return head
        finally:
            if self._reading.get(key) is reading:
                del self._reading[key]

    def on_commit(self, events: Iterable[StoredEvent]) -> None:
        """Note the heads that a commit has moved. Call this before anybody learns of the commit."""
        if not self._cache and not self._reading:  # as in a catch-up, and it saves two look-ups a record
            return
        for stored in events:
            record = stored.event.record
            key = (record.domain, record.label)
            self._reading.pop(key, None)
            kept = self._cache.get(key)
            if kept is None:
                continue
            if record.is_erased:
                self.forget([key])
                continue
            if stored.event.type is not EventType.FINAL:
                self._keep(key, _answer(key, ShownRecord(record.id, stored.signature, record.canonical)))
            elif kept.id == record.id:
                self._keep(key, msgspec.structs.replace(kept, certainty=str(Certainty.FINAL)))

    def forget(self, keys: Iterable[LabelKey]) -> None:
        """Drop the answers of these labels, because their heads were erased or their domain was dropped."""
        for key in keys:
            self._reading.pop(key, None)
            dropped = self._cache.pop(key, None)
            if dropped is not None:
                self._cached_bytes -= len(dropped.body) + ENTRY_BYTES

    def clear(self) -> None:
        """Drop all answers."""
        self._reading.clear()
        self._cache.clear()
        self._cached_bytes = 0

    def forget_domain(self, domain: str) -> None:
        """Drop all answers of a domain."""
        self.forget([key for key in (*self._reading, *self._cache) if key[0] == domain])

    def _keep(self, key: LabelKey, head: Head) -> None:
        before = self._cache.get(key)
        self._cache[key] = head
        self._cached_bytes += len(head.body) - len(before.body) if before else len(head.body) + ENTRY_BYTES
        while self._cached_bytes > self._cached_bytes_max:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped.body) + ENTRY_BYTES


def _answer(key: LabelKey, shown: ShownRecord) -> Head:
    body = b'{"%s":%s}' % (shown.signature.encode(), shown.body)
    certainty = _certainty(key[0], is_final=shown.is_final)
    return Head(body, f'"{shown.id}"', certainty, is_skeleton(shown.body))


def _certainty(domain: str, *, is_final: bool) -> str:
    if not is_witnessed(domain):
        return _CLAIMED
    return str(Certainty.FINAL if is_final else Certainty.ORDERED)
