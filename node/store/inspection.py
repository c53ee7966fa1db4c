"""What an examination reads of a store: its version, and what people and nodes wrote beside the records."""

from collections.abc import Mapping, Sequence

import msgspec

from node.store.contract import Cursor, Peer
from node.store.removals import Removal
from protocol.sets.index import Index


class Inspection(msgspec.Struct, frozen=True):
    """`version` counts the migrations of the store, `version_known` the migrations that this program knows.

    `removals` are those that are not finished.
    """

    version: int
    version_known: int
    peers: list[Peer]
    cursors: list[Cursor]
    removals: Sequence[Removal] = ()


class DomainSummaries:
    """The count and the fingerprint of each domain, from the pages of packed keys that a store gives."""

    def __init__(self) -> None:
        self._indexes: dict[str, Index] = {}

    def add(self, page: Mapping[str, Sequence[bytes]]) -> None:
        for domain, keys in page.items():
            self._indexes.setdefault(domain, Index()).extend(keys)

    def by_domain(self) -> dict[str, tuple[int, str]]:
        """The count and the fingerprint, in hex digits, of each domain, sorted by domain."""
        return {domain: (len(index), index.fingerprint().hex()) for domain, index in sorted(self._indexes.items())}
