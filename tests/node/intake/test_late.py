"""Late records: nobody waits for a replay but the label itself, and many late records are one replay."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.store.contract import Past
from node.store.sqlite import SqliteStore
from protocol.errors import Code, ProtocolError
from protocol.records.outcome import Outcome, Status
from protocol.records.record import Record
from protocol.records.replay import Verdict
from tests.history import ALICE, BOB, DOMAIN, claim, signed
from tests.node.intake.pipeline import CLIENT, NOW, PEER, Pipeline, pipeline, submission

LENGTH = 10


class HoldingStore(SqliteStore):
    """A store that reads a history only when it is told to, and notes the labels. `is_asked`: for a history."""

    may_read: asyncio.Event
    is_asked: asyncio.Event
    histories: list[str]

    async def history(self, domain: str, label: str) -> list[Past]:
        self.histories.append(label)
        self.is_asked.set()
        await self.may_read.wait()
        return await super().history(domain, label)


def held(it: Pipeline, *, may_read: bool = True) -> HoldingStore:
    store = it.store
    assert isinstance(store, HoldingStore)
    store.may_read, store.is_asked, store.histories = asyncio.Event(), asyncio.Event(), []
    if may_read:
        store.may_read.set()
    return store


def history(label: str = "garden") -> list[Record]:
    """Records of Alice, ten seconds apart, the last of them now."""
    return [claim(label, at=NOW - 10 * number) for number in range(LENGTH)]


def late(number: int, label: str = "garden") -> Record:
    """A record of Alice between two of her history."""
    return claim(label, at=NOW - 5, n=number)


async def take(it: Pipeline, *records: Record) -> list[Outcome]:
    return await it.take(*records, origin=PEER)


async def turns(count: int = 20) -> None:
    """Let other tasks go on. The threads that verify may take longer, so no assertion depends on it."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_other_labels_are_decided_while_a_label_is_replayed(tmp_path: Path) -> None:
    async with pipeline(tmp_path, store_type=HoldingStore) as it:
        store = held(it, may_read=False)
        await take(it, *history())
        waiting = asyncio.create_task(take(it, late(1), claim("fence", at=NOW)))
        await store.is_asked.wait()

        [other] = await it.take(claim("shed", at=NOW))
        was_done = waiting.done()
        store.may_read.set()

        assert other.status is Status.ACCEPTED
        assert not was_done
        assert [outcome.verdict for outcome in await waiting] == [Verdict.UPDATED, Verdict.FOUNDED]
        assert await it.matches_replay(DOMAIN, "garden")


async def test_many_late_records_of_a_label_are_one_replay(tmp_path: Path) -> None:
    async with pipeline(tmp_path, store_type=HoldingStore) as it:
        store = held(it, may_read=False)
        await take(it, *history())

        takes = [asyncio.create_task(take(it, late(number))) for number in range(20)]
        await turns()
        store.may_read.set()
        answers = await asyncio.gather(*takes)

        assert [outcome.status for [outcome] in answers] == [Status.ACCEPTED] * 20
        assert store.histories == ["garden"]
        assert await it.matches_replay(DOMAIN, "garden")


async def test_the_next_late_record_needs_no_history_whatever_is_appended_meanwhile(tmp_path: Path) -> None:
    async with pipeline(tmp_path, store_type=HoldingStore) as it:
        store = held(it)
        await take(it, *history())
        await take(it, late(1))

        await take(it, claim("garden", at=NOW + 10))
        await take(it, claim("garden", at=NOW + 20), claim("garden", at=NOW + 30))
        await take(it, late(2), claim("garden", at=NOW + 25))

        assert store.histories == ["garden"]
        assert await it.matches_replay(DOMAIN, "garden")


async def test_a_newer_record_of_a_label_that_is_replayed_is_decided_right_after_it(tmp_path: Path) -> None:
    newer = [claim("garden", at=NOW + number) for number in (1, 2)]
    async with pipeline(tmp_path, store_type=HoldingStore) as it:
        store = held(it, may_read=False)
        await take(it, *history())
        waiting = asyncio.create_task(take(it, late(1)))
        await store.is_asked.wait()

        appending = asyncio.create_task(it.take(*newer))  # two batches could pass each other while they are verified
        await turns()
        store.may_read.set()
        answers = [*await waiting, *await appending]

        assert [outcome.verdict for outcome in answers] == [Verdict.UPDATED] * 3
        assert await it.matches_replay(DOMAIN, "garden")


