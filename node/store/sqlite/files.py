"""The files of an open database, and whether they are still the ones in the folder.

A file that somebody removes stays with whoever has it open: SQLite would go on writing to it, and all of that would be
gone at the next start. So each commit looks at the names, which costs some microseconds, before anybody is answered.
"""

import os
from pathlib import Path
from typing import Final

from node.store.contract import StoreError

_SUFFIXES: Final = ("", "-wal")
"""The database, and the log in which its latest commits are."""


class OpenFiles:
    """The files of one database, as they are when this is made: with a connection open."""

    def __init__(self, path: Path) -> None:
        """`path` is that of the database. A database in memory has no files, and is never missed."""
        names = [str(path.with_name(path.name + suffix)) for suffix in _SUFFIXES]
        self._places = {name: place for name in names if (place := _place_of(name)) is not None}

    def check(self) -> None:
        """Raises: StoreError: a file was removed, or another one has its name."""
        for name, place in self._places.items():
            if _place_of(name) != place:
                raise StoreError(
                    f"{name} was removed or replaced while this node had it open, so nothing more is kept",
                    "stop the program that did it, restore a backup or let the peers bring the records back, and "
                    "start again",
                )


def unfinished_of(path: Path) -> Path:
    """The name of a database file that `dnarc move` has not finished. `path` is the name that the file gets then."""
    return path.with_name(f"{path.name}.unfinished")


def check_finished(path: Path) -> None:
    """Raises: StoreError: a move into the folder of this database was not finished."""
    draft = unfinished_of(path)
    if draft.exists():
        raise StoreError(
            f"a move into {path.parent} was not finished", f"run `dnarc move` again, or give it up: delete {draft}"
        )


def _place_of(name: str) -> tuple[int, int] | None:
    """Device and inode; None if the file does not exist. `Path.stat` takes twice as long."""
    try:
        status = os.stat(name)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
