"""Indexes: which records this node has committed, by domain and order key, in memory.

They answer frequent questions without the disk: is this record known, do two nodes hold the same, which records are
newer. A record enters its index when its commit has returned and never earlier. So the store can read each record that
an index names.
"""

from collections.abc import Iterable
from typing import Self

from node.store.contract import Store
from protocol.records.record import Record
from protocol.sets.index import EMPTY, BusyBlocks, Index


class Indexes:
    """One index for each domain."""

    def __init__(self) -> None:
        self.dropped: set[str] = set()
        """Domains that the operator dropped: nothing of them is taken, kept in step or shown."""
        self._by_domain: dict[str, Index] = {}
        self._sorted: list[str] = []
        self._busy = BusyBlocks()

    @classmethod
    async def load(cls, store: Store) -> Self:
        """Build all indexes from the store, which takes about one second for a million records.

        Each page goes into its index at once. Lists of all keys would take three times the memory of the indexes, and
        the process would keep that memory.
        """
        indexes = cls()
        indexes.dropped |= await store.removals.dropped()
        async for domain, page in store.keys():
            indexes._of(domain).extend(page)
        return indexes

    def __contains__(self, domain: object) -> bool:
        return domain in self._by_domain

    def __len__(self) -> int:
        return len(self._by_domain)

    def domains(self) -> list[str]:
        """The domains that hold records, sorted."""
        if len(self._sorted) != len(self._by_domain):
            self._sorted = sorted(self._by_domain)
        return list(self._sorted)

    def get(self, domain: str) -> Index | None:
        """The index of a domain, None if the node holds no record of it."""
        return self._by_domain.get(domain)

    def holds(self, record: Record) -> bool:
        """Whether this node has committed the record."""
        index = self._by_domain.get(record.domain)
        return index is not None and record.index_key in index

    def add(self, records: Iterable[Record]) -> None:
        """Add records whose commit has returned. Those of one domain are sorted first, so that runs are added whole."""
        by_domain: dict[str, list[bytes]] = {}
        for record in records:
            by_domain.setdefault(record.domain, []).append(record.index_key)
        for domain, keys in by_domain.items():
            if domain not in self.dropped:
                self._of(domain).extend(keys)

    def add_keys(self, domain: str, keys: Iterable[bytes]) -> None:
        """The same for records that another process has committed, by their packed keys."""
        if domain not in self.dropped:
            self._of(domain).extend(keys)

    def drop(self, domain: str) -> None:
        """Forget a domain, and hold no record of it from now on."""
        self.dropped.add(domain)
        self._by_domain.pop(domain, None)
        self._sorted = sorted(self._by_domain)

    def _of(self, domain: str) -> Index:
        index = self._by_domain.get(domain)
        if index is None:
            index = self._by_domain[domain] = Index(busy=self._busy)
        return index

    def summary(self, domain: str) -> dict[str, object]:
        """`count`, `fingerprint` and `newest` of a domain.

        The fingerprint has 32 hex digits. `newest` is a timestamp in seconds, None if the node holds no record.
        """
        index = self._by_domain.get(domain) or EMPTY
        return {"count": len(index), "fingerprint": index.fingerprint().hex(), "newest": index.newest}