async def test_a_single_claim_does_not_wait_for_a_late_one_of_the_same_turn(tmp_path: Path) -> None:
    """A client's claim is late if a peer brought a newer one that was refused."""
    founded, rival = claim("garden", ALICE, at=NOW - 10), claim("garden", BOB, at=NOW)
    async with pipeline(tmp_path, store_type=HoldingStore) as it:
        store = held(it, may_read=False)
        await take(it, founded, rival)
        singles = [
            asyncio.create_task(it.ingest.take_one(submission(signed(record)), CLIENT))
            for record in (claim("garden", ALICE, at=NOW - 5), claim("shed", at=NOW))
        ]

        other = await singles[1]
        was_done = singles[0].done()
        store.may_read.set()

        assert (other.status, was_done) == (Status.ACCEPTED, False)
        assert (await singles[0]).verdict is Verdict.UPDATED
        assert it.ingest.room.records == 0


async def test_the_same_late_record_twice_at_once_is_accepted_once(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        await take(it, *history())

        answers = await asyncio.gather(*(take(it, late(1)) for _ in range(20)))

        statuses = sorted(outcome.status for [outcome] in answers)
        assert statuses == [Status.ACCEPTED, *[Status.KNOWN] * 19]


async def test_a_repeat_of_a_refused_record_is_refused_too_while_its_label_is_replayed(tmp_path: Path) -> None:
    refused = claim("garden", by=BOB, at=NOW)

    async with pipeline(tmp_path, store_type=HoldingStore) as it:
        store = held(it, may_read=False)
        await take(it, *history())
        replay = asyncio.create_task(take(it, late(1)))
        await store.is_asked.wait()

        taking = asyncio.create_task(it.take(refused, refused))
        while len(it.ingest._late._gathered[DOMAIN, "garden"].entries) < 2:  # one is of the record that is replayed
            await turns(1)
        store.may_read.set()
        await replay

        assert [outcome.code for outcome in await taking] == [Code.NOT_OWNER, Code.NOT_OWNER]


async def test_late_records_of_many_labels_are_decided(tmp_path: Path) -> None:
    labels = [f"label-{number}" for number in range(300)]
    async with pipeline(tmp_path) as it:
        await take(it, *(claim(label, at=at) for label in labels for at in (NOW - 10, NOW)))

        outcomes = await take(it, *(claim(label, at=NOW - 5) for label in labels))

        assert {outcome.verdict for outcome in outcomes} == {Verdict.UPDATED}
        assert it.ingest.room.records == 0


async def test_if_the_history_cannot_be_read_the_caller_gets_the_error_and_nobody_else(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        await take(it, *history())
        with closing(sqlite3.connect(tmp_path / "dnarc.db")) as vandal:
            vandal.execute("ALTER TABLE records RENAME COLUMN verdict TO vanished")

        with pytest.raises(sqlite3.OperationalError):
            await take(it, late(1))

        assert it.ingest.room.records == 0


async def test_while_the_disk_does_not_answer_late_records_are_refused(tmp_path: Path) -> None:
    async with pipeline(tmp_path, stalled_s=0.01) as it:
        await take(it, *history())
        with closing(sqlite3.connect(tmp_path / "dnarc.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(ProtocolError):
                await it.take(claim("garden", at=NOW + 1))

            [outcome] = await take(it, late(1))
            other.execute("ROLLBACK")

        await take(it, claim("shed", at=NOW))  # a peer waits as long as the disk takes
        assert (outcome.status, outcome.code) == (Status.REFUSED, Code.OVERLOADED)
        assert [again.status for again in await take(it, late(1))] == [Status.ACCEPTED]


async def test_when_the_intake_closes_those_who_wait_are_cancelled(tmp_path: Path) -> None:
    async with pipeline(tmp_path, store_type=HoldingStore) as it:
        store = held(it, may_read=False)
        await take(it, *history())
        waiting = asyncio.create_task(take(it, late(1)))
        await store.is_asked.wait()

        it.ingest.close()

        with pytest.raises((asyncio.CancelledError, ProtocolError)):
            await waiting
