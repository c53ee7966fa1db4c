"""The disk in memory: the contract of all stores, power cuts, backups, and a disk that fails."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from node.disk import CannotStartError
from node.store.contract import Peer, Store
from simulations.world.disk import VirtualDisk
from simulations.world.virtual_time import LIFE, Life, VirtualLoop, run_to_end
from tests.node.store.store_batches import OpenStore, batch_of, claim
from tests.node.store.store_contract import StoreContract

FOLDER = Path("/data")


class TestVirtualStore(StoreContract):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        disk = VirtualDisk(Random(1), latency_s=0.0)

        @asynccontextmanager
        async def opened(name: str) -> AsyncIterator[Store]:
            store = await disk.open_store(Path(name), Random(name).randbytes)
            yield store
            await store.close()

        def open_store(name: str) -> AbstractAsyncContextManager[Store]:
            return opened(name)

        return open_store


LABELS = ("one", "two")
ALL, NONE = len(LABELS), 0

CUT_TIMES_S = (*(each / 1_000 for each in range(0, 30, 2)), 10.0)
"""Before the commit, between the commit and its answer, and after the answer."""


def test_a_power_cut_happens_before_or_after_a_commit_and_never_within() -> None:
    """At any moment the store holds the whole batch or nothing, and the whole batch if the commit was answered."""
    ends = [after_power_cut(at_s) for at_s in CUT_TIMES_S]

    assert {held for held, _ in ends} == {NONE, ALL}
    assert {held for held, is_answered in ends if is_answered} == {ALL}
    assert (ALL, False) in ends


def after_power_cut(at_s: float) -> tuple[int, bool]:
    """Begin a commit, and cut the power `at_s` seconds later. Returns how many records the store holds afterwards, and
    whether the commit was answered.
    """
    loop, life, disk = VirtualLoop(), Life(), VirtualDisk(Random(3), latency_s=0.02)
    answered: list[int] = []

    async def process(store: Store) -> None:
        answered.append(await store.commit(batch_of([claim(label) for label in LABELS])))

    async def main() -> int:
        store = await disk.open_store(FOLDER, Random(1).randbytes)
        token = LIFE.set(life)
        task = loop.create_task(process(store))
        LIFE.reset(token)
        await asyncio.sleep(at_s)
        await loop.end_life(life)
        assert task.done()
        disk.power_cut()
        await asyncio.sleep(60)
        again = await disk.open_store(FOLDER, Random(1).randbytes)
        return sum([len(await again.history("test", label)) for label in LABELS])

    held = run_to_end(main(), loop)
    disk.close()
    return held, bool(answered)


async def test_a_restored_backup_has_the_records_from_before_it_and_no_later_ones() -> None:
    disk = VirtualDisk(Random(1), latency_s=0.0)
    store = await disk.open_store(FOLDER, Random(1).randbytes)
    await store.commit(batch_of([claim("one")]))
    backup = disk.backup()
    await store.commit(batch_of([claim("two")]))
    await store.close()

    disk.restore(backup)

    restored = await disk.open_store(FOLDER, Random(1).randbytes)
    assert await restored.head("test", "one") is not None
    assert await restored.head("test", "two") is None
    assert restored.epoch == store.epoch
    disk.close()


async def test_a_failing_disk_stores_nothing() -> None:
    disk = VirtualDisk(Random(1), latency_s=0.0)
    store = await disk.open_store(FOLDER, Random(1).randbytes)

    disk.is_failing = True
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        await store.commit(batch_of([claim("one")]))
    disk.is_failing = False

    assert await store.head("test", "one") is None
    disk.close()


def test_one_node_at_a_time_holds_a_folder_until_it_ends_or_loses_its_power() -> None:
    disk = VirtualDisk(Random(1))

    with disk.held(FOLDER):
        with pytest.raises(CannotStartError, match="another node"), disk.held(FOLDER):
            pass
        disk.power_cut()
        with disk.held(FOLDER):
            pass


def test_a_secret_stays_the_same_on_one_disk() -> None:
    disk, size_bytes = VirtualDisk(Random(1)), 32

    first = disk.secret(FOLDER / "node.key", size_bytes, Random(1).randbytes)

    assert disk.secret(FOLDER / "node.key", size_bytes, Random(2).randbytes) == first
    assert len(bytes.fromhex(first)) == size_bytes


def test_a_store_closes_on_a_disk_that_fails_although_work_was_begun() -> None:
    """A real connection closes too. The work hears of the disk, and its caller is told (seed 7783006)."""
    disk = VirtualDisk(Random(1), latency_s=0.02)

    async def main() -> None:
        store = await disk.open_store(FOLDER, Random(1).randbytes)
        peers = [Peer(key=64 * str(number), accept=True) for number in range(10)]
        writing = [asyncio.create_task(store.put_peer(peer)) for peer in peers]
        await asyncio.sleep(0)
        disk.is_failing = True
        await store.close()
        said = await asyncio.gather(*writing, return_exceptions=True)
        assert [str(error) for error in said] == len(peers) * ["disk I/O error"]

    run_to_end(main(), VirtualLoop())
