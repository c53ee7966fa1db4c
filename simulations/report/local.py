"""The page about a network of real processes: what was done to it, and how all came to hold the same."""

from typing import Final

from simulations.processes.local import LocalPlan, LocalResult
from simulations.report import spread
from simulations.report.markup import Markup, tag
from simulations.report.page import Tile, badge, html_table, listed, page, repeated_by, section, tiles
from simulations.report.run import convergence, delays_chart
from simulations.report.scale import time_axis
from simulations.report.spread import Spread, SpreadStep, Topology
from simulations.report.words import seconds, size

LOST_SHOWN: Final = 100


def local_page(plan: LocalPlan, result: LocalResult, repeat: str) -> str:
    """About one run; `plan` is what it was to do."""
    lede = "Real processes on loopback, with files and sockets, driven over HTTP only."
    parts = [
        tag("p", badge(result.is_good)),
        repeated_by(repeat),
        tag("p", f"Seed {plan.seed}: it draws what is done; the kernel draws when.", class_="soft"),
        tiles(_tiles(result)),
        section("What was done to them", listed(result.faults)),
        section("Convergence", _convergence(result)),
        *_agreement(result),
        section("Refused, contested, lost", _ends(result)),
    ]
    return page(f"A network of {result.nodes} nodes", lede, parts)


def _tiles(result: LocalResult) -> list[Tile]:
    redundancy = result.copies / result.news - 1 if result.news else None
    return [
        Tile("Nodes", f"{result.nodes:,}", f"{result.links:,} links"),
        Tile("Records acknowledged", f"{result.acknowledged:,}", f"{result.unanswered:,} unanswered"),
        Tile("All held the same", seconds(result.seconds), "after the last was mended"),
        Tile("Acknowledged and lost", f"{len(result.lost):,}", "by any node"),
        Tile(
            "Redundancy", "–" if redundancy is None else f"{redundancy:.3f}", "copies too many, since each node started"
        ),
        Tile("Over links", size(result.link_bytes), "that are open at the end"),
        Tile("Heads taken back", f"{result.reverted:,}", "since each node started"),
        Tile("The same heads", "yes" if result.is_one_state else "no", "everywhere, in the end"),
    ]


def _convergence(result: LocalResult) -> Markup:
    end_s = result.differing[-1][0] if result.differing else 0.0
    words = "From when the last was mended. "
    return convergence(result.differing, [], time_axis(end_s, "time since the last was mended"), words)


def _agreement(result: LocalResult) -> list[Markup]:
    """When each node held what all held in the end; nothing where that was never so."""
    agreed = sorted((after_s, number) for number, after_s in enumerate(result.agreed_s))
    if not agreed:
        return []
    topology = Topology([str(number) for number in range(result.nodes)], result.edges)
    steps = [SpreadStep(number, after_s) for after_s, number in agreed]
    name = f"what all hold in the end: {result.nodes} nodes in {seconds(agreed[-1][0])}"
    words = "A node is filled once it holds all that every node holds in the end."
    time, share = "time since the last was mended", "The share of nodes that held all that every node holds in the end."
    return [
        section("Delivery", delays_chart([after_s for after_s, _ in agreed], result.nodes, time, share)),
        section("The network", spread.picture(topology, [Spread(name, steps)], words)),
    ]


def _ends(result: LocalResult) -> Markup:
    cells: list[tuple[str, object]] = [(f"refused, {code}", n) for code, n in sorted(result.refused.items())]
    cells += [("contested labels, each with one owner in the end", result.contested), ("lost", len(result.lost))]
    cells += [("lost", record_id) for record_id in result.lost[:LOST_SHOWN]]
    return html_table(("~what", "#figure"), cells)
