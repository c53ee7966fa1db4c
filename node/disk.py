"""Disk: where a node keeps its data folder. The folder holds its secrets and its store, and one process uses it.

A simulation hands in another `Disk`, whose power it can cut.
"""

import asyncio
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
"""Returns so many random bytes that nobody can guess."""


class CannotStartError(Exception):
    """This machine or its set-up cannot run a node. The message says why, and what to do."""


class Disk(Protocol):
    """The data folders of nodes."""

    def held(self, folder: Path) -> AbstractContextManager[None]:
        """Make the folder if it is missing, and keep other nodes out of it while the block runs.

        Raises:
            CannotStartError: another node uses it.
        """

    def secret(self, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
        """The content of a secret file: `size_bytes` random bytes, in hex. The file is made if it is missing.

        Raises:
            CannotStartError: the file cannot be read, or holds something else.
        """

    async def open_store(self, folder: Path, token_bytes: TokenBytes) -> Store:
        """Open the store in this folder. The store is made if it is missing.

        Raises:
            StoreError: the store cannot be used.
        """

    async def read(self, path: Path) -> bytes | None:
        """The content of a file; None if there is no file."""

    async def write(self, path: Path, content: bytes) -> None:
        """Make this the content of the file. When this returns, the content survives a power cut.

        A crash leaves the old content or the new one. The folder of the file is made if it is missing.
        """

    def free_bytes(self, folder: Path) -> int:
        """Free space on the disk of this folder, in bytes."""


STORE_FILES: Final = ("dnarc.db", "dnarc.db-wal")
"""The database, and its write-ahead log, which is part of it while it is open."""


def store_bytes(folder: Path) -> dict[str, int]:
    """The size in bytes of each file of the store that exists."""
    return {name: (folder / name).stat().st_size for name in STORE_FILES if (folder / name).exists()}


class LocalDisk:
    """The disks of this machine."""

    @contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        """Lock a file in the folder, because two nodes on one folder would each miss what the other writes."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                detail = f"another node runs on {folder}: give this one a folder of its own"
                raise CannotStartError(detail) from error
            yield

    def secret(self, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
        """Make the file with mode 0600. It gets its name last, so that a crash leaves no half of a secret."""
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
                f"{path} should hold {2 * size_bytes} lower-case hex digits: move it away, and the node makes a new one"
            )
        return text

    async def open_store(self, folder: Path, token_bytes: TokenBytes) -> Store:
        return await SqliteStore.open(folder / "dnarc.db", token_bytes)

    async def read(self, path: Path) -> bytes | None:
        return await asyncio.to_thread(_read, path)

    async def write(self, path: Path, content: bytes) -> None:
        await asyncio.to_thread(write_durably, path, content)

    def free_bytes(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_durably(path: Path, content: bytes) -> None:
    """See `Disk.write`. The file gets its name last, and the folder is synced because the name is part of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
