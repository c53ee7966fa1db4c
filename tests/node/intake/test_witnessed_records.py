"""Records of witnessed domains are decided in slices, and nobody but their own domain waits for them."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from node.intake.arrivals import BY_REQUEST, Origin
from node.intake.group import Group
from node.intake.witnessed import in_order
from node.intake.witnessed_records import NAMED_US, RECORD_US, SLICE_US, UNCOMMITTED_US_MAX, slices
from node.store.contract import Batch
from node.store.sqlite import SqliteStore
from protocol.records.admission import Trust
from protocol.records.outcome import Status
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import make_policy
from protocol.witness.recall import Known, Wanted
from protocol.witness.receipt import receipt_label
from tests.history import ALICE, CAROL, claim
from tests.node.intake.pipeline import CLIENT, NOW, PEER, Pipeline, pipeline, submission

TIMEOUT_S = 120.0
CLAIMS_MAX = SLICE_US // RECORD_US
"""Claims in one slice."""

UNCOMMITTED_MAX = UNCOMMITTED_US_MAX // SLICE_US * CLAIMS_MAX
STRANGER = Origin(Trust.CLIENT, "192.0.2.1")


def domain_of(witness: SigningKey) -> str:
    return f"com.example.{make_policy([witness.public], 0).name}"


DOMAIN = domain_of(CAROL)


def signed(by: SigningKey, label: str, **fields: Any) -> SignedRecord:
    return sign(make({"domain": DOMAIN, "label": label, "signedby": by.public, "timestamp": NOW} | fields), by)


POLICY = signed(ALICE, "@policy", **make_policy([CAROL.public], 0).fields)


def receipt(number: int, prev: SignedRecord | None = None, ids: Sequence[str] = ()) -> SignedRecord:
    at = NOW * 1_000 + number
    more = {} if prev is None else {"prev": prev.record.id}
    return signed(CAROL, receipt_label(CAROL.public), at=at, first=dict.fromkeys(ids, at), **more)


def claims(count: int) -> list[SignedRecord]:
    return [signed(ALICE, f"claim-{number}") for number in range(count)]


def group_of(records: list[SignedRecord]) -> Group:
    return Group.of_records(records, [PEER] * len(records), BY_REQUEST)


async def put(it: Pipeline, records: list[SignedRecord], origin: Origin = CLIENT) -> list[Status]:
    return [each.status for each in await it.ingest.take([submission(each) for each in records], origin)]


class HoldingStore(SqliteStore):
    """A store whose reads of witnessed domains, or whose commits, wait until the test lets them go on."""

    reads = asyncio.Event()
    commits = asyncio.Event()

    async def known(self, domain: str, wanted: Wanted) -> Known:
        await self.reads.wait()
        return await super().known(domain, wanted)

    async def commit(self, batch: Batch) -> int:
        await self.commits.wait()
        return await super().commit(batch)


@pytest.fixture(autouse=True)
def gates() -> None:
    HoldingStore.reads, HoldingStore.commits = asyncio.Event(), asyncio.Event()
    FailingStore.commits_left = 1_000


async def test_while_a_witnessed_domain_is_read_others_are_decided(tmp_path: Path) -> None:
    HoldingStore.commits.set()
    async with pipeline(tmp_path, store_type=HoldingStore) as it, asyncio.timeout(TIMEOUT_S):
        assert await put(it, [POLICY]) == [Status.ACCEPTED]
        reading = asyncio.create_task(put(it, claims(1)))

        (ordinary,) = await it.take(claim("garden", at=NOW))
        assert (ordinary.status, reading.done()) == (Status.ACCEPTED, False)

        HoldingStore.reads.set()
        assert await reading == [Status.ACCEPTED]


async def test_a_slice_takes_no_longer_than_a_slice_may() -> None:
    ids = [f"{number:064x}" for number in range(800)]
    first = receipt(1, ids=ids)
    second = receipt(2, first, ids=ids)
    group = group_of([*claims(CLAIMS_MAX + 1), second, first, POLICY])

    parts = slices(group, range(len(group)), asyncio.get_running_loop())

    assert all(each.work_us <= SLICE_US for each in parts)
    policy, receipt_of_many, *_ = [each.entry.positions for each in parts]
    assert (policy, receipt_of_many[0]) == ([CLAIMS_MAX + 3, CLAIMS_MAX + 2], CLAIMS_MAX + 1)
    assert sum(len(each.entry.positions) for each in parts) == len(group)


async def test_a_repeat_in_one_batch_is_known_whatever_its_slice(tmp_path: Path) -> None:
    records = claims(CLAIMS_MAX + 1)
    async with pipeline(tmp_path) as it, asyncio.timeout(TIMEOUT_S):
        await put(it, [POLICY])

        statuses = await put(it, [*records, records[0], records[-1]], PEER)

    assert statuses == [Status.ACCEPTED] * len(records) + [Status.KNOWN] * 2


async def test_slices_wait_while_much_is_not_on_disk(tmp_path: Path) -> None:
    """Commits keep their order, so every other claim would wait for all that a stranger sent at once."""
    HoldingStore.commits.set()
    HoldingStore.reads.set()
    async with pipeline(tmp_path, store_type=HoldingStore) as it, asyncio.timeout(TIMEOUT_S):
        await put(it, [POLICY])
        HoldingStore.commits.clear()
        many = asyncio.create_task(put(it, claims(UNCOMMITTED_MAX + 2 * CLAIMS_MAX), PEER))
        while len(it.commits.uncommitted) < UNCOMMITTED_MAX:  # noqa: ASYNC110 - nothing tells of decisions
            await asyncio.sleep(0)
        ordinary = asyncio.create_task(it.take(claim("garden", at=NOW)))
        while len(it.commits.uncommitted) == UNCOMMITTED_MAX:  # noqa: ASYNC110 - as before
            await asyncio.sleep(0)

        assert len(it.commits.uncommitted) == UNCOMMITTED_MAX + 1
        HoldingStore.commits.set()
        assert set(await many) == {Status.ACCEPTED}
        await ordinary


async def test_the_work_counts_for_the_address_that_sent_the_records(tmp_path: Path) -> None:
    spent: dict[str, float] = {}
    async with pipeline(tmp_path) as it, asyncio.timeout(TIMEOUT_S):
        it.ingest.count_work(lambda address, seconds: spent.update({address: seconds}))
        await put(it, [POLICY])
        assert spent == {}

        await put(it, claims(10), STRANGER)

    assert spent.keys() == {"192.0.2.1"}
    assert spent["192.0.2.1"] > 0


async def test_a_domain_that_is_about_to_be_decided_on_forgets_nothing(tmp_path: Path) -> None:
    async with pipeline(tmp_path, labels_cached_max=10) as it, asyncio.timeout(TIMEOUT_S):
        await put(it, [POLICY, *claims(3)])
        domain = it.witnessed.open(DOMAIN)
        held = sorted(domain.labels)

        with it.witnessed.kept(DOMAIN):
            it.witnessed.shrink()
            assert sorted(domain.labels) == held
        it.witnessed.shrink()

    assert len(domain.labels) < len(held)


class FailingStore(SqliteStore):
    """A store whose disk fails after some commits."""

    commits_left = 1_000

    async def commit(self, batch: Batch) -> int:
        if FailingStore.commits_left == 0:
            raise sqlite3.OperationalError("disk I/O error")
        FailingStore.commits_left -= 1
        return await super().commit(batch)


def gap_and_chain(count: int) -> tuple[SignedRecord, list[SignedRecord]]:
    """A first receipt, and those after it. Each names other records, which nobody holds."""
    chain = [receipt(1)]
    for number in range(2, count + 2):
        ids = [f"{number * 1_000 + each:064x}" for each in range(400)]
        chain.append(receipt(number, chain[-1], ids))
    return chain[0], chain[1:]


async def counted(it: Pipeline) -> None:
    """Wait until no receipt is due, and all is on disk."""
    while it.witnessed.open(DOMAIN).has_due:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    await it.commits.drain()


async def test_receipts_that_become_sound_at_once_are_counted_in_slices(tmp_path: Path) -> None:
    first, waiting = gap_and_chain(12)
    named: list[int] = []
    async with pipeline(tmp_path) as it, asyncio.timeout(TIMEOUT_S):
        await put(it, [POLICY, *waiting], PEER)
        it.commits.watchers.append(lambda it: named.extend(len(change.said) for change in it.batch.walked.values()))

        assert await put(it, [first], PEER) == [Status.ACCEPTED]
        await counted(it)

        assert max(named) <= SLICE_US // NAMED_US
        assert sum(named) == 12 * 400
        assert (await it.store.overview(DOMAIN)).waiting == {CAROL.public: 0}


async def test_receipts_that_are_due_when_a_node_ends_are_counted_by_its_next_run(tmp_path: Path) -> None:
    first, waiting = gap_and_chain(12)
    async with pipeline(tmp_path, store_type=FailingStore) as it, asyncio.timeout(TIMEOUT_S):
        await put(it, [POLICY, *waiting], PEER)
        FailingStore.commits_left = 2
        await put(it, [first], PEER)
        with pytest.raises(sqlite3.OperationalError):
            await it.commits.failed
    FailingStore.commits_left = 1_000

    async with pipeline(tmp_path) as it, asyncio.timeout(TIMEOUT_S):
        assert it.witnessed.open(DOMAIN).has_due
        await counted(it)

        assert (await it.store.overview(DOMAIN)).waiting == {CAROL.public: 0}


def test_receipts_come_in_the_order_of_their_chain() -> None:
    """Otherwise those after a gap have to wait, and all of them count at once when it is filled."""
    chain = [receipt(1)]
    for number in range(2, 6):
        chain.append(receipt(number, chain[-1]))
    founded = signed(ALICE, "garden")
    group = group_of([*reversed(chain), founded, POLICY])

    assert in_order(group, range(len(group))) == [6, 4, 3, 2, 1, 0, 5]


def test_a_claim_comes_with_the_first_receipt_that_names_it() -> None:
    """Otherwise what the receipt says is stored for an id that is not held, and moved when the claim comes."""
    one, other, unnamed = claims(3)
    first = receipt(1, ids=[one.record.id])
    second = receipt(2, first, ids=[one.record.id, other.record.id])
    group = group_of([unnamed, other, one, second, first])

    assert in_order(group, range(len(group))) == [4, 2, 3, 1, 0]


def test_a_named_claim_comes_after_the_claim_before_it_in_its_chain() -> None:
    founded = signed(ALICE, "garden")
    follower = signed(ALICE, "garden", prev=founded.record.id)
    first = receipt(1, ids=[follower.record.id])
    second = receipt(2, first, ids=[founded.record.id])
    group = group_of([follower, founded, first, second])

    assert in_order(group, range(len(group))) == [2, 3, 1, 0]
