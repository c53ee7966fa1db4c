"""The page about a fleet of real processes: what was done to it, and how all came to hold the same."""

from typing import Final

from simulations.processes.local import LocalPlan, LocalResult
from simulations.report import spread
from simulations.report.markup import Markup, tag
from simulations.report.page import Tile, badge, listed, page, repeated_by, rows, section, tiles
from simulations.report.run import convergence, delays_chart
from simulations.report.scale import time_axis
from simulations.report.spread import Spread, Step, Topology
from simulations.report.words import seconds, size

LOST_SHOWN: Final = 100


def fleet_page(plan: LocalPlan, outcome: LocalResult, repeat: str) -> str:
    """About one run; `plan` is what it was to do."""
    lede = "Real processes on loopback, with files and sockets, driven over HTTP only."
    parts = [
        tag("p", badge(outcome.is_good)),
        repeated_by(repeat),
        tag("p", f"Seed {plan.seed}: it draws what is done; the kernel draws when.", class_="soft"),
        tiles(_tiles(outcome)),
        section("What was done to them", listed(outcome.faults)),
        section("Convergence", _convergence(outcome)),
        *_agreement(outcome),
        section("Refused, contested, lost", _ends(outcome)),
    ]
    return page(f"A fleet of {outcome.nodes} nodes", lede, parts)


def _tiles(outcome: LocalResult) -> list[Tile]:
    redundancy = outcome.copies / outcome.news - 1 if outcome.news else None
    return [
        Tile("Nodes", f"{outcome.nodes:,}", f"{outcome.links:,} links"),
        Tile("Records acknowledged", f"{outcome.acknowledged:,}", f"{outcome.unanswered:,} unanswered"),
        Tile("All held the same", seconds(outcome.seconds), "after the last was mended"),
        Tile("Acknowledged and lost", f"{len(outcome.lost):,}", "by any node"),
        Tile(
            "Redundancy", "–" if redundancy is None else f"{redundancy:.3f}", "copies too many, since each node started"
        ),
        Tile("Over links", size(outcome.link_bytes), "that are open at the end"),
        Tile("Heads taken back", f"{outcome.reverted:,}", "since each node started"),
        Tile("The same heads", "yes" if outcome.is_one_state else "no", "everywhere, in the end"),
    ]


def _convergence(outcome: LocalResult) -> Markup:
    end_s = outcome.differing[-1][0] if outcome.differing else 0.0
    words = "From when the last was mended. "
    return convergence(outcome.differing, [], time_axis(end_s, "time since the last was mended"), words)


def _agreement(outcome: LocalResult) -> list[Markup]:
    """When each node held what all held in the end; nothing where that was never so."""
    agreed = sorted((after_s, number) for number, after_s in enumerate(outcome.agreed_s))
    if not agreed:
        return []
    topology = Topology([str(number) for number in range(outcome.nodes)], outcome.edges)
    steps = [Step(number, after_s) for after_s, number in agreed]
    name = f"what all hold in the end: {outcome.nodes} nodes in {seconds(agreed[-1][0])}"
    words = "A node is filled once it holds all that every node holds in the end."
    time, share = "time since the last was mended", "The share of nodes that held all that every node holds in the end."
    return [
        section("Delivery", delays_chart([after_s for after_s, _ in agreed], outcome.nodes, time, share)),
        section("The network", spread.picture(topology, [Spread(name, steps)], words)),
    ]


def _ends(outcome: LocalResult) -> Markup:
    cells: list[tuple[str, object]] = [(f"refused, {code}", n) for code, n in sorted(outcome.refused.items())]
    cells += [("contested labels, each with one owner in the end", outcome.contested), ("lost", len(outcome.lost))]
    cells += [("lost", record_id) for record_id in outcome.lost[:LOST_SHOWN]]
    return rows(("~what", "#figure"), cells)
