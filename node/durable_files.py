"""Durable files: what they hold survives a power cut, and a crash leaves no half of one.

A file gets its name last, when its content is on the disk. Its folder is synced then, because the folder holds the
names (https://man7.org/linux/man-pages/man2/fsync.2.html).
"""

import os
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Make this the content of the file. A crash leaves the old content or the new one.

    The folder of the file is made if it is missing.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = draft_of(path)
    draft.write_bytes(content)
    give_name(draft, path)


def write_secret(path: Path, content: bytes) -> None:
    """Make a file that only its owner may use. Its content is durable, and its name is not.

    Raises:
        FileExistsError: the file exists.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # the umask may have taken more away
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def draft_of(path: Path) -> Path:
    """The name of a file until it is finished."""
    return path.with_name(f"{path.name}.new")


def give_name(draft: Path, path: Path) -> None:
    """Give this file or folder, which is finished, another name. It replaces the file that has the name."""
    sync(draft)
    draft.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
