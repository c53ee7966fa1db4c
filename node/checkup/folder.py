"""The data folder: who may read its secrets, whether the database is whole, how much room is left, where cursors stand.

All of it is read only, so it may be looked at while a node runs.
"""

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from node.checkup.finding import Finding, fail, ok, warn
from node.disk import store_bytes
from node.monitoring.health import LOG_BYTES_WARNED
from node.peers import hidden
from node.store.contract import StoreError
from node.store.sqlite import inspection
from node.store.sqlite.inspection import Inspection

_SECRETS: Final = ("node.key", "admin-token")
_OTHERS_MAY_READ: Final = 0o077
_OTHERS_MAY_WRITE: Final = 0o022

_ROOM_WARNED: Final = 1.0
"""Free space in sizes of the database: a copy of it, for a backup, needs one."""


def is_held(folder: Path) -> bool:
    """Whether a node runs on it."""
    with suppress(FileNotFoundError), (folder / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def check_folder(folder: Path, numbers: Mapping[str, float], now_s: float) -> list[Finding]:
    """Everything about the folder. `numbers` are the settings of `exposure.numbers_of`."""
    found: list[Finding] = []
    try:
        found += [*_check_files(folder), *_check_room(folder, numbers)]
        inspected = inspection.inspect(folder / "dnarc.db")
        found += [*_check_database(folder, inspected), *_check_cursors(inspected, numbers, now_s)]
        found += _check_passwords(folder, inspected)
    except StoreError as error:
        found.append(fail("database", str(error), "restore a backup, or start anew and fetch all from peers"))
    except OSError as error:
        found.append(fail("permissions", str(error), "run this as the user that runs the node"))
    return found


def _check_files(folder: Path) -> Iterator[Finding]:
    if folder.stat().st_mode & _OTHERS_MAY_WRITE:
        remedy = f"chmod go-w {folder}"
        yield fail("permissions.folder", f"others may write into {folder}, and so replace the key", remedy)
    for name in _SECRETS:
        path = folder / name
        if not path.exists():
            yield warn(f"permissions.{name}", f"{path} is missing", "the next start makes a new one")
        elif path.stat().st_mode & _OTHERS_MAY_READ:
            mode = f"{path.stat().st_mode & 0o777:04o}"
            remedy = f"chmod 600 {path}; if others may have read it, make a new one"
            yield fail(f"permissions.{name}", f"{path} has mode {mode}: others may use it", remedy)
        elif path.stat().st_uid != (folder / "dnarc.db").stat().st_uid:
            yield fail(f"permissions.{name}", f"{path} belongs to another user than dnarc.db", "chown all files to one")
        else:
            yield ok(f"permissions.{name}", "for its owner alone")


def _check_room(folder: Path, numbers: Mapping[str, float]) -> Iterator[Finding]:
    free_bytes, sizes = shutil.disk_usage(folder).free, store_bytes(folder)
    needed = numbers.get("disk_free_bytes_min", 0)
    detail = f"{_gigabytes(free_bytes)} free, the database has {_gigabytes(sizes.get('dnarc.db', 0))}"
    if free_bytes < needed:
        yield fail("disk", f"{detail}: less than disk_free_bytes_min, so writes get 507", "free space on this disk")
    elif free_bytes < _ROOM_WARNED * sum(sizes.values()):
        yield warn("disk", f"{detail}: a copy of it does not fit", "free space, or make backups on another disk")
    else:
        yield ok("disk", detail)
    log_bytes = sizes.get("dnarc.db-wal", 0)
    if log_bytes > LOG_BYTES_WARNED:
        remedy = "end whatever reads the database for long (a shell, a backup): the next commits shrink it"
        yield warn("database.log", f"the write-ahead log has {_gigabytes(log_bytes)}", remedy)
    else:
        yield ok("database.log", f"{_gigabytes(log_bytes)}")


def _check_database(folder: Path, inspected: Inspection) -> Iterator[Finding]:
    if inspected.version > inspected.version_known:
        remedy = "run the newer dnarc that wrote it"
        yield fail("database.version", f"{inspected.version}, and this is {inspected.version_known}", remedy)
    elif inspected.version < inspected.version_known:
        detail = f"{inspected.version}: the next start brings it to {inspected.version_known}"
        yield warn("database.version", detail, "make a backup before that start")
    else:
        yield ok("database.version", str(inspected.version))
    faults = inspection.faults(folder / "dnarc.db")
    if faults:
        remedy = "stop the node and run `dnarc rebuild`; where that cannot help, restore a backup"
        yield fail("database.integrity", "; ".join(faults), remedy)
    else:
        yield ok("database.integrity", "the file is whole")


def _check_cursors(inspected: Inspection, numbers: Mapping[str, float], now_s: float) -> Iterator[Finding]:
    latest = now_s + numbers.get("max_skew", 0)
    ahead = [cursor for cursor in inspected.cursors if cursor.timestamp > latest]
    for cursor in ahead:
        detail = f"{cursor.direction} of {cursor.domain} with {hidden(cursor.peer)} stands at {cursor.timestamp}, ahead"
        yield fail("cursors", f"{detail} of the clock", "set the clock; then remove the peer and add it again")
    if not ahead:
        yield ok("cursors", f"{len(inspected.cursors)}, none ahead of the clock")


def _check_passwords(folder: Path, inspected: Inspection) -> Iterator[Finding]:
    has_password = any(urlsplit(peer.url or "").password for peer in inspected.peers)
    if has_password and (folder / "dnarc.db").stat().st_mode & 0o044 and folder.stat().st_mode & 0o011:
        detail = "others may read dnarc.db, and the URLs of peers in it hold passwords"
        yield fail("permissions.dnarc.db", detail, f"chmod 700 {folder}")


def _gigabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e7 else f"{size_bytes / 1e6:.2f} MB"
