"""Material for the contract tests of stores: an empty store, and batches as the protocol makes them, so that states,
verdicts and events are realistic.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Any

import msgspec
import pytest

from node.store.contract import Batch, LabelKey, Past, ShownRecord, Store, StoredRecord
from protocol.records.change import append
from protocol.records.record import Record, SignedRecord
from protocol.records.replay import EMPTY, State, Verdict
from protocol.signing import SigningKey
from tests import history
from tests.history import ALICE, signed

OpenStore = Callable[[str], AbstractAsyncContextManager[Store]]
"""Opens the store of this name. A new store is empty, and keeps its content until the test ends."""

RECEIVED = 1_700_000_000


def claim(
    label: str = "garden", *, domain: str = "test", by: SigningKey = ALICE, at: int = 1, **more: Any
) -> SignedRecord:
    return signed(history.claim(label, by, at, domain=domain, **more))


def offer(label: str = "garden", *, to: SigningKey, by: SigningKey = ALICE, at: int = 1) -> SignedRecord:
    return claim(label, by=by, at=at, newowner=to.public)


def stored(entry: SignedRecord, verdict: Verdict = Verdict.FOUNDED) -> StoredRecord:
    return StoredRecord(entry, verdict, RECEIVED)


def shown(entry: SignedRecord) -> ShownRecord:
    return ShownRecord(entry.record.id, entry.signature, entry.record.canonical)


def past(entry: SignedRecord, verdict: Verdict) -> Past:
    return Past(msgspec.structs.replace(entry.record, canonical=b""), verdict)


def key_of(record: Record) -> LabelKey:
    return (record.domain, record.label)


def batch_of(records: Sequence[SignedRecord], states: dict[LabelKey, State] | None = None) -> Batch:
    """A batch as the node makes it, of new records that are newer than all records of their labels."""
    batch = Batch()
    held = batch.held_labels = set[LabelKey]()
    for key, group in groupby(records, key=lambda entry: key_of(entry.record)):
        entries = list(group)
        state = {**(states or {}), **batch.states}.get(key, EMPTY)
        if state is not EMPTY and key not in batch.states:
            held.add(key)
        change = append(state, [entry.record for entry in entries])
        batch.states[key] = change.state
        batch.events += change.events
        batch.records += [stored(entry, change.verdicts[entry.record.id]) for entry in entries]
    return batch


async def all_keys(store: Store) -> dict[str, list[bytes]]:
    result: dict[str, list[bytes]] = {}
    async for domain, keys in store.keys():
        result.setdefault(domain, []).extend(keys)
    return {domain: sorted(keys) for domain, keys in result.items()}


class Contract:
    """A part of the contract. The tests open stores through `open_store`."""

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncIterator[Store]:
        async with open_store("one") as store:
            yield store
