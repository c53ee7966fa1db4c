"""What a node needs to start, and what it makes and keeps."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.disk import CannotStartError
from node.node import Node
from node.settings.settings import Settings

MORE_THAN_ANY_DISK = 2**62
"""Bytes."""


def settings(folder: Path) -> Settings:
    return Settings(port=0, data=folder)


async def test_the_first_start_makes_secrets_that_only_the_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"

    async with Node(settings(folder)) as node:
        first = (node.key.public, node.admin_token)
    async with Node(settings(folder)) as node:
        second = (node.key.public, node.admin_token)

    assert first == second
    assert {(folder / name).stat().st_mode & 0o777 for name in ("node.key", "admin-token")} == {0o600}


@pytest.mark.parametrize("name", ["node.key", "admin-token"])
async def test_a_secret_that_others_may_read_is_warned_of_at_the_start(tmp_path: Path, name: str) -> None:
    async with Node(settings(tmp_path)):
        pass
    (tmp_path / name).chmod(0o640)

    with capture_logs() as logs:
        async with Node(settings(tmp_path)):
            pass

    (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert (warning["path"], warning["mode"]) == (str(tmp_path / name), "0640")


async def test_a_second_node_on_the_same_folder_does_not_start(tmp_path: Path) -> None:
    async with Node(settings(tmp_path)):
        with pytest.raises(CannotStartError, match="another node runs on"):
            async with Node(settings(tmp_path)):
                pass


@pytest.mark.parametrize("content", ["", "too short", "Z" * 64, "é" * 64])
async def test_a_node_with_a_damaged_key_does_not_start_and_keeps_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "node.key"
    path.write_text(content)

    with pytest.raises(CannotStartError, match=r"node\.key"):
        async with Node(settings(tmp_path)):
            pass

    assert path.read_text() == content


async def test_a_node_is_healthy_until_its_disk_is_full(tmp_path: Path) -> None:
    async with (
        Node(settings(tmp_path)) as healthy,
        Node(Settings(port=0, data=tmp_path / "b", disk_free_bytes_min=MORE_THAN_ANY_DISK)) as full,
    ):
        problems, problems_when_full = healthy.health(), full.health()

    assert problems == []
    assert "bytes are free on the disk" in problems_when_full[0]
