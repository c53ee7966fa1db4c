"""Lanes: what happened to each machine during the run, one line for each, as in the space-time diagrams of
textbooks.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from simulations.report.markup import Markup, join, tag
from simulations.report.recorder import Recorder
from simulations.report.scale import Axis, time_axis
from simulations.swarm.plan import Fault
from simulations.world.trace import TraceLine

WIDTH: Final = 720.0
LANES_MAX: Final = 40
DOTS_MAX: Final = 4_000
EVENTS_MAX: Final = 14
_LEFT, _RIGHT, _BOTTOM = 70.0, 16.0, 28.0
_EVENT_ROWS: Final = 4
_EVENT_HIGH: Final = 13.0
_LETTER_WIDE: Final = 6.0

_NARROW_FROM: Final = 12
"""With more machines than this, lanes are narrow."""

_ENDS: Final = ("killed", "power cut", "down", "failed")
"""The lines of the trace that end a node."""

_MARKED: Final = ("parted", "silenced", "healed", "calm", "settled", "reset", "restored", "weather")
"""The lines of the trace about the whole network that the picture marks."""


class _Marker(msgspec.Struct, frozen=True):
    """A line of the trace that is marked from top to bottom. `row`: the row above the lanes that has its name.
    `is_left`: the name stands on the left of the mark, because there is no room on the right.
    """

    line: TraceLine
    is_left: bool
    row: int


class _Paper(msgspec.Struct, frozen=True):
    """The time axis, a lane for each name, and above them the rows for the names of markers."""

    axis: Axis
    names: Sequence[str]
    rows: int = 0

    @property
    def top(self) -> float:
        return self.rows * _EVENT_HIGH + 10

    @property
    def lane_high(self) -> float:
        return 26.0 if len(self.names) <= _NARROW_FROM else 15.0

    @property
    def height(self) -> float:
        return self.top + self.lane_high * len(self.names) + _BOTTOM

    def x(self, at_s: float) -> float:
        return _LEFT + self.axis.place(at_s) * (WIDTH - _LEFT - _RIGHT)

    def y(self, name: str) -> float:
        return self.top + (self.names.index(name) + 0.5) * self.lane_high


def picture(recorder: Recorder, lines: Sequence[TraceLine], faults: Sequence[Fault], end_s: float) -> Markup:
    """The figure. Shows the first `LANES_MAX` machines. `end_s`: where the time axis ends."""
    machines = list(recorder.cluster.machines)
    paper = _Paper(time_axis(end_s), machines[:LANES_MAX])
    markers = _markers(paper, lines)
    paper = msgspec.structs.replace(paper, rows=max((it.row + 1 for it in markers), default=0))
    parts = [
        *(_fault(paper, it) for it in faults),
        *_draw_markers(paper, markers),
        *(_lane(paper, name, lines, end_s) for name in paper.names),
        *_arrivals(paper, recorder),
        *_axis(paper),
    ]
    words = "Each line is a machine while its node runs."
    hidden = len(machines) - len(paper.names)
    more = f" {hidden} further machines are not drawn." if hidden else ""
    keys = [_key("c0", "a record came"), _key("c1", "a record was written here"), _key("c4", "a head was taken back")]
    if faults:
        keys.append(_key("fault", "a fault of the plan: point at it for its name"))
    return tag(
        "figure",
        tag("figcaption", f"{words}{more}", tag("div", *keys, class_="keys")),
        tag("svg", *parts, viewBox=f"0 0 {WIDTH:g} {paper.height:g}", role="img", aria_label="Machines over time"),
        class_="lanes",
    )


def _key(style: str, words: str) -> Markup:
    return tag("span", tag("i", class_=f"dot {style}"), words, class_="key")


def _lane(paper: _Paper, name: str, lines: Sequence[TraceLine], end_s: float) -> Markup:
    y = paper.y(name)
    spans = [
        tag("line", x1=paper.x(begin), x2=paper.x(end), y1=y, y2=y, class_="lane")
        for begin, end in _lives(lines, name, end_s)
    ]
    return join([tag("text", name, x=_LEFT - 10, y=y + 4, class_="end"), *spans])


def _lives(lines: Sequence[TraceLine], name: str, end_s: float) -> Iterable[tuple[float, float]]:
    """The spans in which the machine's node ran, in seconds."""
    begin: float | None = None
    for line in lines:
        if line.where != name:
            continue
        if line.what == "up":
            begin = line.at_s
        elif line.what in _ENDS and begin is not None:
            yield begin, line.at_s
            begin = None
    if begin is not None:
        yield begin, end_s


