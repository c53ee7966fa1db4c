"""A node that is killed in the middle of ingest loses nothing that it acknowledged."""

import asyncio
import sqlite3
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import aiohttp

from node.store.contract import Store
from node.store.sqlite import SqliteStore
from protocol.records.record import SignedRecord
from protocol.records.replay import replay
from tests.history import ALICE, DOMAIN, claim, signed

RECORDS = 10_000
LABELS = 500
BATCH = 100
KILL_AFTER = 3_000
"""Acknowledged records after which the node is killed, with more on their way."""


async def test_kill_9_in_the_middle_of_10_000_claims_loses_nothing_acknowledged(tmp_path: Path) -> None:
    records = records_now()

    async with serving(tmp_path) as (process, url):
        acknowledged = await write_until_killed(process, url, records)
    async with serving(tmp_path) as (_, url), aiohttp.ClientSession(url) as session:
        missing = [it for it in sorted(acknowledged) if not await holds(session, it)]

    assert KILL_AFTER <= len(acknowledged) < RECORDS
    assert missing == []
    with closing(sqlite3.connect(tmp_path / "dnarc.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    await check_state_is_replay(await SqliteStore.open(tmp_path / "dnarc.db"))


def records_now() -> list[SignedRecord]:
    now = int(time.time())
    return [signed(claim(f"label-{n % LABELS}", ALICE, now - 200 + n // LABELS, n=n)) for n in range(RECORDS)]


async def write_until_killed(
    process: Process, url: str, records: list[SignedRecord], kill_after: int = KILL_AFTER
) -> set[str]:
    """Write from several connections until enough is acknowledged, then kill; returns the ids acknowledged."""
    acknowledged: set[str] = set()
    batches = [records[start : start + BATCH] for start in range(0, len(records), BATCH)]

    async def write(session: aiohttp.ClientSession) -> None:
        while batches and process.returncode is None:
            body = b"{%s}" % b",".join(
                b'"%s":%s' % (it.signature.encode(), it.record.canonical) for it in batches.pop(0)
            )
            with suppress(aiohttp.ClientError):  # killed: whether this batch was taken is not known
                async with session.put("/claims", data=body) as answer:
                    outcomes = await answer.json()
                acknowledged.update(it["id"] for it in outcomes.values() if it["status"] == "accepted")
            if len(acknowledged) >= kill_after and process.returncode is None:
                process.kill()

    async with aiohttp.ClientSession(url) as session, asyncio.TaskGroup() as writers:
        for _ in range(4):
            writers.create_task(write(session))
    return acknowledged


async def holds(session: aiohttp.ClientSession, record_id: str) -> bool:
    async with session.get(f"/records/{record_id}") as answer:
        return answer.status == 200


async def check_state_is_replay(store: Store) -> None:
    """Close the store afterwards."""
    try:
        for n in range(LABELS):
            history = await store.history(DOMAIN, f"label-{n}")
            judged = replay(past.record for past in history)
            states = await store.states([(DOMAIN, f"label-{n}")])
            assert states == ({(DOMAIN, f"label-{n}"): judged.state} if history else {})
            assert {past.record.id: past.verdict for past in history} == judged.verdicts
    finally:
        await store.close()


@asynccontextmanager
async def serving(folder: Path, *flags: str) -> AsyncIterator[tuple[Process, str]]:
    """A node as its own process on a free port, killed in the end if it still runs."""
    command = [str(Path(sys.executable).with_name("dnarc")), "serve", "--port", "0", "--data", str(folder), *flags]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield process, next(word for word in line.split() if word.startswith("http"))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
