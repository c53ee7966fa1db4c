"""`dnarc simulate broadcast`: the experiments from a terminal, our figures beside the published ones."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from node.cli.commands.options import AsJson
from node.cli.output.failures import usage
from node.cli.output.progress import progress
from node.cli.output.screen import show, table
from simulations.commands.report_file import ReportFile, check_report, write_report

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from rich.console import RenderableType

    from simulations.broadcast.comparison import Row
    from simulations.broadcast.experiments import Experiment, ExperimentResult


_steps: "Queue[int] | None" = None


def broadcast(  # noqa: PLR0913 - a command has as many options as it has
    nodes: Annotated[int, typer.Option(min=10, max=1_000_000, help="How many nodes.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="What chance begins with.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="How many seeds, from --seed on.")] = 1,
    cycles: Annotated[int, typer.Option(min=1, max=10_000, help="Broadcasts of each kind.")] = 20,
    failed: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=0.99, metavar="SHARE", help="Share that fails at once; as often as you like."),
    ] = None,
    latency_ms: Annotated[
        tuple[int, int],
        typer.Option(min=1, max=60_000, metavar="MIN MAX", help="Latency, drawn for each pair of nodes."),
    ] = (50, 50),
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Seeds at once, each in a process of its own.")] = 1,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw them, as PNG, SVG or PDF.")] = None,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Spread records over many nodes, let some of them fail, and compare with the published figures.

    Runs the gossip and membership of a node, and nothing else of it. The same options give the same figures.
    """
    from simulations.broadcast.comparison import comparison_rows
    from simulations.broadcast.experiments import Experiment
    from simulations.broadcast.network import Conditions

    check_plot(plot)
    check_report(report)
    if latency_ms[0] > latency_ms[1]:
        raise usage("the first latency is the least")
    plan = Experiment(nodes=nodes, cycles=cycles, drip_cycles=cycles, conditions=Conditions(*latency_ms))
    if failed is not None:
        plan = msgspec.structs.replace(plan, failures=tuple(sorted(set(failed))))
    plans = [msgspec.structs.replace(plan, seed=each) for each in range(seed, seed + seeds)]
    reports = run_all(plans, jobs)
    compared = comparison_rows(reports)
    if plot is not None:
        from simulations.broadcast.plot import draw_plots

        draw_plots(reports, plot)
    if report is not None:
        from simulations.report.broadcast import broadcast_page

        repeat = f"dnarc simulate broadcast --nodes {nodes} --seed {seed} --seeds {seeds} --cycles {cycles}"
        repeat += f" --latency-ms {latency_ms[0]} {latency_ms[1]}" + "".join(f" --failed {it:g}" for it in failed or ())
        write_report(report, broadcast_page(plans[0], reports, compared, repeat))
    show({"comparison": compared, "reports": reports}, as_json, lambda: render(plans, compared))


def run_all(plans: "Sequence[Experiment]", jobs: int) -> "list[ExperimentResult]":
    """The reports in the order of the plans, however many run at once."""
    from simulations.broadcast.experiments import run_experiments

    with progress(f"{plans[0].nodes:,} nodes", sum(plan.work for plan in plans)) as advance:
        if jobs == 1 or len(plans) == 1:
            return [run_experiments(plan, advance) for plan in plans]
        context = multiprocessing.get_context("spawn")
        steps: Queue[int] = context.Queue()
        with ProcessPoolExecutor(jobs, context, _report_to, (steps,)) as pool:
            running = [pool.submit(_run_apart, plan) for plan in plans]
            while not all(each.done() for each in running):
                with suppress(Empty):
                    advance(steps.get(timeout=0.5))
            return [each.result() for each in running]


def _report_to(steps: "Queue[int]") -> None:
    """In a process of its own: where to tell how far it is."""
    global _steps  # noqa: PLW0603 - what a process is begun with, its work cannot be given
    _steps = steps


def _run_apart(plan: "Experiment") -> "ExperimentResult":
    from simulations.broadcast.experiments import run_experiments

    assert _steps is not None
    return run_experiments(plan, _steps.put)


def render(plans: "Sequence[Experiment]", compared: "Sequence[Row]") -> "RenderableType":
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
