"""One table of all cases: a line for each row, with its share of the limit and its aim."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from benchmarks.common.cases import Case, Row

COLUMNS = ("what", "figure", "limit", "share", "aim", "us of processor time")


class Line(msgspec.Struct, frozen=True):
    """A row with its figures. `is_met`: None if there is no aim. A case has no figures because of its `fault`, or
    because this machine lacks something.
    """

    what: str
    figure: float | None = None
    unit: str = ""
    limit: float | None = None
    limit_is: str = ""
    share: float | None = None
    aim: str = ""
    is_met: bool | None = None
    processor_us: dict[str, float] = {}
    fault: str = ""
    lack: str = ""


def lines_of(case: Case, figures: Mapping[str, float]) -> list[Line]:
    return [_line(row, figures) for row in case.rows]


def failed(case: Case, fault: str) -> Line:
    return Line(case.name, fault=fault)


def left_out(case: Case, lack: str) -> Line:
    return Line(case.name, lack=lack)


def _line(row: Row, figures: Mapping[str, float]) -> Line:
    figure = figures[row.figure]
    limit = figures[row.limit] if row.limit else None
    share = None if limit is None else (limit / figure if row.is_time else figure / limit)
    judged = figure if share is None or row.is_of_figure else share
    return Line(
        what=row.what,
        figure=figure,
        unit=row.unit,
        limit=limit,
        limit_is=row.limit_is,
        share=share,
        aim=_aim(row),
        is_met=_is_met(row, judged),
        processor_us={name: figures[key] for name, key in row.processor.items()},
    )


def _aim(row: Row) -> str:
    unit = f" {row.unit}" if row.is_of_figure or not row.limit else ""
    if row.at_least is not None:
        return f">= {row.at_least:,g}{unit}"
    return f"<= {row.at_most:,g}{unit}" if row.at_most is not None else ""


def _is_met(row: Row, judged: float) -> bool | None:
    if row.at_least is not None:
        return judged >= row.at_least
    return judged <= row.at_most if row.at_most is not None else None


def shown(lines: Iterable[Line], title: str, caption: str) -> Table:
    """The table for a terminal: aims that are met are green, others red."""
    table = Table(title=title, caption=caption)
    for name in COLUMNS:
        is_text = name in ("what", "us of processor time")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name == "what")
    for line in lines:
        *cells, aim, processor = _cells(line)
        style = {True: "green", False: "red", None: ""}[line.is_met]
        table.add_row(*cells, Text(aim, style), processor)
    return table


def rows_of(lines: Iterable[Line]) -> list[Sequence[str]]:
    """The table as texts, with its heads."""
    return [COLUMNS, *map(_cells, lines)]


def _cells(line: Line) -> Sequence[str]:
    if line.figure is None:
        return (line.what, f"left out: {line.lack}" if line.lack else f"failed: {line.fault}", "", "", "", "")
    limit = "" if line.limit is None else f"{spell(line.limit)} {line.unit}, {line.limit_is}"
    mark = {True: ": met", False: ": missed", None: ""}[line.is_met]
    return (
        line.what,
        f"{spell(line.figure)} {line.unit}",
        limit,
        "" if line.share is None else f"{line.share:.2f}",
        line.aim + mark,
        ", ".join(f"{name} {spell(value)}" for name, value in line.processor_us.items()),
    )


def spell(value: float) -> str:
    """A figure with three digits or more."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
