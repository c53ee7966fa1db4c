"""Tables for people, with a layout that fits the width of the output.

A wide output shows each row in one line. A narrower output shows the last columns under each row. A very narrow output
shows each row as a list of names and values, as psql does in its expanded display.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from rich.measure import Measurement
from rich.text import Text

from node.cli.output.text import plain

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

FOLDED_COLUMNS_MIN: Final = 24
"""The least width of a column that may be folded. If all its cells are narrower, the column is as wide as they are."""

WORD_COLUMNS_MAX: Final = 32
LAST_WORD_COLUMNS_MAX: Final = 64
"""The longest words, in columns of the terminal, that make a column wider. Longer words are broken. The last columns
may stand under their row, so they have room for a whole key.
"""

_MARGIN: Final = 1
_GAP: Final = 3
_INDENT: Final = 4


class Shape(Enum):
    """How the rows are shown."""

    TABLE = "a line for each row"
    SPLIT = "the last columns under each row"
    EXPANDED = "a list of names and values for each row"


class Column(NamedTuple):
    """A column. Its spelling is `"#name"` for numbers, `"~name"` if it may be folded, otherwise `"name"`."""

    name: str
    is_number: bool
    may_fold: bool


class Layout(NamedTuple):
    """The shape of a table, and the widths of the columns that stand in its lines."""

    shape: Shape
    widths: list[int]


class Sheet:
    """Rows under named columns.

    A column whose name begins with `#` holds numbers, which are aligned to the right. A column whose name begins with
    `~` may be folded. A cell is a `Text`, or a value that is shown as text.
    """

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
        self._columns = [Column(name.lstrip("#~"), name[:1] == "#", name[:1] == "~") for name in columns]
        self._rows = [[_cell(value) for value in row] for row in rows]
        self._title = title

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        layout = self.layout(options.max_width)
        yield from self.head(console, layout)
        yield from self.body(console, layout, options.max_width)
        if not self._rows:
            yield Text(" " * _MARGIN + "(none)", "dim")

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> Measurement:
        """The width of the table, so that rich can put two small tables side by side."""
        width = min(options.max_width, _overhead(len(self._columns)) + sum(self._natural()))
        return Measurement(width, width)

    def layout(self, width: int) -> Layout:
        """The layout in which these rows are readable at this width."""
        needed, natural = self._needed(), self._natural()
        kept = len(self._columns) - _last_folding(self._columns)
        for shape, count in ((Shape.TABLE, len(self._columns)), (Shape.SPLIT, kept)):
            room = width - _overhead(count) - sum(needed[:count])
            if count and room >= 0:
                return Layout(shape, _grow(needed[:count], natural[:count], room))
        return Layout(Shape.EXPANDED, [])

    def head(self, console: "Console", layout: Layout) -> Iterator[Text]:
        """The title and the names of the columns."""
        if self._title is not None:
            yield plain(self._title, "bold")
            yield Text("")
        if layout.shape is not Shape.EXPANDED:
            yield from self._lines(console, layout, [Text(column.name, "bold") for column in self._columns])
            yield Text(" " * _MARGIN + "─" * (sum(layout.widths) + _GAP * (len(layout.widths) - 1)))

    def body(self, console: "Console", layout: Layout, width: int, begin: int = 0) -> Iterator[Text]:
        """The rows in a layout. If the layout was made for other rows, cells that are too wide are folded.

        `begin` is the number of rows above these rows.
        """
        for number, row in enumerate(self._rows, begin):
            if layout.shape is Shape.EXPANDED:
                yield from [Text("")] if number else []
                yield from self._expanded(console, row, width)
                continue
            yield from self._lines(console, layout, row)
            if layout.shape is Shape.SPLIT:
                yield from self._below(console, row[len(layout.widths) :], width)

    def _lines(self, console: "Console", layout: Layout, row: Sequence[Text]) -> Iterator[Text]:
        """The lines of a row. The cell with the most lines decides how many."""
        cells = [_fold(console, cell, width) for cell, width in zip(row, layout.widths, strict=False)]
        for height in range(max(len(lines) for lines in cells)):
            line = Text(" " * _MARGIN)
            for number, (lines, width) in enumerate(zip(cells, layout.widths, strict=True)):
                part = lines[height] if height < len(lines) else Text("")
                part.align("right" if self._columns[number].is_number else "left", width)
                line.append_text(Text(" " * _GAP if number else "")).append_text(part)
            line.rstrip()
            yield line

    def _below(self, console: "Console", cells: Sequence[Text], width: int) -> Iterator[Text]:
        """The lines under a row: its last cells. If there are several cells, each has its name."""
        names = [column.name for column in self._columns[-len(cells) :]]
        for name, cell in zip(names, cells, strict=True):
            if cell.plain:
                named = Text(f"{name}: ", "dim").append_text(cell) if len(cells) > 1 else cell
                for line in _fold(console, named, max(1, width - _INDENT)):
                    yield Text(" " * _INDENT).append_text(line)

    def _expanded(self, console: "Console", row: Sequence[Text], width: int) -> Iterator[Text]:
        name_width = max(cell_len(column.name) for column in self._columns)
        for column, cell in zip(self._columns, row, strict=True):
            name = Text(column.name, "dim")
            name.align("left", name_width)
            for line in _fold(console, cell, max(1, width - name_width - 2)) if cell.plain else []:
                yield name.append("  ").append_text(line)
                name = Text(" " * name_width)

    def _natural(self) -> list[int]:
        """The width of each column without folding."""
        return [
            max([cell_len(column.name), *(max(map(cell_len, row[number].plain.split("\n"))) for row in self._rows)])
            for number, column in enumerate(self._columns)
        ]

    def _needed(self) -> list[int]:
        """The least width of each column."""
        kept = len(self._columns) - _last_folding(self._columns)
        needed = self._natural()
        for number, column in enumerate(self._columns):
            if column.may_fold:
                word = min(WORD_COLUMNS_MAX if number < kept else LAST_WORD_COLUMNS_MAX, self._longest_word(number))
                needed[number] = min(needed[number], max(FOLDED_COLUMNS_MIN, word))
        return needed

    def _longest_word(self, number: int) -> int:
        words = (word for row in self._rows for word in row[number].plain.split())
        return max(map(cell_len, words), default=0)


class Pairs(Sheet):
    """Names and values, one below the other at any width."""

    def __init__(self, pairs: Iterable[tuple[str, object]], title: str) -> None:
        named = list(pairs)
        super().__init__([f"~{name}" for name, _ in named], [[value for _, value in named]], title)

    def layout(self, width: int) -> Layout:  # noqa: ARG002 - the same at any width
        return Layout(Shape.EXPANDED, [])


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else plain(value)


def _fold(console: "Console", cell: Text, width: int) -> list[Text]:
    """The lines of a cell. A word that is wider than the column is broken."""
    lines = list(cell.wrap(console, width, overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines


def _last_folding(columns: Sequence[Column]) -> int:
    """The number of columns at the end that may be folded."""
    return sum(1 for _ in takewhile(lambda column: column.may_fold, reversed(columns)))


def _overhead(count: int) -> int:
    return _MARGIN + _GAP * (count - 1)


def _grow(needed: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """The widths after the free room is given to the columns, from the first on, up to the width that each can use."""
    widths = []
    for least, most in zip(needed, natural, strict=True):
        more = min(room, most - least)
        widths.append(least + more)
        room -= more
    return widths
