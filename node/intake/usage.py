"""Usage: how many records and bytes each domain and each key has here, as decided; and the quotas on it.

Domains are few, so all of them are in memory. Of keys, those that clients wrote with recently are here, and only if a
quota on keys is set. Both run ahead of the disk, as label states do. What peers bring is counted and never refused,
because the sets of all nodes have to become equal.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from node.intake.commits import Commits, count_off
from node.settings.settings import Settings
from node.store.contract import Store, StoredRecord
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Allowance, Amount, check_allowance
from protocol.records.record import Record

KEYS_CACHED_MAX: Final = 10_000
"""Keys in memory. The keys that were unused the longest go first."""

_NOTHING: Final = Amount()


def largest(amounts: Mapping[str, Amount], limit: int) -> list[tuple[str, Amount]]:
    """The names with the most bytes, at most this many, largest first."""
    return sorted(amounts.items(), key=lambda item: (-item[1].size_bytes, item[0]))[:limit]


class Usage:
    """What each domain has, `domains`, and what the keys have that clients wrote with.

    `has_key_quota`: some quota is on keys, so `read_keys` has to be called. `has_quota`: some quota is on keys or on
    domains; without one, `check` takes every record.
    """

    def __init__(self, settings: Settings, store: Store, commits: Commits, domains: dict[str, Amount]) -> None:
        """`domains` is what the store holds now."""
        self.domains = domains
        self._of_domain = Allowance(settings.domain_records_max, settings.domain_bytes_max)
        self._of_domains = {name: rules.allowance(self._of_domain) for name, rules in settings.write.domains.items()}
        self._of_key = Allowance(settings.key_records_max, settings.key_bytes_max)
        self._has_domain_quota = any(each != Allowance() for each in (self._of_domain, *self._of_domains.values()))
        self.has_key_quota = self._of_key != Allowance()
        self.has_quota = self._has_domain_quota or self.has_key_quota
        self._store = store
        self._commits = commits
        self._keys: OrderedDict[str, Amount] = OrderedDict()
        self._uncommitted: Counter[str] = Counter()
        self._reads: list[dict[str, Amount]] = []
        """For each read of the store that is under way: what was decided of its keys since the read began."""
        if self.has_key_quota:
            commits.watchers.append(lambda committed: self._on_committed(committed.batch.records))

    async def read_keys(self, keys: Iterable[str]) -> None:
        """Make `check` know these keys. Without a quota on keys, this does nothing.

        Raises:
            ProtocolError: `overloaded` if the commits are stalled.
        """
        if not self.has_key_quota:
            return
        missing = [key for key in dict.fromkeys(keys) if not self._is_here(key)]
        if missing:
            await self._read(missing)

    def check(self, record: Record) -> None:
        """Check that a client may add this record to its domain and to its key.

        Raises:
            ProtocolError: `quota_exceeded`, with the quota.
        """
        if self._has_domain_quota:
            allowance = self._of_domains.get(record.domain, self._of_domain)
            check_allowance("domain", allowance, self.domains.get(record.domain, _NOTHING), record)
        if self.has_key_quota:
            held = self._keys.get(record.signedby)
            if held is None:  # dropped while a long replay rested
                raise ProtocolError(Code.OVERLOADED, "too many keys write at once", retry_after=1)
            check_allowance("key", self._of_key, held, record)

    def count(self, record: Record) -> None:
        """This record was decided on, whoever brought it, and will be stored."""
        size_bytes = len(record.canonical)
        domain = self.domains.get(record.domain)
        if domain is None:
            domain = self.domains[record.domain] = Amount()
        domain.records += 1
        domain.size_bytes += size_bytes
        if self.has_key_quota:
            self._count_key(record.signedby, size_bytes)

    def forget_domain(self, name: str) -> None:
        """This domain is removed from the store from now on."""
        self.domains.pop(name, None)

    def forget_keys(self) -> None:
        """Records were removed from the store, so keys are read again."""
        self._keys.clear()

    def _is_here(self, key: str) -> bool:
        if key in self._keys:
            self._keys.move_to_end(key)
        return key in self._keys

    async def _read(self, keys: list[str]) -> None:
        """Read keys that are not here. What is decided of them and not stored yet would be missing, so commit it first.

        The store answers with all commits before the call, so from the call on, decisions are added to the answer.
        """
        while any(key in self._uncommitted for key in keys):
            await self._commits.drain()
        since = {key: Amount() for key in keys}
        self._reads.append(since)
        try:
            found = await self._store.key_usage(keys)
        finally:
            self._reads.remove(since)
        for key, amount in found.items():
            amount.add(since[key].records, since[key].size_bytes)
            self._keys.setdefault(key, amount)
        self._shrink(len(keys))

    def _count_key(self, key: str, size_bytes: int) -> None:
        self._uncommitted[key] += 1
        amount = self._keys.get(key)
        if amount is not None:
            amount.add(1, size_bytes)
        for since in self._reads:
            if key in since:
                since[key].add(1, size_bytes)

    def _on_committed(self, records: Iterable[StoredRecord]) -> None:
        count_off(self._uncommitted, (stored.signed.record.signedby for stored in records))

    def _shrink(self, new: int) -> None:
        """Drop keys down to the limit, but none of the `new` ones: a group of any size has all of its keys here."""
        while len(self._keys) > max(KEYS_CACHED_MAX, new):
            self._keys.popitem(last=False)
