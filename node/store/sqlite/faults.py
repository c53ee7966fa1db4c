"""Faults of SQLite, in words: what its error codes mean for a data folder, and what an operator does.

SQLite says "unable to open database file" if a right is missing, if a folder stands in the place of the file, and if
the file system is mounted read-only (https://sqlite.org/rescode.html). So this module looks at the files, too.
"""

import os
import resource
import sqlite3
from errno import ENOSPC, EROFS
from pathlib import Path
from typing import Final

from node import faults
from node.store.contract import StoreError

DAMAGED: Final = (
    "stop the node and restore a backup; without one, keep node.key, move dnarc.db* away, and let the peers bring the "
    "records back"
)

_LOCAL_DISK: Final = "keep the data folder on a local disk, because network file systems lose locks"


def explain(error: Exception, path: Path) -> StoreError:
    """The reason and the remedy behind an error of SQLite. `path` is that of the database."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if path.is_dir():
        return StoreError(f"{path} is a folder", "a file belongs there: move the folder away")
    match code:
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return _not_accessible(error, path)
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_IOERR:
            return _not_written(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"another program holds {path}", f"`fuser {path}` names it: end it, and try again")
        case sqlite3.SQLITE_ERROR if "no such table" in str(error):
            return StoreError(f"{path}: the file holds no store of a node", DAMAGED)
    reason, remedy = _REASONS.get(code, (str(error), "check that the path is that of a node's store, and the disk"))
    return StoreError(f"{path}: {reason}", remedy)


def _not_written(path: Path) -> StoreError:
    """SQLite also says "disk I/O error" if files may not grow, and if its shared memory finds no room on the disk."""
    if path.parent.is_dir() and not os.statvfs(path.parent).f_bavail:
        return _full(path)
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        remedy = "raise the limit on the size of files (`ulimit -f`, LimitFSIZE); if it is not reached, see `dmesg`"
        return StoreError(f"{path}: a write failed (disk I/O error)", remedy)
    remedy = "`dmesg` says how; copy the folder to another disk"
    return StoreError(f"{path}: the disk fails (disk I/O error)", remedy)


def _not_accessible(error: Exception, path: Path) -> StoreError:
    """A file that cannot be opened or written. In WAL mode SQLite writes beside the file even to read it."""
    folder = path.parent
    if not folder.is_dir():
        return StoreError(f"{folder} is no folder", "name the data folder of a node")
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        fault = faults.of_file(OSError(EROFS, os.strerror(EROFS)), folder)
        return StoreError(f"{path} cannot be used: {fault.reason}", fault.remedy)
    remedy = f"give {folder} and all files in it to the user that runs dnarc (chown, chmod u+rwX)"
    return StoreError(f"{path} cannot be used: {error}", remedy)


def _full(path: Path) -> StoreError:
    fault = faults.of_file(OSError(ENOSPC, os.strerror(ENOSPC)), path)
    return StoreError(f"{path}: {fault.reason}", fault.remedy)


_REASONS: Final = {
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", DAMAGED),
    sqlite3.SQLITE_NOTADB: ("the file is no SQLite database, or its beginning was overwritten", DAMAGED),
    sqlite3.SQLITE_PROTOCOL: ("the database cannot be locked", _LOCAL_DISK),
    sqlite3.SQLITE_NOLFS: ("the file system cannot keep so large a file", _LOCAL_DISK),
}
