"""Prepared answers to head queries."""

import asyncio
from pathlib import Path

from tests.history import DOMAIN, claim, signed
from tests.node.intake.pipeline import NOW, pipeline


async def test_an_answer_is_the_dict_by_signature_and_its_etag_the_id(tmp_path: Path) -> None:
    record = signed(claim("garden", at=NOW))

    async with pipeline(tmp_path) as it:
        await it.take(record.record)
        head = await it.heads.get(DOMAIN, "garden")

    assert head is not None
    assert head.body == b'{"%s":%s}' % (record.signature.encode(), record.record.canonical)
    assert head.etag == f'"{record.record.id}"'


async def test_a_kept_answer_follows_the_head(tmp_path: Path) -> None:
    founder, follower = claim("garden", at=NOW - 1), claim("garden", at=NOW)

    async with pipeline(tmp_path) as it:
        await it.take(founder)
        before = await it.heads.get(DOMAIN, "garden")
        await it.take(follower)
        after = await it.heads.get(DOMAIN, "garden")

    assert (before and before.id, after and after.id) == (founder.id, follower.id)


async def test_a_read_under_way_during_a_commit_is_not_kept(tmp_path: Path) -> None:
    """It may have read the head before; kept, it would be shown until the label changes again."""
    records = [claim("garden", at=NOW - 100 + n) for n in range(100)]

    async with pipeline(tmp_path) as it:
        await it.take(records[0])
        for record in records[1:]:
            await asyncio.gather(it.heads.get(DOMAIN, "garden"), it.take(record), it.heads.get(DOMAIN, "garden"))
            head = await it.heads.get(DOMAIN, "garden")
            assert head is not None
            assert head.id == record.id


async def test_what_is_not_there_is_none_and_is_seen_once_it_is(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        before = await it.heads.get(DOMAIN, "garden")
        await it.take(claim("garden", at=NOW))
        after = await it.heads.get(DOMAIN, "garden")

    assert before is None
    assert after is not None


async def test_one_label_more_than_is_kept_is_still_answered(tmp_path: Path) -> None:
    records = [claim(f"label-{n}", at=NOW) for n in range(3)]

    async with pipeline(tmp_path, heads_cached_max=2) as it:
        await it.take(*records)
        heads = [await it.heads.get(DOMAIN, record.label) for record in (*records, records[0])]

    assert [head.id for head in heads if head] == [record.id for record in (*records, records[0])]
