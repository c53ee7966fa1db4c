"""The command line, `dnarc`: one module for each group of commands.

Results go to stdout, as text and tables, or as JSON with `--json`, which may stand before or after the command's name.
Warnings, progress and errors go to stderr. An error is one line. Every command uses the same exit codes:

    0    done
    1    refused: the node refused the request, or a check found something bad
    2    wrong use: an argument, a setting or a key file is wrong
    3    no node answers, or the node stopped in the middle of an answer
    4    the machine failed: a disk, a port, or a folder in use
    130  interrupted

Each command imports its libraries when it runs, so that `dnarc --help` answers quickly.
"""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code. The arguments are those of `sys.argv` by default."""
    _open_standard_streams()
    from node.cli.output.failures import Exit, describe
    from node.cli.output.screen import complain, prepare_output

    prepare_output()
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        failure = describe(error)
        if failure is None:
            raise
        complain(failure.line)
        sys.exit(failure.exit_code)


def _run(arguments: Sequence[str]) -> None:
    from node.cli.direct import read_flags, serve_directly

    flags = read_flags(arguments, os.environ)
    if flags is not None:
        sys.exit(serve_directly(flags))
    from node.cli.app import app

    app(arguments)


def _open_standard_streams() -> None:
    """Open the null device as stdin, stdout or stderr if the caller closed one of them.

    Otherwise the next file to be opened, for example the store, gets the number of stdout, and output goes into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - stays open until the process ends
