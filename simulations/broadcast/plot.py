"""The papers' plots, with our figures drawn over the published ones. Needs the extra `simulations` for matplotlib."""

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


def draw_plots(results: Sequence[ExperimentResult], path: Path) -> None:
    """Draw four plots into one file, whose suffix names the format. Results as in `comparison_rows`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: matplotlib does not write this format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    FigureCanvasAgg(figure)
    plan = results[0].plan
    seeds = ", ".join(str(result.plan.seed) for result in results)
    figure.suptitle(f"Broadcast over {plan.nodes:,} nodes, seeds {seeds} (dashed: published, 10,000 nodes)")
    axes = figure.subplots(2, 2)
    _draw_redundancy(axes[0][0], results)
    _draw_last_hop(axes[0][1], results)
    _draw_first_message(axes[1][0], results)
    _draw_recovery(axes[1][1], results)
    figure.savefig(path)


def _draw_redundancy(axes: "Axes", results: Sequence[ExperimentResult]) -> None:
    axes.set(title="Redundancy (RMR)", xlabel="broadcast", ylabel="payload messages too many, per node")
    axes.set_yscale("symlog", linthresh=0.01)
    for mode in list(published.STABLE)[1:]:
        lines = [[each.redundancy for each in result.stable[mode]] for result in results]
        axes.plot([mean(values) for values in zip(*lines, strict=True)], label=mode)
    flood = published.STABLE[published.FLOOD].redundancy
    axes.axhline(flood, label="flood, published", color=_PUBLISHED_COLOUR, linestyle="--")
    axes.legend()


def _draw_last_hop(axes: "Axes", results: Sequence[ExperimentResult]) -> None:
    axes.set(title="Last delivery hop", xlabel="broadcast", ylabel="links crossed")
    for number, mode in enumerate(list(published.STABLE)[1:]):
        lines = [[each.last_hop for each in result.stable[mode]] for result in results]
        axes.plot([mean(values) for values in zip(*lines, strict=True)], label=mode, color=f"C{number}")
        low, high = published.STABLE[mode].last_hop
        axes.axhspan(low - 0.15, high + 0.15, color=f"C{number}", alpha=0.15)
    axes.legend(title="bands: published")


def _draw_first_message(axes: "Axes", results: Sequence[ExperimentResult]) -> None:
    axes.set(title="First message after many fail at once", xlabel="share failed", ylabel="share of the living reached")
    shares = [failure.share for failure in results[0].failures]
    lines = [[failure.broadcasts[0].reliability for failure in result.failures] for result in results]
    points = list(zip(*lines, strict=True))
    means = [mean(values) for values in points]
    axes.plot(shares, means, marker="o", label="ours")
    axes.fill_between(shares, [*map(min, points)], [*map(max, points)], alpha=0.25)
    within_reach = zip(*([failure.within_reach for failure in result.failures] for result in results), strict=True)
    axes.plot(shares, [*map(mean, within_reach)], label="at most", color="C3", linestyle=":")
    paper = published.FIRST_AFTER_FAILURE
    lowest, highest = ([ends[side] for ends in paper.values()] for side in (0, 1))
    axes.plot([*paper], [*map(mean, paper.values())], label="published", color=_PUBLISHED_COLOUR, linestyle="--")
    axes.fill_between([*paper], lowest, highest, color=_PUBLISHED_COLOUR, alpha=0.25)
    axes.set_ylim(0, 1.02)
    axes.legend()


def _draw_recovery(axes: "Axes", results: Sequence[ExperimentResult]) -> None:
    axes.set(title="Redundancy after many fail at once", xlabel=f"cycle after the failure ({FAILURE_CYCLE_S:g} s)")
    axes.set_ylabel("payload messages too many, per node")
    axes.set_yscale("symlog", linthresh=0.01)
    for number, failure in enumerate(results[0].failures):
        if failure.share < _HALF < results[0].failures[-1].share:
            continue  # ten lines in one plot would be a tangle, so only shares from one half on are drawn
        lines = [[each.redundancy for each in result.failures[number].broadcasts] for result in results]
        axes.plot([mean(values) for values in zip(*lines, strict=True)], marker="o", label=percent(failure.share))
    axes.legend(title="failed at once")
