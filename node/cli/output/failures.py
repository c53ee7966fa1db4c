"""Failures: the one line and the exit code that an error ends a command with.

Only errors that somebody outside can mend have a place here. Any other is a fault of ours, and is shown whole.
"""

from enum import IntEnum
from typing import Final

from node.cli.output.text import safe

DETAIL_CHARACTERS_MAX: Final = 2_000
"""An error is one line; a stranger's server could answer with megabytes."""


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
    "unreachable": "start one with `dnarc serve`, or name another by --node URL",
    "too_old": "set this machine's clock; records of the past go in by `dnarc import` with the admin token",
    "too_new": "set this machine's clock, or wait",
    "stale": "somebody wrote in between: run the command again",
    "not_owner": "`dnarc why` shows who owns the label, and since when",
    "unknown_label": "`dnarc get DOMAIN` lists its labels",
    "unknown_domain": "`dnarc domains` lists those that the node keeps",
    "cursor_unknown": "read what there is by `dnarc get`, and run the command again without the cursor",
    "rate_limited": "wait a moment, then run the command again",
    "overloaded": "wait a moment, then run the command again",
    "storage_full": "free space on the node's disk",
}
"""What to do about a code, where it is not plain from what the node says."""


class CommandError(Exception):
    """A command cannot go on.

    `code` is stable, `detail` says what is wrong; the remedy follows from the code where none is given.
    """

    def __init__(self, exit_code: Exit, code: str, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
        self.code = code
        self.detail = detail
        self.remedy = REMEDIES.get(code) if remedy is None else remedy

    @property
    def line(self) -> str:
        """All of it in one line that cannot steer a terminal, whatever the detail holds."""
        detail = (
            self.detail if len(self.detail) <= DETAIL_CHARACTERS_MAX else f"{self.detail[:DETAIL_CHARACTERS_MAX]}..."
        )
        text = f"{self.code}: {detail}" + (f" ({self.remedy})" if self.remedy else "")
        return safe(" ".join(text.split()))


def usage(detail: str, remedy: str | None = None) -> CommandError:
    """The error of whoever typed the command."""
    return CommandError(Exit.USAGE, "usage", detail, remedy)


def describe(error: Exception) -> CommandError | None:
    """The failure behind an error; None where only we can mend it."""
    from node.client.http import NodeError, Unreachable
    from node.client.keyfile import KeyfileError
    from node.settings import SettingsError
    from node.store.contract import StoreError
    from protocol.errors import ProtocolError

    match error:
        case CommandError():
            return error
        case Unreachable():
            return CommandError(Exit.UNREACHABLE, "unreachable", str(error))
        case NodeError() | ProtocolError():
            return CommandError(Exit.REFUSED, error.code, error.detail)
        case SettingsError():
            return CommandError(Exit.USAGE, "settings", str(error))
        case KeyfileError():
            return CommandError(Exit.USAGE, "keyfile", str(error))
        case StoreError():
            return CommandError(Exit.MACHINE, "storage", str(error))
        case OSError():
            return CommandError(Exit.MACHINE, "machine", str(error))
        case _ if type(error).__module__ == "sqlite3":  # by name: only the store knows SQL
            return CommandError(Exit.MACHINE, "storage", str(error), "is dnarc.db a file of dnarc, and the disk well?")
        case _:
            return None
