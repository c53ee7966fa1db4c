"""Answers to head queries that are kept in memory."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from node.heads import ENTRY_BYTES, Head, Heads
from node.store.contract import ShownRecord, Store
from tests.history import DOMAIN, claim, signed
from tests.node.intake.pipeline import NOW, pipeline

SIGNATURE_AROUND = '{"' + 128 * "0" + '":}'
"""What an answer adds to the canonical bytes of the record."""

COMMITS = 100
"""Commits of one label, each while the head is being read."""


async def test_an_answer_is_an_object_by_signature_with_the_id_as_etag(tmp_path: Path) -> None:
    record = signed(claim("garden", at=NOW))

    async with pipeline(tmp_path) as it:
        await it.take(record.record)
        head = await it.heads.get(DOMAIN, "garden")

    assert head is not None
    assert head.body == b'{"%s":%s}' % (record.signature.encode(), record.record.canonical)
    assert head.etag == f'"{record.record.id}"'


async def test_a_kept_answer_changes_with_the_head(tmp_path: Path) -> None:
    founder, follower = claim("garden", at=NOW - 1), claim("garden", at=NOW)

    async with pipeline(tmp_path) as it:
        await it.take(founder)
        before = await it.heads.get(DOMAIN, "garden")
        await it.take(follower)
        after = await it.heads.get(DOMAIN, "garden")

    assert (before and before.id, after and after.id) == (founder.id, follower.id)


async def test_an_answer_read_during_a_commit_is_not_kept(tmp_path: Path) -> None:
    """It may be the old head, which would then be shown until the label changes again."""
    records = [claim("garden", at=NOW - COMMITS + n) for n in range(COMMITS)]

    async with pipeline(tmp_path) as it:
        await it.take(records[0])
        for record in records[1:]:
            await asyncio.gather(it.heads.get(DOMAIN, "garden"), it.take(record), it.heads.get(DOMAIN, "garden"))
            head = await it.heads.get(DOMAIN, "garden")
            assert head is not None
            assert head.id == record.id


async def test_a_label_has_no_head_before_its_first_claim(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        before = await it.heads.get(DOMAIN, "garden")
        await it.take(claim("garden", at=NOW))
        after = await it.heads.get(DOMAIN, "garden")

    assert before is None
    assert after is not None


async def test_one_answer_more_than_there_is_room_for_is_still_given(tmp_path: Path) -> None:
    records = [claim(f"label-{n}", at=NOW) for n in range(3)]
    two_answers = 2 * (ENTRY_BYTES + len(records[0].canonical) + len(SIGNATURE_AROUND))

    async with pipeline(tmp_path, heads_cached_bytes_max=two_answers) as it:
        await it.take(*records)
        heads = [await it.heads.get(DOMAIN, record.label) for record in (*records, records[0])]

        assert [head.id for head in heads if head] == [record.id for record in (*records, records[0])]
        assert it.heads.cached_bytes == two_answers


async def test_large_heads_leave_room_for_fewer(tmp_path: Path) -> None:
    """A bound on their number would let large ones take a hundred times the memory."""
    large = [claim(f"label-{n}", at=NOW, text="x" * 60_000) for n in range(5)]

    async with pipeline(tmp_path, heads_cached_bytes_max=150_000) as it:
        await it.take(*large)
        for record in large:
            assert await it.heads.get(DOMAIN, record.label) is not None
            assert it.heads.cached_bytes <= 150_000


async def test_a_head_that_becomes_larger_than_the_room_is_dropped(tmp_path: Path) -> None:
    small, large = claim("garden", at=NOW - 1), claim("garden", at=NOW, text="x" * 60_000)

    async with pipeline(tmp_path, heads_cached_bytes_max=10_000) as it:
        await it.take(small)
        await it.heads.get(DOMAIN, "garden")
        await it.take(large)

        assert it.heads.cached_bytes == 0
        assert await it.heads.get(DOMAIN, "garden") is not None


class SlowStore:
    """Each read has the head of the moment at which it begins, and ends when the test says so."""

    def __init__(self) -> None:
        self.shown = _shown("old")
        self.reads: list[asyncio.Future[None]] = []

    async def head(self, domain: str, label: str) -> ShownRecord:
        shown = self.shown
        self.reads.append(asyncio.get_running_loop().create_future())
        await self.reads[-1]
        return shown


def _shown(name: str) -> ShownRecord:
    return ShownRecord(name, "", b"{}")


async def begin(heads: Heads) -> "asyncio.Task[Head | None]":
    reading = asyncio.create_task(heads.get(DOMAIN, "garden"))
    await asyncio.sleep(0)
    return reading


@pytest.mark.parametrize(
    "forget",
    [
        lambda heads: heads.forget([(DOMAIN, "garden")]),
        lambda heads: heads.forget_domain(DOMAIN),
        lambda heads: heads.clear(),
    ],
    ids=["label", "domain", "all"],
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["old-first", "new-first"])
async def test_a_head_that_was_being_read_when_its_label_changed_is_not_kept_though_it_is_read_again(
    forget: Callable[[Heads], None], order: tuple[int, int]
) -> None:
    """A follower forgets a label when it hears of a commit. The answer of a read from before may come after that, and
    even after a later read of the same label has begun.
    """
    store = SlowStore()
    heads = Heads(cast(Store, store), 10**6)
    readings = [await begin(heads)]
    store.shown = _shown("new")
    forget(heads)
    readings.append(await begin(heads))

    for number in order:
        store.reads[number].set_result(None)
        await readings[number]
    kept = await heads.get(DOMAIN, "garden")

    assert kept is not None
    assert kept.id == "new"


async def test_a_read_that_is_cancelled_leaves_nothing_behind() -> None:
    store = SlowStore()
    heads = Heads(cast(Store, store), 10**6)
    reading = await begin(heads)

    reading.cancel()
    await asyncio.wait([reading])

    assert heads._reading == {}
