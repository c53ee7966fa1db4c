"""Rebuild: derives everything in a PostgreSQL database again from the records, and repairs what differs.

The database is copied into a file, and the file is rebuilt (`node.store.sqlite.rebuilding`), because a rebuild reads
everything several times and in several orders. If something differs, the derived rows of the file replace those of the
database, in one transaction. Bodies and signatures are never touched.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from node.move import Begin, move, new_folder, rows_of_database
from node.store.sqlite import moving as sqlite_moving
from node.store.sqlite import rebuilding
from node.store.sqlite.rebuilding import Rebuilt


async def rebuild_database(url: str, near: Path, begin: Begin, *, is_check: bool) -> Rebuilt:
    """Compare the database with its records, and repair it unless `is_check`. No node may write to it meanwhile.

    `near` is a folder with room for a copy of the store, which is removed at the end.

    Raises:
        CannotStartError: the driver is not installed.
        StoreError: a node writes to the database, it cannot be read or written, or a body is damaged.
    """
    from node.store.postgresql import moving

    with TemporaryDirectory(prefix=".rebuild-", dir=near) as name:
        folder = Path(name)
        async with rows_of_database(url) as source:
            term = await source.term()
            async with new_folder(folder) as copy:
                await move(source, copy, begin)
            rebuilt = await asyncio.to_thread(rebuilding.rebuild, folder / "dnarc.db", is_check=is_check)
            if not (rebuilt.is_equal or is_check):
                with sqlite_moving.open_rows(folder / "dnarc.db") as rows:
                    await moving.replace_derived(url, term, rows)
    return rebuilt
