"""The screen: JSON for programs, tables for people, and nothing from the network that could steer a terminal."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType
    from rich.text import Text

_WIDTH_OF_A_FILE: Final = 200
"""Columns of what no terminal shows: room for a key and an id in one row."""

_LAST_SECOND: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


def show(value: Any, as_json: bool, render: Callable[[], "RenderableType"]) -> None:
    """Answer on stdout: the value as one line of JSON, or what `render` makes of it."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    answer = render()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
    console.print(answer, soft_wrap=isinstance(answer, Text))


def warn(text: str) -> None:
    print(f"dnarc: warning: {safe(text)}", file=sys.stderr)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> "RenderableType":
    """A table. A column whose name begins with `#` holds numbers, set to the right; one with `~` may be folded."""
    from rich import box
    from rich.table import Table

    result = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: JustifyMethod = "right" if column.startswith("#") else "left"
        result.add_column(column.lstrip("#~"), justify=justify, overflow="fold", no_wrap=not column.startswith("~"))
    for row in rows:
        result.add_row(*map(plain, row))
    return result


def plain(value: object, style: str = "") -> "Text":
    """A value as text in which nothing is markup."""
    from rich.text import Text

    return Text(safe("" if value is None else str(value)), style)


def safe(text: str) -> str:
    """The text with everything that is not to be seen spelled out: claims are written by strangers."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def compact(value: Any) -> str:
    """A JSON value in one line, for a cell."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def moment(timestamp: int | None) -> str:
    """Seconds since the Unix epoch as date and time in UTC; a number that no calendar reaches as it is."""
    if timestamp is None or not 0 <= timestamp <= _LAST_SECOND:
        return "" if timestamp is None else str(timestamp)
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def short(name: str | None) -> str:
    """The beginning of a key or an id: enough to tell a few apart, for people only."""
    return "" if name is None else name[:12]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", errors="backslashreplace").decode()
