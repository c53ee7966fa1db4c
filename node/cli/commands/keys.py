"""Keys: `dnarc keygen`, and how every other command opens the key that it signs with."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.input.options import AsJson
from node.cli.output.failures import usage

if TYPE_CHECKING:
    from node.client.keyfile import OpenedKey

PASSPHRASE_VARIABLE: Final = "DNARC_PASSPHRASE"

PASSPHRASE_CHARACTERS_MIN: Final = 8
"""A shorter passphrase gets a warning. NIST SP 800-63B asks for at least as many characters."""


def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.", show_default=False)],
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase",
            help=f"Seal the key under a passphrase, which is asked for or comes from {PASSPHRASE_VARIABLE}.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a signing key in a new file that only you can read, and show its public key.

    Keep a copy of the file in another place: nobody can make this key again,
    and its labels are lost without it. Never publish the file. Nobody can
    reset a forgotten passphrase.
    """
    from node.cli.output.screen import show
    from node.cli.output.text import plain
    from node.client import keyfile

    words = _get_new_passphrase() if passphrase else None
    key = keyfile.create(file, words)
    answer = {"file": str(file), "public": key.public, "sealed": words is not None}
    show(answer, as_json, lambda: plain(key.public))
    if sys.stderr.isatty():
        _remind_of_copy(file, is_sealed=words is not None)


def open_key(path: Path) -> "OpenedKey":
    """The key in the file. Raises: KeyfileError."""
    from node.cli.output.screen import warn
    from node.client import keyfile

    opened = keyfile.open_file(path, _find_passphrase_source(path))
    if keyfile.is_exposed(path):
        warn(f"others on this machine may read {path}: chmod 600 {path}")
    return opened


def _find_passphrase_source(path: Path) -> Callable[[], str] | None:
    """Where a passphrase comes from: the environment, a terminal, or nowhere."""
    words = os.environ.get(PASSPHRASE_VARIABLE)
    if words is not None:
        return lambda: words
    if sys.stdin.isatty():
        return lambda: _prompt(f"Passphrase of {path}")
    return None


def _prompt(question: str, *, is_twice: bool = False) -> str:
    """Ask a person. Raises: KeyboardInterrupt: the person pressed Ctrl-C, for which typer alone would exit with 1."""
    try:
        return str(typer.prompt(question, hide_input=True, confirmation_prompt=is_twice, err=True))
    except typer.Abort:
        raise KeyboardInterrupt from None


def _get_new_passphrase() -> str:
    """The passphrase for a new key; a person types it twice. Raises: CommandError, KeyfileError: there is none."""
    from node.cli.output.screen import warn
    from node.client.keyfile import check_passphrase

    words = os.environ.get(PASSPHRASE_VARIABLE)
    if words is None and not sys.stdin.isatty():
        raise usage(f"there is no terminal to ask for a passphrase: set {PASSPHRASE_VARIABLE}")
    if words is None:
        words = _prompt("Passphrase", is_twice=True)
    check_passphrase(words)
    if len(words) < PASSPHRASE_CHARACTERS_MIN:
        warn(f"a passphrase of {len(words)} characters is soon guessed: use a few random words in a new key file")
    if words != words.strip():
        warn("the passphrase begins or ends with white space, which belongs to it")
    return words


def _remind_of_copy(file: Path, *, is_sealed: bool) -> None:
    """A person at a terminal reads this once. Scripts do not need it."""
    from node.console.visible_text import safe

    words = f"keep a copy of {file} in another place, and never publish it: without this key its labels are lost"
    passphrase = "; nobody can reset the passphrase" if is_sealed else ""
    print(f"dnarc: {safe(words)}{passphrase}", file=sys.stderr)
