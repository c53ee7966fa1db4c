"""How records spread: the network drawn, and on it, one record at a time, when each node had it and from whom.

Without a script the picture shows the end: every node with its time, the ways that the record took drawn strong. The
script lets a reader play it, or move through time with a slider, on a scale on which milliseconds and minutes both
have room.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from simulations.report.layout import Position, node_positions
from simulations.report.markup import Markup, tag
from simulations.report.page import as_data, folded, html_table
from simulations.report.words import count, seconds

WIDTH: Final = 720.0
MARGIN: Final = 56.0
NAMED_MAX: Final = 60
"""Nodes; with more of them their names would cover each other."""

HEIGHT_MAX: Final = 560.0


class SpreadStep(msgspec.Struct, frozen=True):
    """Node `node` had it so many seconds after it was written, from node `source`; None: where it was written, or by
    a way that is not known. Nodes by their place in the list of names.
    """

    node: int
    after_s: float
    source: int | None = None


class Spread(msgspec.Struct, frozen=True):
    """One record, or one state, and its way. Steps in the order of time."""

    name: str
    steps: Sequence[SpreadStep]


class Topology(msgspec.Struct, frozen=True):
    """Who is linked with whom. `marks` are nodes to be drawn as if something had happened to them."""

    names: Sequence[str]
    edges: Sequence[tuple[int, int]]


def picture(topology: Topology, spreads: Sequence[Spread], words: str) -> Markup:
    """The figure, with the first of the spreads drawn; the script offers the others."""
    edges = _edges(topology, spreads)
    at, height = _placed(len(topology.names), edges)
    is_named = len(topology.names) <= NAMED_MAX
    radius = 11.0 if is_named else max(2.5, 90 / len(topology.names) ** 0.6)
    first = spreads[0] if spreads else Spread("", [])
    lines = [_edge(edge, at, first) for edge in edges]
    steps = {step.node: step for step in first.steps}
    circles = [
        _node(number, name, at[number], radius, steps.get(number), is_named)
        for number, name in enumerate(topology.names)
    ]
    drawn = tag("svg", *lines, *circles, viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", aria_label=words)
    data = {"edges": edges, "at": [[round(x, 1), round(y, 1)] for x, y in at], "spreads": spreads}
    return tag(
        "figure",
        tag("figcaption", words),
        _controls(spreads),
        drawn,
        tag("script", as_data(data), type="application/json"),
        _as_table(topology, first),
        class_="spread",
    )


def _edges(topology: Topology, spreads: Sequence[Spread]) -> list[tuple[int, int]]:
    """The ties, and whatever else a record went along, each pair once."""
    found = {(min(edge), max(edge)) for edge in topology.edges}
    for spread in spreads:
        found |= {
            (min(step.node, step.source), max(step.node, step.source))
            for step in spread.steps
            if step.source is not None
        }
    return sorted(found)


def _placed(number: int, edges: Sequence[tuple[int, int]]) -> tuple[list[Position], float]:
    """Where each node stands on the paper, and how high the paper is."""
    points = node_positions(number, edges)
    if not points:
        return [], 2 * MARGIN
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    by = min(
        (WIDTH - 2 * MARGIN) / max(right - left, 1e-6),
        (HEIGHT_MAX - 2 * MARGIN) / max(bottom - top, 1e-6),
    )
    shift = (WIDTH - (right - left) * by) / 2
    at = [((x - left) * by + shift, (y - top) * by + MARGIN) for x, y in points]
    return at, (bottom - top) * by + 2 * MARGIN


def _edge(edge: tuple[int, int], at: Sequence[Position], first: Spread) -> Markup:
    ways = {(step.node, step.source) for step in first.steps}
    is_used = edge in ways or edge[::-1] in ways
    (x1, y1), (x2, y2) = at[edge[0]], at[edge[1]]
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="edge used" if is_used else "edge")


def _node(number: int, name: str, place: Position, radius: float, step: SpreadStep | None, is_named: bool) -> Markup:
    after = "never" if step is None else "written here" if step.after_s == 0 else seconds(step.after_s)
    style = "node" + ("" if step is None else " origin has" if step.after_s == 0 else " has")
    x, y = place
    words = [
        tag("text", name, x=x, y=y - radius - 5, class_="middle name"),
        tag("text", after, x=x, y=y + radius + 14, class_="middle after"),
    ]
    return tag(
        "g",
        tag("circle", cx=x, cy=y, r=radius),
        *(words if is_named else ()),
        tag("title", f"{name}: {after}"),
        class_=style,
        data_node=str(number),
    )


def _controls(spreads: Sequence[Spread]) -> Markup | None:
    """Shown by the script: without it there is nothing that they could do."""
    if not spreads:
        return None
    options = [tag("option", it.name, value=str(number)) for number, it in enumerate(spreads)]
    choice = tag("label", "Record ", tag("select", *options)) if len(spreads) > 1 else None
    slider = tag("input", type="range", min="0", max="1000", value="1000", aria_label="Time since it was written")
    play = tag("button", "Play", type="button")
    return tag("div", choice, play, slider, tag("output", ""), class_="controls", hidden=True)


def _as_table(topology: Topology, spread: Spread) -> Markup | None:
    if not spread.steps:
        return None
    names = topology.names
    cells = [
        (names[step.node], seconds(step.after_s), "–" if step.source is None else names[step.source])
        for step in spread.steps
    ]
    return folded(
        f"{spread.name}, as a table ({count(len(cells), 'node')})", html_table(("node", "#after", "from"), cells)
    )
