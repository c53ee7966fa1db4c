"""The index of every domain, in memory: which records this node has committed, by order key.

It answers what is asked all the time (is this known? do we hold the same? what is newer?) without the disk. A record
enters when its commit has returned, never before, so whatever an index names can be read from the store.
"""

from collections.abc import Iterable
from typing import Self

from node.store.contract import Store
from protocol.records.record import Record
from protocol.sets.index import EMPTY, TIMESTAMP_BYTES, Index


class Indexes:
    """One index a domain."""

    def __init__(self) -> None:
        self._by_domain: dict[str, Index] = {}

    @classmethod
    async def load(cls, store: Store) -> Self:
        """Build all indexes from what the store holds: about a second for a million records."""
        indexes = cls()
        keys: dict[str, list[bytes]] = {}
        async for domain, page in store.keys():
            keys.setdefault(domain, []).extend(page)
        indexes._by_domain = {domain: Index(keys[domain]) for domain in sorted(keys)}
        return indexes

    def __contains__(self, domain: object) -> bool:
        return domain in self._by_domain

    def __len__(self) -> int:
        return len(self._by_domain)

    def domains(self) -> list[str]:
        """The domains that hold records, sorted."""
        return sorted(self._by_domain)

    def get(self, domain: str) -> Index | None:
        return self._by_domain.get(domain)

    def holds(self, record: Record) -> bool:
        """Whether the record is committed here."""
        index = self._by_domain.get(record.domain)
        return index is not None and key_of(record) in index

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            index = self._by_domain.get(record.domain)
            if index is None:
                index = self._by_domain[record.domain] = Index()
            index.add(key_of(record))

    def summary(self, domain: str) -> dict[str, object]:
        """`{count, fingerprint, newest}` of a domain: 32 hex digits, and a timestamp or None where nothing is held."""
        index = self._by_domain.get(domain) or EMPTY
        return {"count": len(index), "fingerprint": index.fingerprint().hex(), "newest": index.newest}


def key_of(record: Record) -> bytes:
    """The packed key under which a record stands in its index: what `pack_key` gives, without a call for each."""
    return record.timestamp.to_bytes(TIMESTAMP_BYTES, "big") + bytes.fromhex(record.id)
