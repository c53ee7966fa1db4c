"""The page about a local network of real processes: what was broken, and how all nodes came to hold the
same records.
"""

from typing import Final

from simulations.processes.local import LocalPlan, LocalResult
from simulations.report import spread
from simulations.report.markup import Markup, tag
from simulations.report.page import Tile, badge, bullet_list, html_table, page, repeat_line, section, tiles
from simulations.report.run import convergence, delays_chart
from simulations.report.scale import time_axis
from simulations.report.spread import Spread, SpreadStep, Topology
from simulations.report.words import seconds, size

LOST_SHOWN: Final = 100


def local_page(plan: LocalPlan, result: LocalResult, repeat: str) -> str:
    """The page about one run of this plan. `repeat`: the command that runs it again."""
    lede = "Real processes on loopback, with files and sockets, used over HTTP only."
    parts = [
        tag("p", badge(result.is_good)),
        repeat_line(repeat),
        tag("p", f"Seed {plan.seed} decides what is done. The kernel decides when.", class_="soft"),
        tiles(_tiles(result)),
        section("What was broken", bullet_list(result.faults)),
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
        Tile("All held the same records", seconds(result.seconds), "after the last repair"),
        Tile("Acknowledged and lost", f"{len(result.lost):,}", "by any node"),
        Tile(
            "Redundancy",
            "–" if redundancy is None else f"{redundancy:.3f}",
            "superfluous copies for each new record, since each node started",
        ),
        Tile("Over links", size(result.link_bytes), "over links that are open at the end"),
        Tile("Heads taken back", f"{result.reverted:,}", "since each node started"),
        Tile("The same heads", "yes" if result.is_one_state else "no", "on all nodes, at the end"),
    ]


def _convergence(result: LocalResult) -> Markup:
    end_s = result.differing[-1][0] if result.differing else 0.0
    return convergence(result.differing, [], time_axis(end_s, "time since the last repair"))


def _agreement(result: LocalResult) -> list[Markup]:
    """When each node held the final set. Empty if the nodes differ at the end."""
    agreed = sorted((after_s, number) for number, after_s in enumerate(result.agreed_s))
    if not agreed:
        return []
    topology = Topology([str(number) for number in range(result.nodes)], result.edges)
    steps = [SpreadStep(number, after_s) for after_s, number in agreed]
    name = f"the final set: {result.nodes} nodes in {seconds(agreed[-1][0])}"
    words = "A node is filled from the moment on at which it holds the final set of records."
    time, share = "time since the last repair", "The share of nodes that held the final set of records."
    return [
        section("Delivery", delays_chart([after_s for after_s, _ in agreed], result.nodes, time, share)),
        section("The network", spread.picture(topology, [Spread(name, steps)], words)),
    ]


def _ends(result: LocalResult) -> Markup:
    cells: list[tuple[str, object]] = [(f"refused, {code}", n) for code, n in sorted(result.refused.items())]
    cells += [("contested labels, each with one owner at the end", result.contested), ("lost", len(result.lost))]
    cells += [("lost", record_id) for record_id in result.lost[:LOST_SHOWN]]
    return html_table(("~what", "#figure"), cells)
