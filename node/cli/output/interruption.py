"""Ctrl-C in a command that works for long: the command says what it has done, and how to go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.cli.output.failures import CommandError, Exit


@contextmanager
def explain_interruption(describe: Callable[[], str], remedy: str) -> Iterator[None]:
    """End the command with one line if the block is interrupted.

    `describe` is called then and says what the command has done. `remedy` says how to go on.

    Raises:
        CommandError: the user pressed Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise CommandError(Exit.INTERRUPTED, "interrupted", describe(), remedy) from error
