"""Disk: where a node keeps its data folder. The folder holds the node's secrets and its store. One process uses it.

A simulation hands in another `Disk`, and can cut its power.
"""

import asyncio
import fcntl
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

import structlog

from node.durable_files import draft_of, give_name, write_durably, write_secret
from node.faults import of_file, of_lock
from node.store.contract import Store
from node.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from node.store.postgresql import PostgresStore

log = structlog.get_logger()

TokenBytes = Callable[[int], bytes]
"""Returns so many random bytes that nobody can guess."""


class CannotStartError(Exception):
    """This machine or its set-up cannot run a node. The text is the reason; `remedy` says what to do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class FolderInUseError(CannotStartError):
    """Another process holds the data folder."""

    def __init__(self, folder: Path) -> None:
        remedy = f"stop that node (`fuser {folder / 'lock'}` names its process), or name another folder by --data"
        super().__init__(f"another node runs on {folder}", remedy)


class Disk(Protocol):
    """The data folders of nodes."""

    def held(self, folder: Path) -> AbstractContextManager[None]:
        """Make the folder if it is missing, and keep other nodes out of it while the block runs.

        Raises:
            FolderInUseError: another node uses the folder.
            CannotStartError: the folder cannot be made, or its file system cannot lock files.
        """

    def secret(self, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
        """The content of a secret file: `size_bytes` random bytes, in hex. The file is made if it is missing.

        Raises:
            CannotStartError: the file cannot be read or made, or it does not hold a secret of this size.
        """

    async def open_store(self, folder: Path, token_bytes: TokenBytes, url: str | None = None) -> Store:
        """Open the store in this folder, or the one of this URL. The store is made if it is missing.

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


NODE_KEY: Final = "node.key"
ADMIN_TOKEN: Final = "admin-token"
"""The files of the secrets."""

_DAMAGED_SECRET: Final = {
    NODE_KEY: "restore it from a backup; without one, move it away and the node makes a new key, and every peer has to "
    "add this node anew",
    ADMIN_TOKEN: "move it away, and the node makes a new token",
}


OTHERS_MAY_READ: Final = 0o077
"""Bits of a secret file's mode that are 0 if only its owner may use it."""


def _warn_of_open_secrets(folder: Path) -> None:
    for path in (folder / NODE_KEY, folder / ADMIN_TOKEN):
        mode = path.stat().st_mode & 0o777 if path.exists() else 0
        if mode & OTHERS_MAY_READ:
            log.warning("other users may read a secret", path=str(path), mode=f"{mode:04o}", remedy=f"chmod 600 {path}")


class LocalDisk:
    """The disks of this machine."""

    def __init__(self, lock: Callable[[int, int], None] = fcntl.flock) -> None:
        """`lock` locks the file with this descriptor, as `fcntl.flock` does."""
        self._lock = lock

    @contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        """Lock a file in the folder, because two nodes on one folder would each miss what the other writes."""
        with self._open_lock(folder) as file:
            try:
                self._lock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FolderInUseError(folder) from error
            except OSError as error:
                fault = of_lock(error)
                raise CannotStartError(f"{folder} cannot be locked: {fault.reason}", fault.remedy) from error
            _warn_of_open_secrets(folder)
            yield

    def _open_lock(self, folder: Path) -> BinaryIO:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return (folder / "lock").open("ab")
        except OSError as error:
            fault = of_file(error, folder)
            raise CannotStartError(f"the data folder {folder} cannot be used: {fault.reason}", fault.remedy) from error

    def secret(self, path: Path, size_bytes: int, token_bytes: TokenBytes) -> str:
        """Make the file with mode 0600 if it is missing."""
        try:
            text = path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return self._make_secret(path, token_bytes(size_bytes).hex())
        except OSError as error:
            fault = of_file(error, path)
            raise CannotStartError(f"{path} cannot be read: {fault.reason}", fault.remedy) from error
        if len(text) != 2 * size_bytes or not set(text) <= set("0123456789abcdef"):
            reason = f"{path} is damaged: it should hold {2 * size_bytes} lower-case hex digits"
            raise CannotStartError(reason, _DAMAGED_SECRET.get(path.name, "restore it from a backup"))
        return text

    def _make_secret(self, path: Path, text: str) -> str:
        draft = draft_of(path)
        try:
            draft.unlink(missing_ok=True)
            write_secret(draft, f"{text}\n".encode())
            give_name(draft, path)
        except OSError as error:
            fault = of_file(error, path)
            raise CannotStartError(f"{path} cannot be made: {fault.reason}", fault.remedy) from error
        return text

    async def open_store(self, folder: Path, token_bytes: TokenBytes, url: str | None = None) -> Store:
        if url is None:
            store = await SqliteStore.open(folder / "dnarc.db", token_bytes)
            store.fill_log(folder / "dnarc.db")
            return store
        return await postgres_store().open(url, token_bytes, f"{platform.node()}, process {os.getpid()}")

    async def read(self, path: Path) -> bytes | None:
        return await asyncio.to_thread(_read, path)

    async def write(self, path: Path, content: bytes) -> None:
        await asyncio.to_thread(write_durably, path, content)

    def free_bytes(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free


def postgres_store() -> "type[PostgresStore]":
    """The store on a server, imported when it is needed.

    Raises:
        CannotStartError: the driver is not installed.
    """
    try:
        from node.store.postgresql import PostgresStore
    except ImportError as error:
        raise CannotStartError(
            "the driver for PostgreSQL is not installed", "install it: pip install 'dnarc[postgresql]'"
        ) from error
    return PostgresStore


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
