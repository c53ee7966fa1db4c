"""Charts as SVG: lines over two axes, with a legend. The colours are those of the page, for both themes."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from simulations.report.markup import Markup, join, tag
from simulations.report.scale import Axis

WIDTH: Final = 720.0
HEIGHT: Final = 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 24.0, 12.0, 44.0

POINTS_MAX: Final = 800
"""Points of a line. More of them would lie too close together to be seen."""

Point = tuple[float, float]


class Series(msgspec.Struct, frozen=True):
    """A line through points in rising order of x. A line without a name is not in the legend.

    `colour`: from 0 to 5, a colour of the page. `is_steps`: each value holds until the next point. `band`: the lowest
    and the highest y at each point, drawn as a faint area.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0
    is_steps: bool = False
    is_dashed: bool = False
    has_marks: bool = False
    band: Sequence[Point] = ()


def chart(title: str, words: str, x: Axis, y: Axis, lines: Sequence[Series]) -> Markup:
    """A figure: a sentence about what it shows, a legend if it has several lines, and the picture. `title`: what a
    screen reader says first.
    """
    legend = (
        [tag("span", tag("i", class_=_style(it)), it.name, class_="key") for it in lines if it.name]
        if len(lines) > 1
        else []
    )
    bands = [_band(it, x, y) for it in lines if it.band]
    paper = join([_grid(x, y), *bands, *(_line(it, x, y) for it in lines)])
    picture = tag("svg", paper, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=f"{title}. {words}")
    caption = tag("figcaption", words, tag("div", *legend, class_="keys") if legend else None)
    return tag("figure", caption, picture, class_="chart")


def thin_out(points: Sequence[Point], most: int = POINTS_MAX) -> list[Point]:
    """At most this many of the points, evenly chosen, with the first and the last."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(number * step)] for number in range(most)]


def peaks(points: Sequence[Point], most: int = POINTS_MAX) -> list[Point]:
    """At most about this many points. Of neighbouring points that are put together the highest one stays, so that a dip
    of the line hides no peak.
    """
    if len(points) <= most:
        return list(points)
    size = -(-len(points) // most)
    groups = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [(group[0][0], max(y for _, y in group)) for group in groups[:-1]] + [points[-1]]


def x_at(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (WIDTH - _LEFT - _RIGHT)


def y_at(axis: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - axis.place(value) * (HEIGHT - _TOP - _BOTTOM)


def _grid(x: Axis, y: Axis) -> Markup:
    bottom = HEIGHT - _BOTTOM
    across = [
        tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y_at(y, it), y2=y_at(y, it), class_="grid") for it in y.ticks()
    ]
    beside = [tag("text", y.write(it), x=_LEFT - 8, y=y_at(y, it) + 4, class_="tick end") for it in y.ticks()]
    below = [tag("text", x.write(it), x=x_at(x, it), y=bottom + 17, class_="tick middle") for it in x.ticks()]
    foot = tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="foot")
    names = [
        tag("text", x.name, x=(WIDTH + _LEFT - _RIGHT) / 2, y=HEIGHT - 8, class_="axis middle"),
        tag("text", y.name, transform=f"translate(13 {(bottom + _TOP) / 2:g}) rotate(-90)", class_="axis middle"),
    ]
    return join([*across, foot, *beside, *below, *names])


def _line(series: Series, x: Axis, y: Axis) -> Markup:
    places = [(x_at(x, at), y_at(y, value)) for at, value in series.points]
    if series.is_steps:
        places = list(_as_steps(places))
    drawn = tag("polyline", points=_points_text(places), class_=f"line {_style(series)}")
    marks = [tag("circle", cx=at, cy=value, r=3.0, class_=f"mark {_style(series)}") for at, value in places]
    return join([drawn, *(marks if series.has_marks else ())])


def _as_steps(places: Iterable[Point]) -> Iterable[Point]:
    """The corners of steps: each value holds until the next point."""
    before: float | None = None
    for at, value in places:
        if before is not None and before != value:
            yield at, before
        yield at, value
        before = value


def _band(series: Series, x: Axis, y: Axis) -> Markup:
    above = [(x_at(x, at), y_at(y, high)) for (at, _), (_, high) in zip(series.points, series.band, strict=True)]
    under = [(x_at(x, at), y_at(y, low)) for (at, _), (low, _) in zip(series.points, series.band, strict=True)]
    return tag("polygon", points=_points_text([*above, *reversed(under)]), class_=f"band {_style(series)}")


def _points_text(places: Iterable[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _style(series: Series) -> str:
    return f"c{series.colour}" + (" dashed" if series.is_dashed else "")
