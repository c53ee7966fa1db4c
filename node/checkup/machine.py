"""The machine: whether its libraries decide as the network does, and whether its file system suits SQLite."""

from pathlib import Path
from typing import Final

from node.checkup.finding import Finding, fail, ok, warn
from protocol.signing import EDGES, differing_edges

_NETWORKED: Final = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "afs")
"""File systems on which processes cannot share memory, so SQLite's write-ahead log does not work
(https://sqlite.org/wal.html), or which are known to lose locks."""

_IN_MEMORY: Final = ("tmpfs", "ramfs")
_MOUNTS: Final = Path("/proc/self/mounts")


def check_signatures() -> Finding:
    """Check that libsodium decides the edge cases as every other node does."""
    differing = differing_edges()
    if differing:
        detail = f"libsodium decides otherwise than the network: {'; '.join(differing)}"
        return fail("libsodium", detail, "reinstall PyNaCl from its wheel: no node starts with this libsodium")
    return ok("libsodium", f"decides all {len(EDGES)} edge cases as the network does")


def check_file_system(folder: Path, mounts: str | None = None) -> Finding:
    """Check that the folder is on a local file system. `mounts` is the text of /proc/self/mounts, read by default."""
    if mounts is None:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace") if _MOUNTS.exists() else ""
    kind = _kind_of(folder.resolve(), mounts)
    if kind is None:
        detail = f"this system does not tell which file system {folder} is on"
        return warn("file_system", detail, "make sure that it is a local disk")
    if kind in _NETWORKED:
        return fail("file_system", f"{folder} is on a network file system ({kind})", "move it to a local disk")
    if kind in _IN_MEMORY:
        detail = f"{folder} is in memory ({kind}): a power cut or a restart loses all records"
        return warn("file_system", detail, "move the data folder to a disk, unless it may be lost")
    return ok("file_system", f"{folder} is on {kind}")


def _kind_of(folder: Path, mounts: str) -> str | None:
    """The type of the file system that is mounted at the nearest folder above."""
    nearest, kind = -1, None
    for line in mounts.splitlines():
        _, place, its_kind, *_ = (*line.split(), "", "", "")
        mounted = Path(place.replace("\\040", " ") or "/nowhere")
        if folder.is_relative_to(mounted) and len(mounted.parts) >= nearest:
            nearest, kind = len(mounted.parts), its_kind
    return kind
