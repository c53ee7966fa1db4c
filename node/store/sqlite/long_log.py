"""A write-ahead log that has its full size before commits need it, as the segments of PostgreSQL have.

A commit that makes the log longer has to make the new size of the file durable too, which takes half as long again as
the records. Once the log has `LOG_PAGES` pages, SQLite writes from its beginning again, and commits are quick. But each
start of a node begins with an empty log, and with one claim a minute it would not be full for a day. So while nothing
is committed, the log is filled with zeros, step by step.

SQLite takes zeros for the end of the log, because no frame of a log has a salt or a checksum of zeros
(https://sqlite.org/fileformat2.html#the_write_ahead_log).
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.store.sqlite.connection import Worker

LOG_PAGES: Final = 16_000
"""Pages of the log at which SQLite writes them into the database: 65 k records/s instead of 42 k with its 1,000."""

_FRAME_BYTES: Final = 4_096 + 24
"""A page and its header in the log."""

LOG_BYTES: Final = LOG_PAGES * _FRAME_BYTES

_STEP_BYTES: Final = 524_288
"""A commit that comes during a step waits for it: 1 to 2 ms on a local disk."""

FREE_BYTES_MIN: Final = 1_073_741_824
"""Free space without which the log stays short, because records need the space."""

IDLE_S: Final = 2.0
"""Seconds without a commit after which the log is filled. A process that only looks at the store ends sooner."""


async def fill_log(
    writer: Worker,
    database: Path,
    last_commit: Callable[[], object],
    idle_s: float = IDLE_S,
    log_bytes: int = LOG_BYTES,
) -> None:
    """Fill the log whenever the writer has nothing to do, until the log has its full size, `log_bytes`.

    `last_commit` returns another object after each commit. Nothing depends on the log's size, so after an error the log
    stays as it is.
    """
    is_short = True
    with suppress(OSError, sqlite3.Error):
        while is_short:
            last = last_commit()
            await asyncio.sleep(idle_s)
            while is_short and last_commit() is last and not writer.waiting:
                is_short = await writer.run(lengthen, database, log_bytes)


def lengthen(
    connection: sqlite3.Connection, database: Path, log_bytes: int, free_bytes_min: int = FREE_BYTES_MIN
) -> bool:
    """Add a step of zeros to the log, and make them durable. Returns whether another step is wanted.

    Raises:
        OSError, sqlite3.Error: the disk fails or is full, or another program holds the database.
    """
    log = database.with_name(f"{database.name}-wal")
    connection.execute("BEGIN IMMEDIATE")  # no other program adds to the log meanwhile
    try:
        with log.open("r+b", buffering=0) as file:
            size_bytes = file.seek(0, os.SEEK_END)
            if size_bytes >= log_bytes or shutil.disk_usage(log).free < free_bytes_min:
                return False
            file.write(bytes(min(_STEP_BYTES, log_bytes - size_bytes)))
            os.fsync(file.fileno())
    finally:
        connection.execute("ROLLBACK")
    return True
