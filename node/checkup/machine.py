"""The machine: whether its libraries decide as the network does, and its file system keeps what SQLite relies on."""

from pathlib import Path
from typing import Final

from node.checkup.finding import Finding, fail, ok, warn
from protocol.signing import EDGES, differing_edges

_NETWORKED: Final = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "afs")
"""File systems on which shared memory between processes, and so SQLite's write-ahead log, does not work
(https://sqlite.org/wal.html) or is known to lose locks."""

_MOUNTS: Final = Path("/proc/self/mounts")


def check_signatures() -> Finding:
    """That libsodium decides the edge cases as every other node does."""
    differing = differing_edges()
    if differing:
        detail = f"libsodium decides otherwise than the network: {'; '.join(differing)}"
        return fail("libsodium", detail, "reinstall PyNaCl from its wheel: no node starts with this one")
    return ok("libsodium", f"decides all {len(EDGES)} edge cases as the network does")


def check_file_system(folder: Path, mounts: str | None = None) -> Finding:
    """That the folder is on a local file system. `mounts` is what /proc/self/mounts holds, read by default."""
    if mounts is None:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace") if _MOUNTS.exists() else ""
    kind = _kind_of(folder.resolve(), mounts)
    if kind is None:
        return warn("file_system", f"what {folder} is on cannot be told on this system", "see that it is a local disk")
    if kind in _NETWORKED:
        return fail("file_system", f"{folder} is on {kind}, over a network", "move the data folder to a local disk")
    if kind in ("tmpfs", "ramfs"):
        detail = f"{folder} is in memory ({kind}): all is lost with the power"
        return warn("file_system", detail, "move the data folder to a disk, unless that is what you want")
    return ok("file_system", f"{folder} is on {kind}")


def _kind_of(folder: Path, mounts: str) -> str | None:
    """The type of the file system that is mounted nearest above the folder."""
    nearest, kind = -1, None
    for line in mounts.splitlines():
        _, place, its_kind, *_ = (*line.split(), "", "", "")
        mounted = Path(place.replace("\\040", " ") or "/nowhere")
        if folder.is_relative_to(mounted) and len(mounted.parts) >= nearest:
            nearest, kind = len(mounted.parts), its_kind
    return kind
