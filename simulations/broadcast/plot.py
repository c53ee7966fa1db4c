"""The plots of the papers, ours drawn over the published figures. The library that draws is an extra of its own."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Final

from simulations.broadcast import published
from simulations.broadcast.comparison import percent
from simulations.broadcast.experiments import FAILURE_CYCLE_S, ExperimentResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PUBLISHED_COLOUR: Final = "0.55"
_HALF: Final = 0.5


def draw_plots(reports: Sequence[ExperimentResult], path: Path) -> None:
    """Four plots in one picture; the name of the file says in which format. Reports as in `comparison.rows`.

    Raises:
        ImportError: what draws is not installed.
        ValueError: no such format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    FigureCanvasAgg(figure)
    plan = reports[0].plan
    seeds = ", ".join(str(report.plan.seed) for report in reports)
    figure.suptitle(f"Broadcast over {plan.nodes:,} nodes, seeds {seeds} (dashed: published, 10,000 nodes)")
    axes = figure.subplots(2, 2)
    _draw_redundancy(axes[0][0], reports)
    _draw_last_hop(axes[0][1], reports)
    _draw_first_message(axes[1][0], reports)
    _draw_recovery(axes[1][1], reports)
    figure.savefig(path)


def _draw_redundancy(axes: "Axes", reports: Sequence[ExperimentResult]) -> None:
    axes.set(title="Redundancy (RMR)", xlabel="broadcast", ylabel="payload messages too many, per node")
    axes.set_yscale("symlog", linthresh=0.01)
    for mode in list(published.STABLE)[1:]:
        lines = [[each.redundancy for each in report.stable[mode]] for report in reports]
        axes.plot([mean(values) for values in zip(*lines, strict=True)], label=mode)
    flood = published.STABLE[published.FLOOD].redundancy
    axes.axhline(flood, label="flood, published", color=_PUBLISHED_COLOUR, linestyle="--")
    axes.legend()


def _draw_last_hop(axes: "Axes", reports: Sequence[ExperimentResult]) -> None:
    axes.set(title="Last delivery hop", xlabel="broadcast", ylabel="links crossed")
    for number, mode in enumerate(list(published.STABLE)[1:]):
        lines = [[each.last_hop for each in report.stable[mode]] for report in reports]
        axes.plot([mean(values) for values in zip(*lines, strict=True)], label=mode, color=f"C{number}")
        low, high = published.STABLE[mode].last_hop
        axes.axhspan(low - 0.15, high + 0.15, color=f"C{number}", alpha=0.15)
    axes.legend(title="bands: published")


def _draw_first_message(axes: "Axes", reports: Sequence[ExperimentResult]) -> None:
    axes.set(title="First message after many fail at once", xlabel="share failed", ylabel="share of the living reached")
    shares = [failure.share for failure in reports[0].failures]
    lines = [[failure.broadcasts[0].reliability for failure in report.failures] for report in reports]
    points = list(zip(*lines, strict=True))
    means = [mean(values) for values in points]
    axes.plot(shares, means, marker="o", label="ours")
    axes.fill_between(shares, [*map(min, points)], [*map(max, points)], alpha=0.25)
    within_reach = zip(*([failure.within_reach for failure in report.failures] for report in reports), strict=True)
    axes.plot(shares, [*map(mean, within_reach)], label="at most", color="C3", linestyle=":")
    paper = published.FIRST_AFTER_FAILURE
    lowest, highest = ([ends[side] for ends in paper.values()] for side in (0, 1))
    axes.plot([*paper], [*map(mean, paper.values())], label="published", color=_PUBLISHED_COLOUR, linestyle="--")
    axes.fill_between([*paper], lowest, highest, color=_PUBLISHED_COLOUR, alpha=0.25)
    axes.set_ylim(0, 1.02)
    axes.legend()


def _draw_recovery(axes: "Axes", reports: Sequence[ExperimentResult]) -> None:
    axes.set(title="Redundancy after many fail at once", xlabel=f"cycle after the failure ({FAILURE_CYCLE_S:g} s)")
    axes.set_ylabel("payload messages too many, per node")
    axes.set_yscale("symlog", linthresh=0.01)
    for number, failure in enumerate(reports[0].failures):
        if failure.share < _HALF < reports[0].failures[-1].share:
            continue  # a line for each of ten shares is a tangle
        lines = [[each.redundancy for each in report.failures[number].broadcasts] for report in reports]
        axes.plot([mean(values) for values in zip(*lines, strict=True)], marker="o", label=percent(failure.share))
    axes.legend(title="failed at once")
