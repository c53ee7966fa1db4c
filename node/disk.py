"""What a node keeps beyond its own life: one folder with its secrets and its store, held by one process at a time.

A simulation hands in another `Disk`, whose power can be cut.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from node.store.contract import Store
from node.store.sqlite import SqliteStore

TokenBytes = Callable[[int], bytes]
"""Gives so many bytes that nobody can guess."""


class CannotStartError(Exception):
    """The machine or its set-up is not fit to run a node; the message says why and what to do."""


class Disk(Protocol):
    """The folders of nodes."""

    def held(self, folder: Path) -> AbstractContextManager[None]:
        """Make the folder where it is missing, and hold it for this node alone.

        Raises:
            CannotStartError: another node holds it.
        """

    def secret(self, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
        """The hex of a secret file, made where it is missing. Raises: CannotStartError: it is not ours."""

    async def open_store(self, folder: Path, token_bytes: TokenBytes) -> Store:
        """The store in this folder, made where it is missing. Raises: StoreError: it cannot be used."""

    def free_bytes(self, folder: Path) -> int:
        """How much more fits."""


STORE_FILES: Final = ("dnarc.db", "dnarc.db-wal")
"""The database, and the write-ahead log that is part of it while it is open."""


def store_bytes(folder: Path) -> dict[str, int]:
    """How large each of these files is, of those that there are."""
    return {name: (folder / name).stat().st_size for name in STORE_FILES if (folder / name).exists()}


class LocalDisk:
    """The disks of this machine."""

    @contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        """By a lock on a file in it. Two nodes on one folder would each miss the other's writes."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                detail = f"another node runs on {folder}: give this one a folder of its own"
                raise CannotStartError(detail) from error
            yield

    def secret(self, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
        """With mode 0600."""
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            text = token_bytes(size_bytes).hex()
            temporary = path.with_name(f"{path.name}.new")
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except (OSError, UnicodeDecodeError) as error:
            raise CannotStartError(f"{path} cannot be read: {error}") from error
        if len(text) != 2 * size_bytes or not set(text) <= set("0123456789abcdef"):
            raise CannotStartError(
                f"{path} should hold {2 * size_bytes} lower-case hex digits: move it away to have a new one"
            )
        return text

    async def open_store(self, folder: Path, token_bytes: TokenBytes) -> Store:
        return await SqliteStore.open(folder / "dnarc.db", token_bytes)

    def free_bytes(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free
