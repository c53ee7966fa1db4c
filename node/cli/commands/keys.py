"""Keys: `dnarc keygen`, and how every other command opens the key that it signs with."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.commands.options import AsJson

if TYPE_CHECKING:
    from protocol.signing import SigningKey

PASSPHRASE_VARIABLE: Final = "DNARC_PASSPHRASE"


def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.", show_default=False)],
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help=f"Seal it under a passphrase: asked for, or from {PASSPHRASE_VARIABLE}."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a signing key in a new file that only you may read."""
    from node.cli.output.screen import show
    from node.cli.output.text import plain
    from node.client import keyfile

    words = _new_passphrase() if passphrase else None
    key = keyfile.create(file, words)
    answer = {"file": str(file), "public": key.public, "sealed": words is not None}
    show(answer, as_json, lambda: plain(key.public))


def open_key(path: Path) -> "SigningKey":
    """The key in the file. Raises: KeyfileError."""
    from node.cli.output.screen import warn
    from node.client import keyfile

    key = keyfile.load(path, _asker(path))
    if keyfile.is_exposed(path):
        warn(f"others on this machine may read {path}: chmod 600 {path}")
    return key


def _asker(path: Path) -> Callable[[], str] | None:
    """Who is asked for a passphrase: the environment, a terminal, or nobody."""
    words = os.environ.get(PASSPHRASE_VARIABLE)
    if words is not None:
        return lambda: words
    if sys.stdin.isatty():
        return lambda: str(typer.prompt(f"Passphrase of {path}", hide_input=True, err=True))
    return None


def _new_passphrase() -> str:
    words = os.environ.get(PASSPHRASE_VARIABLE)
    if words is not None:
        return words
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True))
