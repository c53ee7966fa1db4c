"""Founders: how many labels a key has founded in a domain, counted ahead of the disk.

The number is needed only where the operator limits it (`labels_per_founder_max`). It is read from the store when a key
first needs it, and counted here from then on, because the next decision comes before the commit of the last one.

A record that a peer brings late can take a label from its founder. Then all numbers are forgotten and read again.

In a witnessed domain every founding counts that the key ever brought, won or lost.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from node.intake.commits import Commits, Committed, count_off
from node.store.contract import Batch, Founder, Store
from protocol.records.record import is_witnessed
from protocol.records.replay import Verdict

COUNTS_MAX: Final = 10_000
"""Numbers in memory. Past this, the number that was read first is forgotten."""


class Founders:
    """The numbers of labels, by domain and key."""

    def __init__(self, store: Store, commits: Commits, counts_max: int = COUNTS_MAX) -> None:
        self._store = store
        self._commits = commits
        self._counts_max = counts_max
        self._counts: OrderedDict[Founder, int] = OrderedDict()
        self._uncommitted: Counter[Founder] = Counter()
        self._uncommitted_changes = 0
        commits.watchers.append(self._on_committed)

    async def load(self, founders: Iterable[Founder]) -> None:
        """Make `count` know these. Nobody may decide until this returns.

        Raises:
            ProtocolError: `overloaded` while commits are stalled.
        """
        while len(self._counts) > self._counts_max:
            self._counts.popitem(last=False)
        missing = [founder for founder in dict.fromkeys(founders) if founder not in self._counts]
        if not missing:
            return
        of_witnessed = any(is_witnessed(domain) for domain, _ in missing)
        if of_witnessed or self._uncommitted_changes or not self._uncommitted.keys().isdisjoint(missing):
            await self._commits.drain()  # the store does not know yet what was decided
        self._counts |= await self._store.labels_founded(missing)

    def count(self, founder: Founder) -> int | None:
        """How many labels it has founded; None: `load` has not read the number, or it was forgotten."""
        return self._counts.get(founder)

    def on_founded(self, founder: Founder) -> None:
        """One more label was founded, or one more founding brought to a witnessed domain."""
        if founder in self._counts:
            self._counts[founder] += 1

    def on_decided(self, batch: Batch) -> None:
        """A group was decided, and each of its foundings reported."""
        self._uncommitted.update(_founders_in(batch))
        if _may_unfound(batch):
            self._uncommitted_changes += 1
            self._counts.clear()

    def _on_committed(self, committed: Committed) -> None:
        count_off(self._uncommitted, _founders_in(committed.batch))
        self._uncommitted_changes -= _may_unfound(committed.batch)


def _founders_in(batch: Batch) -> list[Founder]:
    """Who founds a label of an ordinary domain in this batch, once for each label."""
    records = (stored.signed.record for stored in batch.records if stored.verdict is Verdict.FOUNDED)
    return [(record.domain, record.signedby) for record in records if not is_witnessed(record.domain)]


def _may_unfound(batch: Batch) -> bool:
    """Whether the batch may take a label from a founder: a new founding changes the verdict of a stored record."""
    return bool(batch.verdicts) and bool(_founders_in(batch))
