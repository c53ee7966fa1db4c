"""What a node says of its own health, and when it logs that."""

import os
from itertools import count
from pathlib import Path

from structlog.testing import capture_logs

from node.disk import LocalDisk, store_bytes
from node.monitoring import health
from node.node import Node
from node.settings import Settings
from node.world import World

PLENTY_BYTES = 10**12


def test_a_problem_is_logged_once_when_it_begins_and_once_when_it_ends() -> None:
    found: list[str] = []
    watch = health.Watch(lambda: found)

    with capture_logs() as logs:
        for now in ([], ["full"], ["full"], ["full", "broken"], ["broken"], ["broken"], []):
            found[:] = now
            watch.look()

    assert [(entry["event"], entry["problem"], entry["log_level"]) for entry in logs] == [
        ("not well", "full", "error"),
        ("not well", "broken", "error"),
        ("well again", "full", "info"),
        ("well again", "broken", "info"),
    ]


async def test_a_full_disk_is_a_problem_until_there_is_room_again(tmp_path: Path) -> None:
    disk, seconds = ShrinkingDisk(), count(1_000_000, 2)  # the node looks at the disk once a second at most
    world = World(now_s=lambda: float(next(seconds)), disk=disk)

    async with Node(Settings(port=0, data=tmp_path, sync_interval=None), world) as node:
        well = node.health()
        disk.free = 0
        full = node.health()
        disk.free = PLENTY_BYTES
        well_again = node.health()

    assert (well, len(full), well_again) == ([], 1, [])


class ShrinkingDisk(LocalDisk):
    """A disk whose free bytes a test sets."""

    free = PLENTY_BYTES

    def free_bytes(self, folder: Path) -> int:
        return self.free


async def test_a_write_ahead_log_that_does_not_shrink_is_a_warning_and_no_problem(tmp_path: Path) -> None:
    async with Node(Settings(port=0, data=tmp_path, sync_interval=None)) as node:
        before = node.warnings()
        size_bytes = store_bytes(tmp_path)["dnarc.db-wal"]
        # SQLite does not read beyond the log's last page, and the file is sparse there.
        os.truncate(tmp_path / "dnarc.db-wal", health.LOG_BYTES_WARNED + 1)
        problems, warnings = node.health(), node.warnings()
        os.truncate(tmp_path / "dnarc.db-wal", size_bytes)

    assert (before, problems) == ([], [])
    assert len(warnings) == 1
    assert warnings[0].startswith(f"the write-ahead log has {health.LOG_BYTES_WARNED + 1} bytes")
