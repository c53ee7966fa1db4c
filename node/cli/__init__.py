"""The command line: `dnarc`, and one module for each group of commands.

Results go to stdout, for people or (`--json`, before or after the command's name) as plain JSON; warnings, progress and
the one line that an error has go to stderr. Exit codes, the same for every command:

    0    done
    1    refused: by the node, or because something that was checked is bad
    2    the command itself is wrong: an argument, a setting, a key file
    3    no node answers, or it stopped in the middle of an answer
    4    the machine failed: disk, port, a folder in use
    130  interrupted

What a command needs is imported when it runs, so that `dnarc --help` answers at once.
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name, those of `sys.argv` by default, and exit with its code."""
    from node.cli.app import app
    from node.cli.failures import describe

    try:
        app(arguments)
    except Exception as error:
        failure = describe(error)
        if failure is None:
            raise
        print(f"dnarc: {failure.line}", file=sys.stderr)
        sys.exit(failure.exit_code)
