"""The data folder: who can read its secrets, whether they and the database are whole, how much room the disk has left,
and where cursors stand.

All checks only read, so they also work while a node runs on the folder.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from node.checkup import database
from node.checkup.finding import Finding, fail, ok, warn
from node.disk import ADMIN_TOKEN, NODE_KEY, OTHERS_MAY_READ, STORE_FILES, CannotStartError, LocalDisk, store_bytes
from node.faults import READ_ONLY_REMEDY, of_file
from node.monitoring.health import LOG_BYTES_WARNED
from node.store.contract import StoreError
from node.store.inspection import Inspection
from node.store.sqlite import inspection
from node.store.sqlite.faults import DAMAGED
from protocol.signing import SEED_BYTES

_NEXT_START: Final = {
    NODE_KEY: "restore it from a backup: the next start makes a new key, and every peer has to add this node anew",
    ADMIN_TOKEN: "the next start makes a new token",
}
"""The secrets, and what to do if one is missing."""

_OTHERS_MAY_WRITE: Final = 0o022

_ROOM_WARNED: Final = 1.0
"""Free space, in sizes of the database, below which a warning comes: a backup on the same disk needs this much."""


def is_held(folder: Path) -> bool:
    """Whether a node runs on the folder. Raises: OSError: its lock cannot be looked at."""
    with suppress(FileNotFoundError), (folder / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def check_folder(folder: Path, numbers: Mapping[str, float], now_s: float, url: str | None = None) -> list[Finding]:
    """All findings about the folder. `numbers` are the settings of `exposure.numbers_of`.

    `url` is that of the PostgreSQL database in which the records are. None: they are in the folder.
    """
    found: list[Finding] = []
    try:
        found += [*_check_rights(folder, url), *_check_secrets(folder)]
        if url is not None:
            return found + database.check_database(url, numbers, now_s)
        found += _check_room(folder, numbers)
        inspected = inspection.inspect(folder / "dnarc.db")
        found += _check_database(folder, inspected)
        if inspected.version == inspected.version_known:  # otherwise the tables are not read
            found += [*database.check_cursors(inspected, numbers, now_s), *_check_passwords(folder, inspected)]
            found += _check_removals(inspected)
    except StoreError as error:
        found.append(fail("database", str(error), error.remedy))
    except OSError as error:
        fault = of_file(error, folder)
        found.append(fail("permissions", f"{error.filename or folder}: {fault.reason}", fault.remedy))
    return found


def _check_rights(folder: Path, url: str | None) -> Iterator[Finding]:
    if folder.stat().st_mode & _OTHERS_MAY_WRITE:
        detail = f"other users may write into {folder}, so they can replace the key"
        yield fail("permissions.folder", detail, f"chmod go-w {folder}")
    owned = folder if url is not None else folder / "dnarc.db"
    owner = owned.stat().st_uid
    for name, remedy in _NEXT_START.items():
        path = folder / name
        if not path.exists():
            yield warn(f"permissions.{name}", f"{path} is missing", remedy)
        elif path.stat().st_mode & OTHERS_MAY_READ:
            mode = f"{path.stat().st_mode & 0o777:04o}"
            remedy = f"chmod 600 {path}; if another user may have read it, make a new one"
            yield fail(f"permissions.{name}", f"{path} has mode {mode}, so other users may use it", remedy)
        elif path.stat().st_uid != owner:
            remedy = f"chown -R all files in {folder} to the user that runs the node"
            yield fail(f"permissions.{name}", f"{path} belongs to another user than {owned.name}", remedy)
        else:
            yield ok(f"permissions.{name}", "only its owner may read it")


def _check_secrets(folder: Path) -> Iterator[Finding]:
    """Check that a node would take the key and the token. `LocalDisk.secret` makes nothing if the file exists."""
    for name in _NEXT_START:
        if (folder / name).exists():
            try:
                LocalDisk().secret(folder / name, SEED_BYTES, os.urandom)
            except CannotStartError as error:
                yield fail(name, str(error), error.remedy)


def _check_room(folder: Path, numbers: Mapping[str, float]) -> Iterator[Finding]:
    free_bytes, sizes = shutil.disk_usage(folder).free, store_bytes(folder)
    needed = numbers.get("disk_free_bytes_min", 0)
    detail = f"{_gigabytes(free_bytes)} are free, and the database takes {_gigabytes(sizes.get(STORE_FILES[0], 0))}"
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield fail("disk", "the file system is mounted read-only", READ_ONLY_REMEDY)
    elif free_bytes < needed:
        yield fail("disk", f"{detail}: less than disk_free_bytes_min, so writes get 507", "free space on this disk")
    elif free_bytes < _ROOM_WARNED * sum(sizes.values()):
        yield warn("disk", f"{detail}: a backup does not fit", "free space, or make backups on another disk")
    else:
        yield ok("disk", detail)
    log_bytes = sizes.get(STORE_FILES[1], 0)
    if log_bytes > LOG_BYTES_WARNED:
        remedy = "end the program that reads the database for a long time (`fuser` names it); then it shrinks by itself"
        yield warn("database.log", f"the write-ahead log has {_gigabytes(log_bytes)}", remedy)
    else:
        yield ok("database.log", f"the write-ahead log has {_gigabytes(log_bytes)}")


def _check_database(folder: Path, inspected: Inspection) -> Iterator[Finding]:
    yield _check_version(folder, inspected)
    faults = inspection.faults(folder / "dnarc.db")
    if faults:
        remedy = f"stop the node and run `dnarc rebuild --data {folder}`; if that cannot help: {DAMAGED}"
        yield fail("database.integrity", "; ".join(faults), remedy)
    else:
        yield ok("database.integrity", "the file is whole")


def _check_version(folder: Path, inspected: Inspection) -> Finding:
    if not (folder / "dnarc.db").stat().st_size:
        return fail("database.version", "the database is empty, so all records are lost", DAMAGED)
    if inspected.version > inspected.version_known:
        detail = f"a newer dnarc wrote the database: version {inspected.version}, and this is {inspected.version_known}"
        return fail("database.version", detail, "run the newer dnarc")
    if inspected.version < inspected.version_known:
        detail = f"version {inspected.version}: the next start brings it to {inspected.version_known}"
        return warn("database.version", detail, "make a backup before that start")
    return ok("database.version", f"version {inspected.version}")


def _check_removals(inspected: Inspection) -> Iterator[Finding]:
    if inspected.removals:
        words = f"{len(inspected.removals)} removals are not finished, so some bytes may still be in the files"
        yield warn("removals", words, "start the node again; it needs free space of twice the size of dnarc.db")


def _check_passwords(folder: Path, inspected: Inspection) -> Iterator[Finding]:
    has_password = any(urlsplit(peer.url or "").password for peer in inspected.peers)
    if has_password and (folder / "dnarc.db").stat().st_mode & 0o044 and folder.stat().st_mode & 0o011:
        detail = "other users may read dnarc.db, which holds passwords in the URLs of peers"
        yield fail("permissions.dnarc.db", detail, f"chmod 700 {folder}")


def _gigabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e7 else f"{size_bytes / 1e6:.2f} MB"
