"""What a command says if it ends before its work is done: how far it came, and how to go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.cli.output.failures import CommandError, Exit
from node.cli.output.screen import warn


@contextmanager
def explain_interruption(describe: Callable[[], str], remedy: str) -> Iterator[None]:
    """Say what was done if Ctrl-C ends the block.

    `describe` returns what was done until then, or an empty text if that is nothing. `remedy` says how to go on.

    Raises:
        CommandError: the user pressed Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise CommandError(Exit.INTERRUPTED, "interrupted", describe() or "nothing was done", remedy) from error


@contextmanager
def explain_early_end(describe: Callable[[], str], remedy: str) -> Iterator[None]:
    """Say what was done if Ctrl-C or a failure of the node ends the block.

    Raises:
        CommandError: the user pressed Ctrl-C.
        NodeError, Unreachable: as they are, after a warning that says what was done.
    """
    from node.client.errors import NodeError, Unreachable

    try:
        with explain_interruption(describe, remedy):
            yield
    except (NodeError, Unreachable):
        done = describe()
        if done:
            warn(f"{done} before the failure; {remedy}")
        raise
