"""The command line: `dnarc`, with one module for each group of commands.

Results go to stdout: as text and tables for people, or as JSON with `--json`, which may stand before or after the
command's name. Warnings, progress and the one line of an error go to stderr. Every command uses the same exit codes:

    0    done
    1    refused: the node said no, or something that was checked is bad
    2    wrong use: an argument, a setting or a key file is wrong
    3    no node answers, or the node stopped in the middle of an answer
    4    the machine failed: a disk, a port, or a folder in use
    130  interrupted

Each command imports what it needs when it runs, so that `dnarc --help` answers at once.
"""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name, which are those of `sys.argv` by default, and exit with its code."""
    _open_standard_streams()
    from node.cli.app import app
    from node.cli.output.failures import describe
    from node.cli.output.screen import prepare_output

    prepare_output()
    try:
        app(arguments)
    except Exception as error:
        failure = describe(error)
        if failure is None:
            raise
        print(f"dnarc: {failure.line}", file=sys.stderr)
        sys.exit(failure.exit_code)


def _open_standard_streams() -> None:
    """Open stdin, stdout and stderr on the null device where the caller closed them.

    Otherwise the next file that is opened, such as the store, would get the number of stdout, and somebody would write
    into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gives the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - open until the process ends
