"""A commit that only has to wait loses nothing and ends nothing."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.outcome import Status
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
