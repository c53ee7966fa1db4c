"""What a node says of its own health, and when it logs that."""

import os
from itertools import count
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.clocks import REMEDY
from node.disk import LocalDisk, store_bytes
from node.monitoring import health
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from tests.node.http_sync.sync_network import NOW, befriend, running, sync
from tests.node.links import network

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


async def test_a_disk_with_little_room_is_a_warning_long_before_it_is_full(tmp_path: Path) -> None:
    disk, seconds = ShrinkingDisk(), count(1_000_000, 2)
    world = World(now_s=lambda: float(next(seconds)), disk=disk)
    settings = Settings(port=0, data=tmp_path, sync_interval=None)

    async with Node(settings, world) as node:
        disk.free = settings.disk_free_bytes_soft
        enough = node.warnings()
        disk.free -= 1
        little, problems = node.warnings(), node.health()
        disk.free = settings.disk_free_bytes_min - 1
        full = node.warnings()

    assert (enough, problems, full) == ([], [], [])
    (warning,) = little
    assert warning.startswith(f"less than {settings.disk_free_bytes_soft} bytes are free on the disk")


@pytest.mark.parametrize(("soft", "is_warned"), [(None, False), (2**40, False), (1, True)])
async def test_a_store_larger_than_its_soft_limit_is_a_warning_and_no_problem(
    tmp_path: Path, soft: int | None, is_warned: bool
) -> None:
    async with Node(Settings(port=0, data=tmp_path, sync_interval=None, store_bytes_soft=soft)) as node:
        warnings, problems = node.warnings(), node.health()

    assert (len(warnings), problems) == (int(is_warned), [])


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


AHEAD_S = 12


def clock_words(peer: str, words: str) -> str:
    return f"the clock of {peer} is {words} this node's: records may be refused as too_new or too_old; {REMEDY}"


async def test_a_clock_that_differs_is_a_warning_once_the_peer_has_answered(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b", now=NOW + AHEAD_S) as b:
        await befriend(a, b, pull=True)
        before = a.warnings()

        await sync(a, "pull", b.url)

        assert (before, a.warnings()) == ([], [clock_words(b.url, "12 s ahead of")])


async def test_both_ends_of_a_link_warn_of_clocks_that_differ(tmp_path: Path) -> None:
    clock = [float(NOW)]
    async with (
        network.running(tmp_path / "a", now_s=lambda: clock[0]) as a,
        network.running(tmp_path / "b", now_s=lambda: NOW + AHEAD_S) as b,
    ):
        await network.befriend(a, b)
        await network.until_live(a, b)
        here, there = a.warnings(), b.warnings()

        clock[0] += AHEAD_S
        corrected = a.warnings()

    assert here == [clock_words(network.ws(b), "12 s ahead of")]
    assert there == [clock_words(a.key.public, "11 s behind")]  # whole seconds: at least so many
    assert corrected == []


async def test_a_node_whose_clock_differs_from_all_its_peers_is_told_to_set_its_own(tmp_path: Path) -> None:
    async with (
        running(tmp_path / "a") as a,
        running(tmp_path / "b", now=NOW + AHEAD_S) as b,
        running(tmp_path / "c", now=NOW + AHEAD_S) as c,
    ):
        for peer in (b, c):
            await befriend(a, peer, pull=True)
            await sync(a, "pull", peer.url)

        assert a.warnings()[-1] == (
            "the clocks of all 2 peers differ from this node's in the same way: set this node's clock"
        )
