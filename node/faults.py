"""Faults of the machine and of the network, in words: what an error of the operating system means, and what to do.

An error number names what failed and not why. `ENOSPC` is a full disk or a disk without inodes, and a failed TLS
handshake is an unknown authority, another host name, or a port that speaks plain HTTP. These functions look at the
error and at the file or the machine that it happened to, and tell the cases apart.
"""

import errno
import os
import re
import socket
import ssl
from pathlib import Path
from typing import Final

import msgspec

_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")

_NOT_WRITABLE: Final = "run dnarc as the user that owns it, or give it to the user that runs dnarc (chown)"

READ_ONLY_REMEDY: Final = (
    "mount the file system writable (`dmesg` says whether a disk error made it read-only), or name another folder"
)

_FILE_REMEDIES: Final = {
    errno.EROFS: READ_ONLY_REMEDY,
    errno.EACCES: _NOT_WRITABLE,
    errno.EPERM: _NOT_WRITABLE,
    errno.EDQUOT: "this user's quota on the disk is used up: free space, or raise the quota",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`, LimitFSIZE)",
    errno.EIO: "the disk fails: `dmesg` says how; copy what can be read to another disk",
    errno.ENOENT: "check the path for a mistake in spelling",
    errno.ENOTDIR: "a part of the path is a file: name another folder",
    errno.EISDIR: "a folder stands where a file belongs: move it away",
    errno.EEXIST: "a file stands where a folder belongs: name another folder",
    errno.ELOOP: "symbolic links form a circle: name another path",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`, LimitNOFILE)",
    errno.ENFILE: "the whole machine has too many open files: raise fs.file-max",
}

_CLOCK_OR_RENEWAL: Final = "check this machine's clock; if the clock is right, the certificate has to be renewed there"
_CERTIFICATES: Final = {
    9: ("its certificate is not valid yet", _CLOCK_OR_RENEWAL),
    10: ("its certificate has expired", _CLOCK_OR_RENEWAL),
    62: ("its certificate is for another host name", "use a URL with a name that the certificate has"),
    64: ("its certificate is not for this IP address", "use a URL with a name that the certificate has"),
}
"""By OpenSSL's number for why verification failed (X509_V_ERR_…)."""

_UNKNOWN_AUTHORITY: Final = (
    "no known authority has signed its certificate",
    "name the file of the authority that has signed it: tls_ca, or --tls-ca FILE",
)

_REFUSED: Final = ("nothing listens there", "check the port, and that the node runs")
_CLOSED: Final = (
    "it closed the connection without an answer",
    "check the scheme of the URL: this port may speak TLS, or no HTTP at all",
)

_NETWORK: Final = {
    errno.ECONNREFUSED: _REFUSED,
    errno.ENETUNREACH: ("there is no route to it", "check the address and this machine's network"),
    errno.EHOSTUNREACH: ("there is no route to it", "check the address and this machine's network"),
    errno.ECONNRESET: _CLOSED,
    errno.EPIPE: _CLOSED,
    errno.EMFILE: ("this machine's process has too many open files", _FILE_REMEDIES[errno.EMFILE]),
}

_SILENCE: Final = ("it does not answer in time", "check the address, and that no firewall drops what is sent to it")


class Cause(msgspec.Struct, frozen=True):
    """What is wrong, as a clause, and what to do about it."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.remedy})"


def of_file(error: OSError, path: Path) -> Cause:
    """Why a file or a folder cannot be used."""
    reason = (error.strerror or str(error)).lower()
    if error.errno == errno.ENOSPC:
        return Cause(*_full(path))
    return Cause(reason, _FILE_REMEDIES.get(error.errno or 0, "`dmesg` may say more"))


def of_lock(error: OSError) -> Cause:
    """Why a file cannot be locked, where nobody else holds the lock."""
    if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
        reason = f"its file system cannot lock files ({os.strerror(error.errno)})"
        return Cause(reason, "keep the data folder on a local disk, because network file systems lose locks")
    return Cause((error.strerror or str(error)).lower(), _FILE_REMEDIES.get(error.errno or 0, "`dmesg` may say more"))


def of_listening(error: OSError, host: str, port: int) -> Cause:
    """Why a node cannot listen at an address."""
    if isinstance(error, socket.gaierror):
        return Cause(f"the host {host} has no address", "set host to an address of this machine, such as 127.0.0.1")
    match error.errno:
        case errno.EADDRINUSE:
            remedy = f"`ss -ltnp 'sport = :{port}'` names the program: end it, or choose another port"
            return Cause("another program listens there", remedy)
        case errno.EADDRNOTAVAIL:
            return Cause("this machine does not have that address", "set host to 127.0.0.1, 0.0.0.0 or an own address")
        case errno.EACCES | errno.EPERM:
            return Cause("this user may not use that port", "choose a port above 1023, and put a proxy in front")
    return Cause(
        (error.strerror or str(error)).lower(), _FILE_REMEDIES.get(error.errno or 0, "set another host or port")
    )


def of_network(error: BaseException) -> Cause:
    """Why a connection to another machine failed. Subjects are that machine ("it") or the network."""
    cause = _first_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Cause(*_CERTIFICATES.get(cause.verify_code, _UNKNOWN_AUTHORITY))
    if isinstance(cause, ssl.SSLError):
        return _of_handshake(cause)
    if isinstance(cause, socket.gaierror):
        return _of_name(cause)
    if isinstance(cause, TimeoutError):
        return Cause(*_SILENCE)
    if isinstance(cause, ConnectionRefusedError):
        return Cause(*_REFUSED)
    if isinstance(cause, ConnectionResetError | BrokenPipeError):
        return Cause(*_CLOSED)
    if isinstance(cause, OSError) and (number := _number_of(cause)) in _NETWORK:
        return Cause(*_NETWORK[number])
    words = str(cause) or type(cause).__name__
    return Cause(words, "check that the URL is that of a dnarc node")


def _full(path: Path) -> tuple[str, str]:
    """A disk without room: either its bytes or its inodes are used up."""
    existing = next((it for it in (path, *path.absolute().parents) if it.exists()), Path("/"))
    room = os.statvfs(existing)
    if room.f_files and not room.f_favail:
        return "no inode is free on the disk", "delete files there: `df -i` shows inodes"
    return "no space is free on the disk", "free space there: `df -h` shows how much is left"


def _of_handshake(error: ssl.SSLError) -> Cause:
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE"):
        return Cause("it does not speak TLS on this port", "use http:// or ws://, or the port that speaks TLS")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Cause("it ends the TLS handshake", "check that this port speaks TLS")
    return Cause(f"the TLS handshake fails: {(error.reason or str(error)).replace('_', ' ').lower()}", "see its log")


def _of_name(error: socket.gaierror) -> Cause:
    if error.errno == socket.EAI_AGAIN:
        return Cause("the DNS does not answer for its name", "try again; check this machine's network and its DNS")
    return Cause("its name has no address", "check the spelling of the host, and the DNS")


def _first_cause(error: BaseException) -> BaseException:
    """The error that a library's error was raised for. A timeout is raised for the cancellation of its own task."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _number_of(error: OSError) -> int:
    """The error number; of several tries at once, whose errors asyncio joins into one text, that of the first."""
    found = _ERRNO.search(str(error))
    return error.errno or (int(found.group(1)) if found else 0)
