"""How records spread: a picture of the network that shows, for one record at a time, when each node got it and from
whom.

Without a script the picture shows the end: every node with its time, and the links that carried the record as thick
lines. With the script a reader can play it, or move through time with a slider. Its scale has room for milliseconds and
for minutes.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from simulations.report.layout import NodePosition, node_positions
from simulations.report.markup import Markup, tag
from simulations.report.page import details, html_table, json_data
from simulations.report.words import count, seconds

WIDTH: Final = 720.0
MARGIN: Final = 56.0
NAMED_MAX: Final = 60
"""With more nodes than this, names would cover each other, so they are left out."""

HEIGHT_MAX: Final = 560.0


class SpreadStep(msgspec.Struct, frozen=True):
    """Node `node` got the record `after_s` seconds after it was written, from node `source`.

    Nodes are numbered by their place in the list of names. `source` is None where the record was written, or if it is
    not known.
    """

    node: int
    after_s: float
    source: int | None = None


class Spread(msgspec.Struct, frozen=True):
    """How one record, or one state, spread. `steps`: in the order of time."""

    name: str
    steps: Sequence[SpreadStep]


class Topology(msgspec.Struct, frozen=True):
    """The names of the nodes, and which nodes are linked, by their places in the list of names."""

    names: Sequence[str]
    edges: Sequence[tuple[int, int]]


def picture(topology: Topology, spreads: Sequence[Spread], words: str) -> Markup:
    """The figure. It shows the first of the spreads, and the script offers the others. `words`: the caption."""
    edges = _edges(topology, spreads)
    at, height = _place_nodes(len(topology.names), edges)
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
        tag("script", json_data(data), type="application/json"),
        _spread_table(topology, first),
        class_="spread",
    )


def _edges(topology: Topology, spreads: Sequence[Spread]) -> list[tuple[int, int]]:
    """The links, and every other pair of nodes between which a record went. Each pair is there once."""
    found = {(min(edge), max(edge)) for edge in topology.edges}
    for spread in spreads:
        found |= {
            (min(step.node, step.source), max(step.node, step.source))
            for step in spread.steps
            if step.source is not None
        }
    return sorted(found)


def _place_nodes(number: int, edges: Sequence[tuple[int, int]]) -> tuple[list[NodePosition], float]:
    """The position of each node in the picture, and the height of the picture."""
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


def _edge(edge: tuple[int, int], at: Sequence[NodePosition], first: Spread) -> Markup:
    ways = {(step.node, step.source) for step in first.steps}
    is_used = edge in ways or edge[::-1] in ways
    (x1, y1), (x2, y2) = at[edge[0]], at[edge[1]]
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="edge used" if is_used else "edge")


def _node(
    number: int, name: str, place: NodePosition, radius: float, step: SpreadStep | None, is_named: bool
) -> Markup:
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
    """The controls. They are hidden until the script shows them, because they do nothing without it."""
    if not spreads:
        return None
    options = [tag("option", it.name, value=str(number)) for number, it in enumerate(spreads)]
    choice = tag("label", "Record ", tag("select", *options)) if len(spreads) > 1 else None
    slider = tag("input", type="range", min="0", max="1000", value="1000", aria_label="Time since it was written")
    play = tag("button", "Play", type="button")
    return tag("div", choice, play, slider, tag("output", ""), class_="controls", hidden=True)


def _spread_table(topology: Topology, spread: Spread) -> Markup | None:
    if not spread.steps:
        return None
    names = topology.names
    cells = [
        (names[step.node], seconds(step.after_s), "–" if step.source is None else names[step.source])
        for step in spread.steps
    ]
    return details(
        f"{spread.name}, as a table ({count(len(cells), 'node')})", html_table(("node", "#after", "from"), cells)
    )
