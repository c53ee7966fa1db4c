"""The cache of recent records has limits in records and bytes, and drops its oldest records first."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from node.store.recent_records import RecentRecords, load
from protocol.records.record import SignedRecord
from tests.history import NOWHERE, claim, signed
from tests.node.intake.pipeline import NOW, PEER, pipeline

ENOUGH: Final = 2**20
"""More bytes than all records of a test have."""


def entry(number: int, size: int = 0) -> SignedRecord:
    return signed(claim(f"label-{number:03}", filling="x" * size))


def test_recent_records_are_found_by_id_and_others_are_left_out() -> None:
    recent = RecentRecords()
    recent.add([entry(1), entry(2)])

    assert recent.get([entry(2).record.id, entry(3).record.id]) == {entry(2).record.id: entry(2)}


def test_one_record_past_the_limit_drops_the_oldest_record() -> None:
    recent = RecentRecords(records_max=3)
    recent.add([entry(number) for number in range(3)])
    whole = len(recent)
    recent.add([entry(3)])

    assert (whole, len(recent)) == (3, 3)
    assert [entry(number).record.id in recent for number in range(4)] == [False, True, True, True]


def test_one_byte_past_the_limit_drops_the_oldest_records() -> None:
    size = len(entry(0, 100).record.canonical)
    recent = RecentRecords(bytes_max=2 * size)
    recent.add([entry(0, 100), entry(1, 100)])
    whole = len(recent)
    recent.add([entry(2, 101)])

    assert (whole, len(recent), recent.size_bytes) == (2, 1, size + 1)
    assert entry(2, 101).record.id in recent


def test_a_record_that_is_added_twice_counts_once() -> None:
    recent = RecentRecords()
    recent.add([entry(1)])
    recent.add([entry(1), entry(1)])

    assert (len(recent), recent.size_bytes) == (1, len(entry(1).record.canonical))


def dated(number: int) -> SignedRecord:
    return signed(claim(f"label-{number:03}", at=NOW - 500 + number))


def ids_of(entries: Iterable[SignedRecord]) -> list[str]:
    return [each.record.id for each in entries]


async def test_records_load_in_the_requested_order_from_memory_and_store(tmp_path: Path) -> None:
    entries = [dated(number) for number in range(200)]
    recent = RecentRecords()
    recent.add(entries[::3])
    async with pipeline(tmp_path) as it:
        await it.take(*(each.record for number, each in enumerate(entries) if number % 3), origin=PEER)

        assert await load(it.store, recent, ids_of(reversed(entries)), ENOUGH) == entries[::-1]


async def test_a_record_that_the_node_does_not_hold_is_left_out(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        await it.take(dated(1).record, origin=PEER)

        asked = [NOWHERE, dated(1).record.id, dated(2).record.id]
        assert await load(it.store, RecentRecords(), asked, ENOUGH) == [dated(1)]


async def test_a_load_keeps_to_its_bytes_but_returns_at_least_one_record(tmp_path: Path) -> None:
    entries = [dated(number) for number in range(4)]
    size = len(entries[0].record.canonical)
    recent = RecentRecords()
    recent.add(entries)
    async with pipeline(tmp_path) as it:
        exact, less, least = [
            await load(it.store, recent, ids_of(entries), limit) for limit in (3 * size, 3 * size - 1, 1)
        ]

    assert [len(exact), len(less), len(least)] == [3, 2, 1]


async def test_a_load_reads_no_more_from_the_store_than_fits_and_ends_there(tmp_path: Path) -> None:
    """Records of 64 KiB would otherwise take 8 MB of memory for a frame of 1 MiB."""
    entries = [dated(number) for number in range(100)]
    size = len(entries[0].record.canonical)
    recent = RecentRecords()
    recent.add(entries[50:])
    async with pipeline(tmp_path) as it:
        await it.take(*(each.record for each in entries), origin=PEER)

        loaded = await load(it.store, recent, ids_of(entries), 10 * size)

    assert loaded == entries[: len(loaded)]
    assert 1 <= len(loaded) <= 10


async def test_loads_one_after_the_other_bring_every_record(tmp_path: Path) -> None:
    entries = [dated(number) for number in range(100)]
    recent = RecentRecords()
    recent.add(entries[::7])
    loaded: list[SignedRecord] = []
    async with pipeline(tmp_path) as it:
        await it.take(*(each.record for each in entries), origin=PEER)

        while len(loaded) < len(entries):
            loaded += await load(it.store, recent, ids_of(entries[len(loaded) :]), 2_000)

    assert loaded == entries
