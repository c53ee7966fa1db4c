"""The witnessed domains that this node keeps, in memory.

Their state is a pure function of their records, and it is read again from the store when the node starts: 50 us and
4.4 kB for each label with one final claim, as measured. As long as the node runs, the state runs ahead of the disk, as
the states of ordinary labels do: it holds what was decided, and a commit makes that durable later.
"""

from collections.abc import Iterator
from typing import Final, Self

import structlog

from node.indexes import Indexes
from node.store.contract import Store
from protocol.records.record import is_witnessed
from protocol.witness.domain import WitnessedDomain

_PAGE_RECORDS: Final = 500
"""Records in one read of the store: the node does nothing else yet."""

log = structlog.get_logger()


class WitnessedDomains:
    """The witnessed domains by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, WitnessedDomain] = {}

    @classmethod
    async def load(cls, store: Store, indexes: Indexes) -> Self:
        """Read all records of the witnessed domains that the store holds."""
        domains = cls()
        for name in filter(is_witnessed, indexes.domains()):
            domain = domains._by_name[name] = await load_domain(name, store, indexes)
            log.info("witnessed domain loaded", domain=name, labels=len(domain.labels))
        return domains

    def __iter__(self) -> Iterator[WitnessedDomain]:
        return iter(self._by_name.values())

    def get(self, name: str) -> WitnessedDomain | None:
        """The domain of this name; None if the node holds no record of it."""
        return self._by_name.get(name)

    def open(self, name: str) -> WitnessedDomain:
        """The domain of this name, empty if the node holds no record of it. The name is that of a witnessed domain."""
        domain = self._by_name.get(name)
        if domain is None:
            domain = self._by_name[name] = WitnessedDomain(name)
        return domain


async def load_domain(name: str, store: Store, indexes: Indexes) -> WitnessedDomain:
    """The domain of this name, with all of its records that the store holds."""
    domain = WitnessedDomain(name)
    index = indexes.get(name)
    for begin in range(0, 0 if index is None else len(index), _PAGE_RECORDS):
        assert index is not None, "an empty domain has no pages"
        ids = index.ids(begin, min(begin + _PAGE_RECORDS, len(index)))
        stored = await store.records([each.hex() for each in ids])
        domain.add(each.signed.record for each in stored.values())
    return domain
