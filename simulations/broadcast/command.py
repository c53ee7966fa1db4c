"""`dnarc simulate broadcast`: the experiments from a terminal, our figures beside the published ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.failures import usage
from node.cli.options import AsJson
from node.cli.progress import progress
from node.cli.screen import show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from simulations.broadcast.comparison import Row
    from simulations.broadcast.experiments import Plan


def broadcast(
    nodes: Annotated[int, typer.Option(min=10, max=1_000_000, help="How many nodes.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="What chance begins with.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="How many seeds, from --seed on.")] = 1,
    cycles: Annotated[int, typer.Option(min=1, max=10_000, help="Broadcasts of each kind.")] = 20,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw them, as PNG, SVG or PDF.")] = None,
    as_json: AsJson = False,
) -> None:
    """Spread records over many nodes, let some of them fail, and compare with the published figures.

    Runs the gossip and membership of a node, and nothing else of it. The same options give the same figures.
    """
    from simulations.broadcast.comparison import rows
    from simulations.broadcast.experiments import Plan, run

    check_plot(plot)
    plans = [Plan(nodes=nodes, seed=each, cycles=cycles, drip_cycles=cycles) for each in range(seed, seed + seeds)]
    with progress(f"{nodes:,} nodes", sum(plan.steps for plan in plans)) as advance:
        reports = [run(plan, advance) for plan in plans]
    compared = rows(reports)
    if plot is not None:
        from simulations.broadcast.plot import draw

        draw(reports, plot)
    show({"comparison": compared, "reports": reports}, as_json, lambda: render(plans, compared))


def render(plans: "Sequence[Plan]", compared: "Sequence[Row]") -> "RenderableType":
    """The table for people."""
    seeds = f"seed {plans[0].seed}" if len(plans) == 1 else f"seeds {plans[0].seed} to {plans[-1].seed}"
    columns = ("measure", "where", "#published", "#lowest", "#median", "#highest")
    cells = [(row.measure, row.where, row.published, row.lowest, row.median, row.highest) for row in compared]
    return table(columns, cells, f"Broadcast over {plans[0].nodes:,} nodes, {seeds}")


def check_plot(plot: Path | None) -> None:
    """Before minutes of work, not after.

    Raises:
        CommandError: it could not be drawn: nothing to draw with, no such format, no such folder.
    """
    if plot is None:
        return
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise usage(f"nothing to draw with: {error}", "pip install 'dnarc[simulations]'") from error
    formats = FigureCanvasBase.get_supported_filetypes()
    if plot.suffix.removeprefix(".") not in formats:
        raise usage(f"{plot}: not one of the formats {', '.join(sorted(formats))}")
    if not plot.absolute().parent.is_dir():
        raise usage(f"{plot.parent}: no such folder")
