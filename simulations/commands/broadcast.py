"""`dnarc simulate broadcast`: the experiments from a terminal, with our figures beside the published ones."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.input.options import AsJson
from node.cli.output.failures import usage
from node.cli.output.progress import progress
from node.cli.output.screen import show, table
from simulations.commands.report_file import ReportFile, check_report, write_report

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from rich.console import RenderableType

    from simulations.broadcast.comparison import Row
    from simulations.broadcast.experiments import Experiment, ExperimentResult

PROGRESS_POLL_S: Final = 0.5

_work_done: "Queue[int] | None" = None
"""In a process of a pool: where it reports its progress."""


def broadcast(  # noqa: PLR0913 - a command has one argument for each of its options
    nodes: Annotated[int, typer.Option(min=10, max=1_000_000, help="How many nodes.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The first seed: it decides every random choice.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="How many seeds, from --seed on.")] = 1,
    cycles: Annotated[int, typer.Option(min=1, max=10_000, help="How many broadcasts of each kind.")] = 20,
    failed: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=0.99, metavar="SHARE", help="A share of the nodes that fails at once; repeatable."),
    ] = None,
    latency_ms: Annotated[
        tuple[int, int],
        typer.Option(min=1, max=60_000, metavar="MIN MAX", help="Range of the latency between two nodes, in ms."),
    ] = (50, 50),
    jobs: Annotated[int, typer.Option(min=1, max=256, help="How many seeds run at once, each in a process.")] = 1,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the figures as PNG, SVG or PDF.")] = None,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Spread records over many nodes, let some nodes fail, and compare the figures with the published ones.

    Runs only the gossip and the membership of a node. The same options give the same figures.
    """
    from msgspec.structs import replace

    from simulations.broadcast.comparison import comparison_rows
    from simulations.broadcast.experiments import Experiment
    from simulations.broadcast.network import Conditions

    check_plot(plot)
    check_report(report)
    if latency_ms[0] > latency_ms[1]:
        raise usage("--latency-ms takes the lowest latency first")
    plan = Experiment(nodes=nodes, seed=seed, cycles=cycles, drip_cycles=cycles, conditions=Conditions(*latency_ms))
    if failed is not None:
        plan = replace(plan, failures=tuple(sorted(set(failed))))
    results = run_all([replace(plan, seed=each) for each in range(seed, seed + seeds)], jobs)
    compared = comparison_rows(results)
    draw_files(results, compared, plot, report)
    show({"comparison": compared, "reports": results}, as_json, lambda: render(results, compared))


def run_all(plans: "Sequence[Experiment]", jobs: int) -> "list[ExperimentResult]":
    """Run all plans, `jobs` at once. The results are in the order of the plans."""
    from simulations.broadcast.experiments import run_experiments

    with progress(f"{plans[0].nodes:,} nodes", sum(plan.work for plan in plans)) as advance:
        if jobs == 1 or len(plans) == 1:
            return [run_experiments(plan, advance) for plan in plans]
        context = multiprocessing.get_context("spawn")
        work_done: Queue[int] = context.Queue()
        with ProcessPoolExecutor(jobs, context, _report_to, (work_done,)) as pool:
            running = [pool.submit(_run_in_pool, plan) for plan in plans]
            while not all(each.done() for each in running):
                with suppress(Empty):
                    advance(work_done.get(timeout=PROGRESS_POLL_S))
            return [each.result() for each in running]


def _report_to(work_done: "Queue[int]") -> None:
    """Keep the queue for progress in a process of the pool."""
    global _work_done  # noqa: PLW0603 - a pool hands the queue to its processes only when they start
    _work_done = work_done


def _run_in_pool(plan: "Experiment") -> "ExperimentResult":
    from simulations.broadcast.experiments import run_experiments

    assert _work_done is not None, "the pool has called `_report_to`"
    return run_experiments(plan, _work_done.put)


def draw_files(
    results: "Sequence[ExperimentResult]", compared: "Sequence[Row]", plot: Path | None, report: Path | None
) -> None:
    """Draw the plots and write the page, as far as the options name files for them."""
    if plot is not None:
        from simulations.broadcast.plot import draw_plots

        draw_plots(results, plot)
    if report is not None:
        from simulations.report.broadcast import broadcast_page

        plan = results[0].plan
        write_report(report, broadcast_page(plan, results, compared, repeat_command(plan, len(results))))


def repeat_command(plan: "Experiment", seeds: int) -> str:
    """The command that runs this plan again with this number of seeds."""
    from simulations.broadcast.experiments import Experiment

    conditions = plan.conditions
    flags = f"--nodes {plan.nodes} --seed {plan.seed} --seeds {seeds} --cycles {plan.cycles}"
    flags += f" --latency-ms {conditions.latency_ms_min} {conditions.latency_ms_max}"
    if plan.failures != Experiment().failures:
        flags += "".join(f" --failed {share:g}" for share in plan.failures)
    return f"dnarc simulate broadcast {flags}"


def render(results: "Sequence[ExperimentResult]", compared: "Sequence[Row]") -> "RenderableType":
    """The table for people."""
    first, last = results[0].plan, results[-1].plan
    seeds = f"seed {first.seed}" if len(results) == 1 else f"seeds {first.seed} to {last.seed}"
    columns = ("measure", "where", "#published", "#lowest", "#median", "#highest")
    cells = [(row.measure, row.where, row.published, row.lowest, row.median, row.highest) for row in compared]
    return table(columns, cells, f"Broadcast over {first.nodes:,} nodes, {seeds}")


def check_plot(plot: Path | None) -> None:
    """Check that the plots can be drawn, before minutes of work.

    Raises:
        CommandError: matplotlib is not installed, does not write this format, or the folder does not exist.
    """
    if plot is None:
        return
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise usage(f"plots need matplotlib: {error}", "pip install 'dnarc[simulations]'") from error
    formats = FigureCanvasBase.get_supported_filetypes()
    if plot.suffix.removeprefix(".") not in formats:
        raise usage(f"{plot}: the format is not one of {', '.join(sorted(formats))}")
    if not plot.absolute().parent.is_dir():
        raise usage(f"{plot.parent}: no such folder")
