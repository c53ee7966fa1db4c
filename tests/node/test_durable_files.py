"""Durable files: whole or not there, whenever the power fails."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.durable_files import give_name, write_durably, write_secret


def write(path: Path) -> None:
    write_durably(path, b"new")


def name_a_draft(path: Path) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(b"new")
    give_name(draft, path)


@pytest.mark.parametrize("work", [write, name_a_draft])
def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Path], None]
) -> None:
    """A power cut in the middle leaves the old content or the new one."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    synced: list[tuple[int, bytes]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", note)

    work(path)

    assert synced == [(path.stat().st_ino, b"old"), (tmp_path.stat().st_ino, b"new")]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_left_of_a_file_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"half of something longer")

    write_durably(tmp_path / "file", b"whole")

    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"whole")]


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_a_secret_is_its_owners_alone_whatever_the_umask_and_replaces_nothing(tmp_path: Path, umask: int) -> None:
    path, before = tmp_path / "node.key", os.umask(umask)
    try:
        write_secret(path, b"secret")
    finally:
        os.umask(before)

    assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o600, b"secret")
    with pytest.raises(FileExistsError):
        write_secret(path, b"another")
