"""The page about the broadcast experiments: our figures over the published ones, and a few broadcasts as pictures."""

from collections.abc import Sequence
from statistics import mean, median
from typing import Final

from simulations.broadcast import published
from simulations.broadcast.comparison import Row, percent, settled
from simulations.broadcast.experiments import FAILURE_CYCLE_S, Broadcast, Experiment, ExperimentResult
from simulations.report import spread
from simulations.report.chart import Series, chart
from simulations.report.markup import Markup, join
from simulations.report.page import Tile, html_table, page, repeat_line, section, tiles
from simulations.report.run import delays_chart
from simulations.report.scale import Axis, count_axis
from simulations.report.small_broadcast import broadcast_delays_s, drawn_broadcasts
from simulations.report.words import count

_REDUNDANCY_MIN: Final = 0.001
"""Smaller values are drawn as this one, because a scale by powers of ten has no zero."""

_SHARE_SHOWN_MIN: Final = 0.5
"""Failures of smaller shares have no tile and no line of their own."""

_PUBLISHED_COLOUR: Final = 5
_COLOURS: Final = 6

_MODES: Final = tuple(published.STABLE)[1:]


def broadcast_page(plan: Experiment, results: Sequence[ExperimentResult], compared: Sequence[Row], repeat: str) -> str:
    """The page about these results, whose plans differ only in their seeds. `plan`: that of the first result.
    `compared`: their comparison with the papers. `repeat`: the command that runs them again.
    """
    nodes = count(plan.nodes, "node")
    lede = f"The gossip and membership of a node, over {nodes}, {count(len(results), 'seed')} from {plan.seed} on."
    parts = [
        repeat_line(repeat),
        tiles(_tiles(results)),
        section("Redundancy", _redundancy(results)),
        section("Last delivery hop", _last_hop(results)),
        section("After many fail at once", *_failures(results)) if plan.failures else Markup(""),
        section("Delivery", *_delivery(plan)),
        section("How a broadcast spreads", _spread(plan)),
        section("All figures", _compared(compared)),
    ]
    return page(f"Broadcast over {nodes}", lede, parts)


def _tiles(results: Sequence[ExperimentResult]) -> list[Tile]:
    stable = [each for it in results for mode in _MODES for each in settled(mode, it.stable[mode])]
    optimised = [
        each.last_hop for it in results for each in settled(published.OPTIMISED, it.stable[published.OPTIMISED])
    ]
    items = [
        Tile("Redundancy (RMR)", f"{max(each.redundancy for each in stable):.3f}", "highest after the first broadcast"),
        Tile("Reached while stable", percent(min(each.reliability for each in stable)), "of all nodes, lowest"),
        Tile("Last hop, optimised", f"{median(optimised):.0f}", "median; published 17"),
        Tile("Events", f"{sum(it.events for it in results):,}", "messages and timers"),
    ]
    for place, failure in enumerate(results[0].failures):
        if failure.share >= _SHARE_SHOWN_MIN:
            first = median(it.failures[place].broadcasts[0].reliability for it in results)
            words = f"of the living nodes by the first message after {percent(failure.share)} failed"
            items.append(Tile("Reached", percent(first), words))
    return items


def _redundancy(results: Sequence[ExperimentResult]) -> Markup:
    lines = [_mean_series(mode, place, results) for place, mode in enumerate(_MODES)]
    flood = published.STABLE[published.FLOOD].redundancy
    cycles = len(lines[0].points) - 1
    lines.append(Series("flood, published", [(0, flood), (cycles, flood)], _PUBLISHED_COLOUR, is_dashed=True))
    words = "Superfluous payload messages for each node, mean of all seeds. The first broadcast is a flood."
    return chart("Redundancy", words, count_axis("broadcast", cycles), _redundancy_axis(), lines)


def _mean_series(mode: str, colour: int, results: Sequence[ExperimentResult]) -> Series:
    return Series(mode, _means([it.stable[mode] for it in results]), colour)


def _means(runs: Sequence[Sequence[Broadcast]]) -> list[tuple[float, float]]:
    """The mean redundancy of each broadcast over all seeds."""
    return [(place, mean(each.redundancy for each in same)) for place, same in enumerate(zip(*runs, strict=True))]


def _redundancy_axis() -> Axis:
    return Axis("redundancy (RMR)", _REDUNDANCY_MIN, 5.0, is_log=True, write=_redundancy_words)


