"""Commits: a commit that only has to wait loses nothing and ends nothing, and records of clients share commits."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from node.indexes import Indexes
from node.intake.commit_delay import CommitDelay
from node.intake.commits import Commits
from node.store.contract import Batch, StoredEvent, StoredRecord
from node.store.sqlite import SqliteStore
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.change import Event, EventType
from protocol.records.outcome import Outcome, Status
from protocol.records.record import Record, SignedRecord
from protocol.records.replay import EMPTY
from tests.history import DOMAIN, claim, signed
from tests.node.intake.pipeline import CLIENT, NOW, PEER, Pipeline, pipeline, submission

SOON_S = 0.05
"""How long a commit may wait in these tests, in seconds."""


@contextmanager
def locked(folder: Path) -> Iterator[sqlite3.Connection]:
    """Hold the database for writing, as a person with the sqlite3 shell may."""
    with closing(sqlite3.connect(folder / "dnarc.db", isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        yield shell


def patient() -> CommitDelay:
    """A commit waits for as many records as the last one had, for as long as a test may take."""
    return CommitDelay(wait_s_max=60.0, waited_commits=1e9)


async def begin(it: Pipeline, label: str) -> asyncio.Task[list[Outcome]]:
    """Take a claim of a client. Returns when it is decided, and perhaps not committed."""
    is_decided = asyncio.Event()
    it.ingest.announcers.append(lambda _records, _delivery: is_decided.set())
    taking = asyncio.create_task(it.take(claim(label, at=NOW)))
    await is_decided.wait()
    return taking


def commit_sizes(it: Pipeline) -> list[tuple[float, int]]:
    """How many commits there were, by the bounds of `node.metrics.RECORDS`; without the bounds that had none."""
    buckets = [(0.0, 0), *it.commits.writes.commit_records.buckets()]
    return [(bound, number - before) for (_, before), (bound, number) in pairwise(buckets) if number > before]


async def wait_until_stalled(it: Pipeline) -> None:
    """Let a claim of a label `another` wait in vain, so that commits count as stalled."""
    with pytest.raises(ProtocolError):
        await it.take(claim("another", at=NOW))


async def test_a_client_is_told_to_come_back_while_another_program_holds_the_database(tmp_path: Path) -> None:
    record = claim("garden", at=NOW)

    async with pipeline(tmp_path, stalled_s=SOON_S) as it:
        with locked(tmp_path):
            with pytest.raises(ProtocolError) as refused:
                await it.take(record)

            assert refused.value.code is Code.OVERLOADED
            assert not it.commits.failed.done()


async def test_records_that_waited_for_the_database_are_committed_when_the_lock_ends(tmp_path: Path) -> None:
    record = claim("garden", at=NOW)

    async with pipeline(tmp_path, stalled_s=SOON_S) as it:
        with locked(tmp_path), pytest.raises(ProtocolError):
            await it.take(record)
        [again] = await it.take(record, origin=PEER)

        assert again.status is Status.KNOWN
        assert [past.record.id for past in await it.store.history(DOMAIN, "garden")] == [record.id]
        assert not it.commits.is_stalled


async def test_a_peer_waits_until_the_lock_ends(tmp_path: Path) -> None:
    async with pipeline(tmp_path, stalled_s=SOON_S) as it:
        with locked(tmp_path):
            taking = asyncio.create_task(it.take(claim("garden", at=NOW), origin=PEER))
            await wait_until_stalled(it)
            assert not taking.done()

        [outcome] = await taking

    assert outcome.status is Status.ACCEPTED


async def test_while_commits_are_stalled_no_client_adds_to_the_queue(tmp_path: Path) -> None:
    async with pipeline(tmp_path, stalled_s=SOON_S) as it:
        with locked(tmp_path):
            await wait_until_stalled(it)
            waiting = len(it.commits.uncommitted)

            with pytest.raises(ProtocolError) as refused:
                await it.take(claim("tower", at=NOW))

            assert refused.value.code is Code.OVERLOADED
            assert len(it.commits.uncommitted) == waiting


async def test_a_node_that_stops_does_not_wait_for_a_lock_that_lasts(tmp_path: Path) -> None:
    """Nobody was told that the record is durable, so it may be lost."""
    async with pipeline(tmp_path, stalled_s=SOON_S) as it:
        with locked(tmp_path) as shell:
            await wait_until_stalled(it)
            await it.commits.close()
            stored = await it.store.history(DOMAIN, "another")
            shell.execute("ROLLBACK")  # the try that is under way in the store's thread may find the lock free now

        assert stored == []


async def test_a_cursor_also_waits_for_the_lock(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        with locked(tmp_path):
            putting = asyncio.create_task(it.store.put_cursors([]))
            done, _ = await asyncio.wait([putting], timeout=SOON_S)
            assert not done
        await putting


@pytest.mark.parametrize("name", ["dnarc.db", "dnarc.db-wal"])
@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
async def test_no_record_is_acknowledged_after_the_file_was_removed(tmp_path: Path, name: str, replaced: bool) -> None:
    """SQLite would go on writing to it, and the next start would find nothing."""
    async with pipeline(tmp_path) as it:
        await it.take(claim("garden", at=NOW))
        (tmp_path / name).unlink()
        if replaced:
            (tmp_path / name).touch()

        with pytest.raises(ProtocolError) as refused:
            await it.take(claim("tower", at=NOW))

        assert refused.value.code is Code.OVERLOADED
        assert "was removed or replaced" in str(it.commits.failed.exception())


async def test_a_single_claim_that_waited_in_vain_is_counted_as_refused(tmp_path: Path) -> None:
    claimed = signed(claim("garden", at=NOW))

    async with pipeline(tmp_path, stalled_s=SOON_S) as it:
        with locked(tmp_path), pytest.raises(ProtocolError):
            await it.ingest.take_one(submission(claimed), CLIENT)

        assert it.ingest.intake.refused[Trust.CLIENT, Code.OVERLOADED] == 1


async def test_a_commit_waits_until_as_many_clients_are_back_as_the_last_one_answered(tmp_path: Path) -> None:
    """Otherwise two halves of the clients would take turns, and each half would pay for a commit."""
    async with pipeline(tmp_path, delay=patient()) as it:
        await it.take(claim("garden", at=NOW), claim("tower", at=NOW))

        first = await begin(it, "bridge")
        await asyncio.gather(first, it.take(claim("well", at=NOW)))

        assert commit_sizes(it) == [(2, 2)]


async def test_a_commit_waits_for_records_that_are_being_verified(tmp_path: Path) -> None:
    """They are here already, so a commit without them would save nobody time."""
    async with pipeline(tmp_path, delay=CommitDelay(wait_s_max=60.0, waited_commits=0)) as it:
        await it.take(claim("garden", at=NOW), claim("tower", at=NOW), claim("bridge", at=NOW))

        in_a_thread = it.take(claim("well", at=NOW), claim("mill", at=NOW))
        in_the_loop = it.take(claim("road", at=NOW))
        await asyncio.gather(in_a_thread, in_the_loop)

        assert commit_sizes(it) == [(4, 2)]


async def test_a_client_that_is_alone_waits_for_nobody(tmp_path: Path) -> None:
    async with pipeline(tmp_path, delay=patient()) as it:
        await it.take(claim("garden", at=NOW))
        await it.take(claim("tower", at=NOW))

        assert commit_sizes(it) == [(1, 2)]


async def test_a_commit_with_records_of_a_peer_waits_for_nobody(tmp_path: Path) -> None:
    """A link acknowledges after the commit, and a batch of a link has enough records to pay for a commit."""
    async with pipeline(tmp_path, delay=patient()) as it:
        await it.take(claim("garden", at=NOW), claim("tower", at=NOW))

        of_a_client = await begin(it, "bridge")
        await it.take(claim("bridge", at=NOW + 1), origin=PEER)
        await of_a_client

        assert commit_sizes(it) == [(2, 2)]


async def test_whoever_drains_the_queue_ends_the_wait_for_more_records(tmp_path: Path) -> None:
    """A node that stops would wait for clients that it takes nothing from."""
    async with pipeline(tmp_path, delay=patient()) as it:
        await it.take(claim("garden", at=NOW), claim("tower", at=NOW))

        taking = await begin(it, "bridge")
        await it.commits.drain()

        assert taking.done()
        assert commit_sizes(it) == [(1, 1), (2, 1)]


async def test_a_commit_that_waited_in_vain_happens_all_the_same(tmp_path: Path) -> None:
    async with pipeline(tmp_path, delay=CommitDelay(wait_s_max=0.01, waited_commits=1e9)) as it:
        await it.take(claim("garden", at=NOW), claim("tower", at=NOW))

        [outcome] = await it.take(claim("bridge", at=NOW))

        assert outcome.status is Status.ACCEPTED


async def test_an_event_about_a_recent_record_shows_it_from_memory(tmp_path: Path) -> None:
    """Witnesses speak about a record soon after it came, and to read it back would cost more than their words."""
    early, late = claim("garden", at=NOW), claim("shed", at=NOW)
    in_memory = SignedRecord("0" * 128, early)
    shown: list[StoredEvent] = []

    store = await SqliteStore.open(tmp_path / "dnarc.db")
    commits = Commits(store, await Indexes.load(store), records_max=10)
    try:
        await commits.enqueue(founding_of(early))
        commits.recent.add([in_memory])
        commits.watchers.append(lambda committed: shown.extend(committed.events))
        batch = founding_of(late)
        batch.events += [Event(EventType.ACCEPTED, late), Event(EventType.FINAL, early)]
        await commits.enqueue(batch)
    finally:
        await commits.close()
        await store.close()

    assert [(it.event.type, it.event.record, it.signature) for it in shown] == [
        (EventType.ACCEPTED, late, signed(late).signature),
        (EventType.FINAL, early, in_memory.signature),
    ]


def founding_of(record: Record) -> Batch:
    state, verdict = EMPTY.extend(record)
    return Batch([StoredRecord(signed(record), verdict, NOW)], states={(record.domain, record.label): state})
