"""Labels of witnessed domains as the store has them, for all who look at them and decide nothing.

The intake has parts of a domain in memory, which run ahead of the disk. An answer must not say more than the disk
holds. So each answer reads the label from the store, at one moment, and walks it.

Anybody may make a label of their own domain as long as they like: 10,000 records take 0.3 s and 28 MB. So one long
label is walked at a time, for each address in turn. A short one is walked once for all who ask at the same time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

import msgspec

from node.fairness.fair_slots import FairSlots
from node.fairness.read_cost import pace
from node.fairness.shared_reads import SharedReads
from node.store.contract import Store
from protocol.witness.change import Contender
from protocol.witness.domain import WitnessedDomain
from protocol.witness.label import WitnessedLabel
from protocol.witness.policy import Policy
from protocol.witness.recall import Wanted
from protocol.witness.testimony import Evidence

_LABELS_AT_ONCE: Final = 500

SHORT_RECORDS: Final = 200
"""Records of a label that waits for no turn: it is walked in 5 ms."""


class StoredLabel(msgspec.Struct, frozen=True):
    """A label with records. `evidence` gives what was said of a record id."""

    label: WitnessedLabel
    evidence: Callable[[str], Evidence]


class LabelWalks:
    """Walks labels for whoever asks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._slots = FairSlots(1)
        self._short: SharedReads[StoredLabel | None] = SharedReads()

    async def read(self, domain: WitnessedDomain, label: str, address: str | None) -> StoredLabel | None:
        """The label as it is after the last commit; None if it has no records. `address` is that of the caller, None
        for a caller on this machine. Let go of the label soon, and change nothing of it: others may have it too.
        """
        in_memory = domain.label(label)
        if in_memory is not None and len(in_memory) <= SHORT_RECORDS:
            return await self._short.read((domain.name, label), lambda: self._read(domain, label))
        async with self._turn(address):
            return await self._read(domain, label)

    async def _read(self, domain: WitnessedDomain, label: str) -> StoredLabel | None:
        return await read_label(self._store, domain.name, domain.policy, label)

    async def last_said(
        self, domain: str, policy: Policy, ids: Sequence[str], address: str | None
    ) -> dict[str, Evidence]:
        """What the witnesses of a domain said of these held records, by id; see `Store.last_said`. A witness may say
        any amount of one record, so this has its turn too: another reader of the store is left for everybody else.
        """
        async with self._turn(address):
            return await self._store.last_said(domain, ids, policy.quorum)

    @asynccontextmanager
    async def _turn(self, address: str | None) -> AsyncIterator[None]:
        """Run the block when it is the turn of this address; None: at once."""
        if address is None:
            yield
            return
        async with self._slots.take(address):
            await pace()  # here, because all requests that wait have begun while they were within their share
            yield


async def read_label(store: Store, domain: str, policy: Policy | None, label: str) -> StoredLabel | None:
    """The label as it is after the last commit; None if it has no records."""
    return (await _read(store, domain, policy, {label: None})).get(label)


async def read_contenders(store: Store, domain: str, policy: Policy) -> AsyncIterator[list[Contender]]:
    """The candidates of a domain that can still win, in pages."""
    labels = iter((await store.overview(domain)).undecided)
    while page := dict.fromkeys(islice(labels, _LABELS_AT_ONCE)):
        found = await _read(store, domain, policy, page)
        yield [
            Contender(record, it.evidence(record.id)) for it in found.values() for record in it.label.all_contenders()
        ]


async def _read(store: Store, domain: str, policy: Policy | None, labels: dict[str, None]) -> dict[str, StoredLabel]:
    known = await store.known(domain, Wanted(labels=labels))
    walked: dict[str, WitnessedLabel] = {}
    for _ in known.walk(walked, policy, known.evidence):
        await asyncio.sleep(0)  # a label may be long: others get a turn
    return {name: StoredLabel(label, known.evidence) for name, label in walked.items()}
