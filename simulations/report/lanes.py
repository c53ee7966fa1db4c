"""Lanes: what befell each machine over the whole run, one line for each, as in the space-time diagrams of textbooks."""

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

_ENDS: Final = ("killed", "power cut", "down", "failed")
_TURNS: Final = ("parted", "silenced", "healed", "calm", "settled", "reset", "restored", "weather")
"""Lines of the trace about no single machine that a reader wants to see."""


class _Turn(msgspec.Struct, frozen=True):
    """A line of the trace that is drawn from top to bottom, and the row above in which its name stands, on its
    left side where it is too far right for the other.
    """

    line: TraceLine
    is_left: bool
    row: int


class _Paper(msgspec.Struct, frozen=True):
    """The axis of time, a lane for each name, and above them as many rows as the turns take."""

    axis: Axis
    names: Sequence[str]
    rows: int = 0

    @property
    def top(self) -> float:
        return self.rows * _EVENT_HIGH + 10

    @property
    def lane_high(self) -> float:
        return 26.0 if len(self.names) <= 12 else 15.0

    @property
    def height(self) -> float:
        return self.top + self.lane_high * len(self.names) + _BOTTOM

    def x(self, at_s: float) -> float:
        return _LEFT + self.axis.place(at_s) * (WIDTH - _LEFT - _RIGHT)

    def y(self, name: str) -> float:
        return self.top + (self.names.index(name) + 0.5) * self.lane_high


def picture(recorder: Recorder, lines: Sequence[TraceLine], faults: Sequence[Fault], end_s: float) -> Markup:
    """The figure. Beyond `LANES_MAX` machines the first are shown."""
    machines = list(recorder.cluster.machines)
    paper = _Paper(time_axis(end_s), machines[:LANES_MAX])
    turns = _turns(paper, lines)
    paper = msgspec.structs.replace(paper, rows=max((it.row + 1 for it in turns), default=0))
    parts = [
        *(_fault(paper, it) for it in faults),
        *_events(paper, turns),
        *(_lane(paper, name, lines, end_s) for name in paper.names),
        *_arrivals(paper, recorder),
        *_axis(paper),
    ]
    words = "A line is a machine that is up"
    hidden = len(machines) - len(paper.names)
    more = f"; {hidden} machines more are not drawn" if hidden else ""
    keys = [_key("c0", "record came"), _key("c1", "record written here"), _key("c4", "head taken back")]
    if faults:
        keys.append(_key("fault", "a fault of the plan, named where the pointer rests"))
    return tag(
        "figure",
        tag("figcaption", f"{words}{more}.", tag("div", *keys, class_="keys")),
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
    """From when to when it was up."""
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
    """Dots, those of what came first, so that those of what was written lie above them."""
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


def _turns(paper: _Paper, lines: Sequence[TraceLine]) -> list[_Turn]:
    """Turns of the story, their names in rows, so that neighbours do not touch."""
    found = []
    free = [0.0] * _EVENT_ROWS
    for line in [it for it in lines if not it.where and it.what in _TURNS][:EVENTS_MAX]:
        x, wide = paper.x(line.at_s), _LETTER_WIDE * len(line.what) + 8
        left = x - wide if x + wide > WIDTH else x
        row = next((it for it in range(_EVENT_ROWS) if free[it] <= left), _EVENT_ROWS - 1)
        free[row] = left + wide
        found.append(_Turn(line, left < x, row))
    return found


def _events(paper: _Paper, turns: Sequence[_Turn]) -> Iterable[Markup]:
    for turn in turns:
        line, x, y = turn.line, paper.x(turn.line.at_s), 10 + turn.row * _EVENT_HIGH
        words = tag("title", f"{line.at_s:.3f} s: {line.what} {line.facts}")
        yield tag("line", x1=x, x2=x, y1=y - 8, y2=paper.height - _BOTTOM, class_="event")
        at, style = (x - 4, "event-name end") if turn.is_left else (x + 4, "event-name")
        yield tag("text", line.what, words, x=at, y=y, class_=style)


def _axis(paper: _Paper) -> Iterable[Markup]:
    bottom = paper.height - _BOTTOM
    yield tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="foot")
    for tick in paper.axis.ticks():
        yield tag("text", paper.axis.write(tick), x=paper.x(tick), y=bottom + 17, class_="tick middle")