def _redundancy_words(value: float) -> str:
    return f"≤ {value:g}" if value <= _REDUNDANCY_MIN else f"{value:g}"


def _last_hop(results: Sequence[ExperimentResult]) -> Markup:
    lines = []
    for colour, mode in enumerate(_MODES):
        same = zip(*(it.stable[mode] for it in results), strict=True)
        points = [(float(place), mean(each.last_hop for each in it)) for place, it in enumerate(same)]
        lines.append(Series(mode, points, colour))
        low, high = published.STABLE[mode].last_hop
        ends = [(points[0][0], (low + high) / 2), (points[-1][0], (low + high) / 2)]
        lines.append(Series("", ends, colour, is_dashed=True, band=[(low, high)] * 2))
    highest = max(y for it in lines for _, y in [*it.points, *it.band])
    words = "Links that the copy with the longest way crossed, mean of all seeds. Dashed: published, for 10,000 nodes."
    x = count_axis("broadcast", lines[0].points[-1][0])
    return chart("Last delivery hop", words, x, count_axis("links", highest), lines)


def _failures(results: Sequence[ExperimentResult]) -> list[Markup]:
    """The chart of the first message after each failure, and the chart of the repairs, if it has a line."""
    pictures = [_first_message(results)]
    recovery = _recovery(results)
    if recovery:
        cycles = count_axis(f"cycle after the failure ({FAILURE_CYCLE_S:g} s each)", len(recovery[0].points) - 1)
        words = "The cost of repairing the tree: redundancy of each broadcast."
        pictures.append(chart("Redundancy after the failure", words, cycles, _redundancy_axis(), recovery))
    return pictures


def _first_message(results: Sequence[ExperimentResult]) -> Markup:
    shares = [failure.share for failure in results[0].failures]
    places = range(len(shares))
    first = [[it.failures[place].broadcasts[0].reliability for it in results] for place in places]
    at_most = [mean(it.failures[place].within_reach for it in results) for place in places]
    means, band = [*zip(shares, map(mean, first), strict=True)], [(min(it), max(it)) for it in first]
    paper = published.FIRST_AFTER_FAILURE
    lines = [
        Series("ours", means, 0, has_marks=True, band=band),
        Series("at most", [*zip(shares, at_most, strict=True)], 1, is_dashed=True),
        Series(
            "published",
            [(share, mean(it)) for share, it in paper.items()],
            _PUBLISHED_COLOUR,
            is_dashed=True,
            band=[*paper.values()],
        ),
    ]
    x = Axis("share of the nodes that failed", 0.0, 1.0, write=percent)
    y = Axis("share of the living nodes", 0.0, 1.0, write=percent)
    words = (
        "The share of the living nodes that the first message after the failure reaches: lowest to highest. "
        "At most: the largest group in which, for each connection, one node still knows the other's address."
    )
    return chart("First message", words, x, y, lines)


def _recovery(results: Sequence[ExperimentResult]) -> list[Series]:
    """The mean redundancy after each failure, cycle by cycle. Small failures are left out if there are several."""
    failures = results[0].failures
    return [
        Series(
            f"{percent(failure.share)} failed",
            _means([it.failures[place].broadcasts for it in results]),
            place % _COLOURS,
        )
        for place, failure in enumerate(failures)
        if failure.share >= _SHARE_SHOWN_MIN or len(failures) == 1
    ]


def _delivery(plan: Experiment) -> list[Markup]:
    nodes, delays = broadcast_delays_s(plan)
    words = (
        f"One broadcast along the tree of {count(nodes, 'node')}, seed {plan.seed}: the share reached after this time."
    )
    return [delays_chart(delays, nodes - 1, "time since it was written", words)]


def _spread(plan: Experiment) -> Markup:
    topology, spreads = drawn_broadcasts(plan)
    words = (
        f"The same protocols on {count(len(topology.names), 'node')}, so few that they can be drawn: the first "
        "broadcast, which is a flood, one along the tree that it left, and one after some nodes failed."
    )
    return spread.picture(topology, spreads, words)


def _compared(compared: Sequence[Row]) -> Markup:
    columns = ("measure", "where", "#published", "#lowest", "#median", "#highest")
    cells = [(it.measure, it.where, it.published, it.lowest, it.median, it.highest) for it in compared]
    return join([html_table(columns, cells)])
