"""A domain that an operator drops while a decision on its records reads the store."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from node.intake.arrivals import BY_REQUEST
from node.intake.group import Group
from node.store.contract import Batch
from node.store.sqlite import SqliteStore
from protocol.errors import Code
from protocol.records.admission import Amount
from protocol.records.record import SignedRecord, make, sign
from protocol.witness.policy import make_policy
from tests.history import ALICE, CAROL, DOMAIN
from tests.node.intake.pipeline import CLIENT, NOW, Pipeline, pipeline, submission

TIMEOUT_S: Final = 120.0
POLICY: Final = make_policy([CAROL.public], 0)
WITNESSED: Final = f"com.example.{POLICY.name}"


class ReadingStore(SqliteStore):
    """A store that says when it begins to read how much keys have, and then waits until the test lets it go on."""

    begun = asyncio.Event()
    goes_on = asyncio.Event()

    async def key_usage(self, keys: Sequence[str]) -> dict[str, Amount]:
        self.begun.set()
        await self.goes_on.wait()
        return await super().key_usage(keys)


def gates() -> None:
    ReadingStore.begun, ReadingStore.goes_on = asyncio.Event(), asyncio.Event()


async def decide(it: Pipeline, domain: str, group: Group) -> Batch:
    if domain == WITNESSED:
        return await it.ingest._decider.decide_witnessed(domain, group, None)
    return (await it.ingest._decider.decide(group)).batch


def refused(record: SignedRecord) -> tuple[Code | None, str]:
    return Code.UNKNOWN_DOMAIN, record.signature


def signed(domain: str, label: str, **fields: Any) -> SignedRecord:
    return sign(make({"domain": domain, "label": label, "signedby": ALICE.public, "timestamp": NOW} | fields), ALICE)


@pytest.mark.parametrize("domain", [DOMAIN, WITNESSED])
async def test_nothing_of_it_is_taken_any_more(tmp_path: Path, domain: str) -> None:
    """Nor is a record that comes again: the index forgot it, and the store still has its row, so a second commit of it
    would fail.
    """
    held = signed(WITNESSED, "@policy", **POLICY.fields) if domain == WITNESSED else signed(domain, "garden")
    new = signed(domain, "meadow")
    group = Group.of_records([held, new, new], [CLIENT] * 3, BY_REQUEST)
    async with asyncio.timeout(TIMEOUT_S), pipeline(tmp_path, store_type=ReadingStore, key_records_max=9) as it:
        ReadingStore.goes_on.set()
        await it.ingest.take([submission(held)], CLIENT)
        it.ingest.usage.forget_keys()
        gates()
        deciding = asyncio.create_task(decide(it, domain, group))
        await ReadingStore.begun.wait()

        it.indexes.drop(domain)
        it.ingest.usage.forget_domain(domain)
        ReadingStore.goes_on.set()
        batch = await deciding

    outcomes = [(outcome.code, outcome.signature) for outcome in group.settled()]
    assert outcomes[1:] == [refused(new), refused(new)]
    assert outcomes[0] == (
        (None, held.signature) if domain == WITNESSED else refused(held)
    )  # its domain knew it before
    assert (batch.records, it.ingest.usage.domains) == ([], {})
