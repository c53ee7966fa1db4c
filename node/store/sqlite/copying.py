"""Copying: the whole database at one moment, while a node goes on writing.

SQLite's backup interface starts again whenever another process writes between two of its steps, and a node always
writes. So all pages are copied in one step, within one read transaction. Meanwhile the write-ahead log cannot be
emptied, which costs only disk space (https://sqlite.org/backup.html).
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from node.durable_files import sync
from node.store.contract import StoreError
from node.store.sqlite.connection import BUSY_TIMEOUT_S
from node.store.sqlite.faults import DAMAGED, explain


def copy(source: Path, target: Path) -> int:
    """Make `target` a complete and durable copy; returns the number of its records.

    Raises:
        StoreError: the source cannot be read, the copy cannot be written, or the copy is damaged.
    """
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source.resolve()))}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as made,
        ):
            original.backup(made)
            # The copy is one file. In WAL mode a log would stay beside it and would have to be moved with it.
            made.execute("PRAGMA journal_mode = DELETE").close()
            (state,) = made.execute("PRAGMA quick_check(1)").fetchone()
            (records,) = made.execute("SELECT count(*) FROM records").fetchone()
    except sqlite3.Error as error:
        raise _explain(error, source, target) from error
    if state != "ok":
        raise StoreError(f"{source} is damaged, and so would its copy be: {state}", DAMAGED)
    sync(target)
    return int(records)


def _explain(error: sqlite3.Error, source: Path, target: Path) -> StoreError:
    """SQLite does not say which of the two files failed. Only the target is written, so only its disk can be full."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
        return explain(error, target)
    return explain(error, source)
