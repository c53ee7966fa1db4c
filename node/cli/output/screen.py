"""What commands print: JSON for programs, text and tables for people.

A character that the output's encoding lacks is shown as an escape, so that a command never fails at its last step.
"""

import codecs
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from node.cli.output.text import escape_json, json_escape, safe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

ESCAPES: Final = "dnarc-escapes"
"""The error handler for output: it writes each character that the encoding lacks as JSON would escape it."""

FILE_COLUMNS: Final = 200
"""Width of the output where it is no terminal and `COLUMNS` is not set: room for a key and an id in one row."""


def prepare_output() -> None:
    """Let stdout and stderr take any character."""
    codecs.register_error(ESCAPES, _escape_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ESCAPES)


def show(value: Any, as_json: bool, render: Callable[[], "RenderableType"]) -> None:
    """Answer on stdout: the value as one line of JSON, or what `render` makes of it."""
    with reader_may_leave():
        if as_json:
            sys.stdout.write(json_text(msgspec.json.encode(value)) + "\n")
            return
        from rich.text import Text

        answer = render()
        console().print(answer, soft_wrap=isinstance(answer, Text))


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Write to stdout in this block: if its reader goes away, as `head` does, the block ends without an error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left when it ends


def console() -> "Console":
    """Stdout as rich writes to it."""
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    return Console(highlight=False, markup=False, emoji=False, width=None if is_terminal else _file_columns())


def json_text(line: bytes) -> str:
    """JSON for stdout. A terminal gets every character that cannot be seen as an escape, a program the exact bytes."""
    text = line.decode()
    return escape_json(text) if sys.stdout.isatty() else text


def warn(text: str) -> None:
    print(f"dnarc: warning: {safe(text)}", file=sys.stderr)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> "RenderableType":
    """A table; `node.cli.output.tables.Sheet` explains the names of columns."""
    from node.cli.output.tables import Sheet

    return Sheet(columns, rows, title)


def _file_columns() -> int:
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else FILE_COLUMNS


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError), "the handler is for output alone"
    return "".join(map(json_escape, error.object[error.start : error.end])), error.end
