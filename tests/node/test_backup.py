"""A backup is a complete and private data folder, made at one moment while the node runs."""

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from node.backup import back_up, dump_command
from node.store.contract import StoreError
from tests.node.http_sync.sync_network import claims, give, held, ids, running

TIMEOUT_S = 120
BATCHES = 50
BATCH_RECORDS = 20


async def test_the_copy_of_a_running_node_starts_as_the_same_node(tmp_path: Path) -> None:
    records = claims(5)

    async with running(tmp_path / "data") as node:
        await give(node, *records)
        copied = await asyncio.get_running_loop().run_in_executor(
            None, back_up, tmp_path / "data", tmp_path / "backups" / "copy"
        )
        await give(node, *claims(1, label="later"))
        key, epoch = node.key.public, node.store.epoch
    async with running(tmp_path / "backups" / "copy") as restored:
        assert held(restored) == ids(records)
        assert (restored.key.public, restored.store.epoch) == (key, epoch)

    assert copied == len(records)


async def test_a_copy_made_while_records_come_in_holds_whole_batches(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as node:
        await give(node, *claims(1))

        async def write() -> None:
            for number in range(BATCHES):
                await give(node, *claims(BATCH_RECORDS, label=f"batch-{number}"))

        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S):
            copied, _ = await asyncio.gather(
                loop.run_in_executor(None, back_up, tmp_path / "data", tmp_path / "copy"), write()
            )

    with closing(sqlite3.connect(tmp_path / "copy" / "dnarc.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert copy.execute("SELECT count(*) FROM records").fetchone() == (copied,)
        assert (copied - 1) % BATCH_RECORDS == 0, "a batch is in the copy as a whole or not at all"


async def test_only_the_owner_can_read_a_backup(tmp_path: Path) -> None:
    async with running(tmp_path / "data"):
        pass

    back_up(tmp_path / "data", tmp_path / "copy")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "copy").iterdir()}
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    assert set(modes) == {"dnarc.db", "node.key", "admin-token"}
    assert (modes["node.key"], modes["admin-token"]) == (0o600, 0o600)


async def test_a_backup_never_replaces_a_folder(tmp_path: Path) -> None:
    async with running(tmp_path / "data"):
        pass
    back_up(tmp_path / "data", tmp_path / "copy")

    with pytest.raises(StoreError, match="exists already"):
        back_up(tmp_path / "data", tmp_path / "copy")


@pytest.mark.parametrize("damage", [b"nonsense" * 1_000, None])
def test_a_failed_backup_leaves_no_files(tmp_path: Path, damage: bytes | None) -> None:
    (tmp_path / "data").mkdir()
    if damage is not None:
        (tmp_path / "data" / "dnarc.db").write_bytes(damage)

    with pytest.raises(StoreError):
        back_up(tmp_path / "data", tmp_path / "copy")

    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("postgresql://me:secret@host/claims", "pg_dump --format=custom --file=copy postgresql://me@host/claims"),
        (
            "postgresql:///claims?host=/run/pg&password=secret&search_path=one,public",
            "pg_dump --format=custom --file=copy --schema=one 'postgresql:///claims?host=/run/pg'",
        ),
        (
            "postgresql://host:5433/claims?sslmode=verify-full",
            "pg_dump --format=custom --file=copy 'postgresql://host:5433/claims?sslmode=verify-full'",
        ),
    ],
)
def test_the_command_that_copies_a_database_holds_no_password(url: str, command: str) -> None:
    assert dump_command(url, "copy") == command