def _fault(paper: _Paper, fault: Fault) -> Markup:
    left, right = paper.x(fault.at_s), paper.x(fault.at_s + fault.for_s)
    size = {"width": max(1.5, right - left), "height": paper.lane_high - 2}
    words = tag("title", f"{fault.kind} for {fault.for_s:.1f} s: {' '.join(fault.machines)}")
    lanes = [it for it in fault.machines if it in paper.names]
    return join(
        tag("rect", words, x=left, y=paper.y(it) - size["height"] / 2, rx=3.0, class_="fault", **size) for it in lanes
    )


def _arrivals(paper: _Paper, recorder: Recorder) -> Iterable[Markup]:
    """The dots: first those of records that came, so that those of written records lie above them."""
    shown = [
        it for arrivals in recorder.arrivals.values() for it in list(arrivals.values())[1:] if it.machine in paper.names
    ]
    step = -(-len(shown) // DOTS_MAX) or 1
    for it in shown[::step]:
        yield tag("circle", cx=paper.x(it.at_s), cy=paper.y(it.machine), r=2.2, class_="came")
    for record_id, arrivals in recorder.arrivals.items():
        first = next(iter(arrivals.values()))
        if first.machine in paper.names:
            words = tag("title", f"{recorder.records[record_id].label}, {first.at_s:.3f} s")
            yield tag("circle", words, cx=paper.x(first.at_s), cy=paper.y(first.machine), r=3.6, class_="wrote")
    for taken in recorder.reversals:
        if taken.machine in paper.names:
            yield _triangle(paper.x(taken.at_s), paper.y(taken.machine), f"{taken.label}: {taken.reason}")


def _triangle(x: float, y: float, words: str) -> Markup:
    corners = f"{x:.1f},{y - 6:.1f} {x + 5.5:.1f},{y + 4.5:.1f} {x - 5.5:.1f},{y + 4.5:.1f}"
    return tag("polygon", tag("title", words), points=corners, class_="taken")


def _markers(paper: _Paper, lines: Sequence[TraceLine]) -> list[_Marker]:
    """The markers, each in a row in which its name does not touch its neighbour's."""
    found = []
    free = [0.0] * _EVENT_ROWS
    for line in [it for it in lines if not it.where and it.what in _MARKED][:EVENTS_MAX]:
        x, wide = paper.x(line.at_s), _LETTER_WIDE * len(line.what) + 8
        left = x - wide if x + wide > WIDTH else x
        row = next((it for it in range(_EVENT_ROWS) if free[it] <= left), _EVENT_ROWS - 1)
        free[row] = left + wide
        found.append(_Marker(line, left < x, row))
    return found


def _draw_markers(paper: _Paper, markers: Sequence[_Marker]) -> Iterable[Markup]:
    for marker in markers:
        line, x, y = marker.line, paper.x(marker.line.at_s), 10 + marker.row * _EVENT_HIGH
        words = tag("title", f"{line.at_s:.3f} s: {line.what} {line.facts}")
        yield tag("line", x1=x, x2=x, y1=y - 8, y2=paper.height - _BOTTOM, class_="event")
        at, style = (x - 4, "event-name end") if marker.is_left else (x + 4, "event-name")
        yield tag("text", line.what, words, x=at, y=y, class_=style)


def _axis(paper: _Paper) -> Iterable[Markup]:
    bottom = paper.height - _BOTTOM
    yield tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="foot")
    for tick in paper.axis.ticks():
        yield tag("text", paper.axis.write(tick), x=paper.x(tick), y=bottom + 17, class_="tick middle")
