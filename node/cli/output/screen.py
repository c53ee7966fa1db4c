"""What commands print: JSON for programs, text and tables for people.

A command never fails because of its output: a character that the encoding lacks is shown as an escape, and a reader
that goes away, as `head` does, ends the output without an error.
"""

import codecs
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

from node.cli.output.text import escape_json, json_escape
from node.console.visible_text import safe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

ESCAPES: Final = "dnarc-escapes"
"""The name of an error handler for output. It escapes each character that the encoding lacks, as JSON does."""

FILE_COLUMNS: Final = 200
"""Width of output that is no terminal, if `COLUMNS` is not set. A key and an id fit in one row."""


def prepare_output() -> None:
    """Make stdout and stderr accept every character."""
    codecs.register_error(ESCAPES, _escape_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ESCAPES)


def show(value: Any, as_json: bool, render: Callable[[], "RenderableType"]) -> None:
    """Write an answer to stdout: the value as one line of JSON, or what `render` returns."""
    with reader_may_leave():
        if as_json:
            import msgspec

            sys.stdout.write(json_text(msgspec.json.encode(value)) + "\n")
            return
        from rich.text import Text

        answer = render()
        console().print(answer, soft_wrap=isinstance(answer, Text))


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End the block without an error if the reader of stdout goes away, as `head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)


def console() -> "Console":
    """A console that writes to stdout. If the reader goes away, it raises BrokenPipeError, where rich exits with 1."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    is_terminal = sys.stdout.isatty()
    return Output(highlight=False, markup=False, emoji=False, width=None if is_terminal else _file_columns())


def json_text(line: bytes) -> str:
    """JSON for stdout. A terminal gets invisible characters as escapes, a program gets the exact bytes."""
    text = line.decode()
    return escape_json(text) if sys.stdout.isatty() else text


def warn(text: str) -> None:
    """Write a warning to stderr."""
    complain(f"warning: {safe(text)}")


def complain(line: str) -> None:
    """Write a line to stderr. If nobody reads stderr, the command goes on."""
    try:
        print(f"dnarc: {line}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        _discard(sys.stderr)


def _discard(stream: IO[str]) -> None:
    """Send the rest of a stream to nowhere, because Python writes its buffer at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> "RenderableType":
    """A table. `node.cli.output.tables.Sheet` explains the names of the columns."""
    from node.cli.output.tables import Sheet

    return Sheet(columns, rows, title)


def _file_columns() -> int:
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else FILE_COLUMNS


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError), "only output uses this handler"
    return "".join(map(json_escape, error.object[error.start : error.end])), error.end
