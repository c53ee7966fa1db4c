"""What a node says of a data folder that it cannot use: each cause is brought about for real where this is possible."""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from node.backup import back_up
from node.disk import CannotStartError, FolderInUseError, LocalDisk
from node.store.contract import StoreError
from node.store.sqlite import SqliteStore, inspection, rebuilding
from node.store.sqlite.faults import DAMAGED, explain
from node.store.sqlite.schema import MIGRATIONS

SECRET_BYTES = 32


def hold(folder: Path) -> None:
    with LocalDisk().held(folder):
        pass


def make_secret(folder: Path) -> None:
    LocalDisk().secret(folder / "node.key", SECRET_BYTES, os.urandom)


def refusal(work: Callable[[Path], object], folder: Path) -> tuple[str, str]:
    """The reason and the remedy that the work in this folder ends with."""
    try:
        work(folder)
    except (CannotStartError, StoreError) as error:
        return str(error), error.remedy
    raise AssertionError("nothing was refused")


def test_a_folder_in_use_is_told_from_one_that_cannot_be_locked(tmp_path: Path) -> None:
    with LocalDisk().held(tmp_path), pytest.raises(FolderInUseError, match="another node runs on"):
        hold(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_no_other_node(tmp_path: Path, number: int) -> None:
    def cannot_lock(_descriptor: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    def hold_without_locks(folder: Path) -> None:
        with LocalDisk(cannot_lock).held(folder):
            pass

    reason, remedy = refusal(hold_without_locks, tmp_path)

    assert reason.startswith(f"{tmp_path} cannot be locked: its file system cannot lock files (")
    assert "local disk" in remedy


FOLDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a file": (lambda it: it / "file", "file exists"),
    "below a file": (lambda it: it / "file" / "data", "not a directory"),
    "in /proc": (lambda _: Path("/proc/dnarc"), "no such file or directory"),
    "links in a circle": (lambda it: it / "circle", "file exists"),
}


@pytest.mark.parametrize("cause", FOLDERS)
def test_a_data_folder_that_cannot_be_made_is_named_with_the_reason(cause: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    where, words = FOLDERS[cause]

    reason, remedy = refusal(hold, where(tmp_path))

    assert reason == f"the data folder {where(tmp_path)} cannot be used: {words}"
    assert remedy


@pytest.mark.parametrize("content", [b"", b"zz\n", b"\xff\xfe", b"00" * 31, b"A" * 64])
def test_a_damaged_key_is_restored_from_a_backup(tmp_path: Path, content: bytes) -> None:
    """A new key would make the node another one for its peers, so that is the last resort."""
    (tmp_path / "node.key").write_bytes(content)

    reason, remedy = refusal(make_secret, tmp_path)

    assert reason == f"{tmp_path / 'node.key'} is damaged: it should hold 64 lower-case hex digits"
    assert remedy.startswith("restore it from a backup; without one, move it away")


def test_a_damaged_token_may_be_made_anew(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("short")

    _, remedy = refusal(lambda it: LocalDisk().secret(it / "admin-token", SECRET_BYTES, os.urandom), tmp_path)

    assert remedy == "move it away, and the node makes a new token"


def test_a_folder_in_the_place_of_a_secret_is_named(tmp_path: Path) -> None:
    (tmp_path / "node.key").mkdir()

    reason, remedy = refusal(make_secret, tmp_path)

    assert reason == f"{tmp_path / 'node.key'} cannot be read: is a directory"
    assert "move it away" in remedy


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A folder with an empty store."""
    folder = tmp_path / "data"
    folder.mkdir()
    await (await SqliteStore.open(folder / "dnarc.db")).close()
    return folder


def overwrite(data: Path) -> None:
    (data / "dnarc.db").write_bytes(b"nonsense" * 4_000)


def cut_off(data: Path) -> None:
    os.truncate(data / "dnarc.db", 20_000)


def empty(data: Path) -> None:
    (data / "dnarc.db").write_bytes(b"")


def replace_by_folder(data: Path) -> None:
    (data / "dnarc.db").unlink()
    (data / "dnarc.db").mkdir()


def make_newer(data: Path) -> None:
    with closing(sqlite3.connect(data / "dnarc.db")) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def inspect(data: Path) -> object:
    return inspection.faults(data / "dnarc.db")


def rebuild(data: Path) -> object:
    return rebuilding.rebuild(data / "dnarc.db")


def copy(data: Path) -> object:
    return back_up(data, data.with_name("copy"))


STORES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "overwritten": (overwrite, "the file is no SQLite database", DAMAGED),
    "cut off": (cut_off, "the file is damaged", DAMAGED),
    "replaced by a folder": (replace_by_folder, "is a folder", "a file belongs there: move the folder away"),
}


@pytest.mark.parametrize("work", [inspect, rebuild, copy])
@pytest.mark.parametrize("cause", STORES)
def test_a_store_that_is_damaged_is_named_by_whoever_reads_it(
    cause: str, work: Callable[[Path], object], data: Path
) -> None:
    damage, words, remedy = STORES[cause]
    damage(data)

    reason, said = refusal(work, data)

    assert reason.startswith(str(data / "dnarc.db"))
    assert words in reason
    assert said == remedy


@pytest.mark.parametrize("cause", STORES)
async def test_a_node_does_not_start_on_a_store_that_is_damaged(cause: str, data: Path) -> None:
    damage, words, remedy = STORES[cause]
    damage(data)

    with pytest.raises(StoreError, match=words) as refused:
        await SqliteStore.open(data / "dnarc.db")

    assert refused.value.remedy == remedy


@pytest.mark.parametrize("work", [lambda it: rebuilding.count_steps(it / "dnarc.db"), copy], ids=["rebuild", "copy"])
def test_a_store_that_is_empty_has_lost_its_records(work: Callable[[Path], object], data: Path) -> None:
    empty(data)

    reason, remedy = refusal(work, data)

    assert (reason, remedy) == (f"{data / 'dnarc.db'}: the file holds no store of a node", DAMAGED)


@pytest.mark.parametrize("is_check", [True, False])
def test_a_store_of_a_newer_version_needs_that_version(data: Path, is_check: bool) -> None:
    make_newer(data)

    reason, remedy = refusal(lambda it: rebuilding.rebuild(it / "dnarc.db", is_check=is_check), data)

    assert reason.startswith("a newer dnarc wrote the database")
    assert remedy == "run the newer dnarc, or name another data folder"


def test_a_program_that_holds_the_store_is_found_by_a_command(data: Path) -> None:
    path = data / "dnarc.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as ours,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as refused:
            ours.execute("BEGIN IMMEDIATE")

    explained = explain(refused.value, path)

    assert str(explained) == f"another program holds {path}"
    assert explained.remedy == f"`fuser {path}` names it: end it, and try again"
