"""Failures: the one line and the exit code with which an error ends a command.

The line has a stable code, the reason, and in brackets a remedy. Only errors that a user or an operator can mend are
shown so. Any other error is a fault of this program, and is shown whole.
"""

import os
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.console.visible_text import safe

if TYPE_CHECKING:
    from node.faults import Cause

DETAIL_CHARACTERS_MAX: Final = 2_000
"""Longer details are cut, because a stranger's server can answer with megabytes."""


class Exit(IntEnum):
    """How a command ended, for the shell."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    MACHINE = 4
    INTERRUPTED = 130


REMEDIES: Final = {
    "unauthorized": "give the admin token by --data DIR (the node's folder), --token or DNARC_ADMIN_TOKEN",
    "too_old": "compare this machine's clock with the node's; records of the past go in by `dnarc import` with the "
    "admin token",
    "too_new": "compare this machine's clock with the node's; if both are right, wait",
    "stale": "somebody wrote in between: run the command again",
    "not_welcome": "the operator of this node decides whom it takes records from: ask, or write to another node",
    "not_owner": "`dnarc why` shows who owns the label, and since when",
    "erased": "another node may still show it",
    "unknown_label": "`dnarc get DOMAIN` lists its labels",
    "unknown_domain": "`dnarc domains` lists the domains that the node keeps",
    "unknown_peer": "`dnarc peers list` lists the peers",
    "unknown_route": "check the path in the node's URL; an older node does not know newer requests",
    "method_not_allowed": "check the path in the node's URL; an older node does not know newer requests",
    "cursor_unknown": "read what there is by `dnarc get`, and run the command again without the cursor",
    "rate_limited": "wait a moment, then run the command again",
    "overloaded": "wait a moment, then run the command again; `dnarc doctor` says what the node waits for",
    "quota_exceeded": "use another node, or ask the operator of this one to keep more",
    "storage_full": "free space on the node's disk",
}
"""What to do about a code. A code whose remedy is plain from what the node says has none."""


class CommandError(Exception):
    """A command cannot go on.

    `code` is stable, `detail` says what is wrong, `remedy` what to do. Without a remedy, that of the code counts.
    """

    def __init__(self, exit_code: Exit, code: str, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
        self.code = code
        self.detail = detail
        self.remedy = REMEDIES.get(code) if remedy is None else remedy

    @property
    def line(self) -> str:
        """The whole failure in one line. No detail can steer a terminal."""
        detail = (
            self.detail if len(self.detail) <= DETAIL_CHARACTERS_MAX else f"{self.detail[:DETAIL_CHARACTERS_MAX]}..."
        )
        text = f"{self.code}: {detail}" + (f" ({self.remedy})" if self.remedy else "")
        return safe(" ".join(text.split()))


def usage(detail: str, remedy: str | None = None) -> CommandError:
    """The error of the person who typed the command."""
    return CommandError(Exit.USAGE, "usage", detail, remedy)


def unreadable(file: str | Path, error: OSError) -> CommandError:
    """The error of the person who named a file that cannot be read."""
    fault = _fault_of(error, Path(file))
    return usage(f"{file} cannot be read: {fault.reason}", fault.remedy)


def unwritable(file: str | Path, error: OSError) -> CommandError:
    """The machine cannot write a file."""
    fault = _fault_of(error, Path(file))
    return CommandError(Exit.MACHINE, "machine", f"{file} cannot be written: {fault.reason}", fault.remedy)


def describe(error: Exception, data: Path | None = None) -> CommandError | None:
    """The failure behind an error. None if only we can mend it. `data` is the data folder that the command works on."""
    from node.client.errors import NodeError, Unreachable, Untrusted
    from node.client.keyfile import KeyfileError
    from node.disk import CannotStartError
    from node.settings.loading import SettingsError
    from node.store.contract import StoreError
    from protocol.errors import ProtocolError

    if isinstance(error, CommandError):
        return error
    if isinstance(error, NodeError | Untrusted):
        return CommandError(Exit.REFUSED, error.code, error.detail, error.remedy)
    if isinstance(error, ProtocolError):
        return CommandError(Exit.REFUSED, error.code, error.detail)
    kinds: tuple[tuple[type[Exception], Exit, str], ...] = (
        (Unreachable, Exit.UNREACHABLE, "unreachable"),
        (SettingsError, Exit.USAGE, "settings"),
        (KeyfileError, Exit.USAGE, "keyfile"),
        (CannotStartError, Exit.MACHINE, "cannot_start"),
        (StoreError, Exit.MACHINE, "storage"),
    )
    for kind, exit_code, code in kinds:
        if isinstance(error, kind):
            return CommandError(exit_code, code, str(error), getattr(error, "remedy", None))
    if isinstance(error, OSError):
        return _of_file(error)
    is_of_store = type(error).__module__ == "sqlite3"  # by name, because only the store knows SQL
    return _of_store(error, data or Path()) if is_of_store else None


def _of_file(error: OSError) -> CommandError:
    """An error of the operating system that no command expected. It names a file if it has to do with one."""
    name = None if error.filename is None else os.fsdecode(error.filename)
    fault = _fault_of(error, Path(name or "."))
    return CommandError(Exit.MACHINE, "machine", f"{name}: {fault.reason}" if name else fault.reason, fault.remedy)


def _fault_of(error: OSError, path: Path) -> "Cause":
    from node.faults import of_file

    return of_file(error, path)


def _of_store(error: Exception, data: Path) -> CommandError:
    from node.store.sqlite.faults import explain

    explained = explain(error, data / "dnarc.db")
    return CommandError(Exit.MACHINE, "storage", str(explained), explained.remedy)
