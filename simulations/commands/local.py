"""`dnarc simulate local`: a network of real processes from a terminal, and its result."""

import signal
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.input.options import AsJson
from node.cli.output.screen import show, table
from simulations.commands.report_file import ReportFile, check_report, write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from simulations.processes.local import LocalResult, ShowProgress

_FAILED = 1
_TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that ended by SIGTERM, as shells show it."""


def local(
    nodes: Annotated[int, typer.Option(min=2, max=200, help="How many nodes; each is a process of about 60 MB.")] = 20,
    records: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many records users write.")] = 2_000,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="How often something is broken and repaired.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice, but not the kernel's timing.")] = 1,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a network of real nodes on loopback, break it, repair it, and check that all nodes agree.

    Nodes are processes with files and sockets, and are used over HTTP only. Some nodes are killed (`kill -9`), links
    are cut, and users write to the nodes that answer. The exit code is 1 if an acknowledged record is lost or nodes
    differ.
    """
    from simulations.processes.local import LocalPlan, run_local

    check_report(report)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    with TemporaryDirectory(prefix="dnarc-local-") as folder, progress_bars() as show_progress:
        plan = LocalPlan(nodes, records, rounds, seed)
        result = run_local(plan, Path(folder), show_progress)
    if report is not None:
        from simulations.report.local import local_page

        repeat = f"dnarc simulate local --nodes {nodes} --records {records} --rounds {rounds} --seed {seed}"
        write_report(report, local_page(plan, result, repeat))
    show(asdict(result) | {"is_good": result.is_good}, as_json, lambda: render(result))
    if not result.is_good:
        raise typer.Exit(_FAILED)


@contextmanager
def progress_bars() -> "Iterator[ShowProgress]":
    """A bar on stderr for each thing that is being done, if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    bars: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:

        def show_progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        yield show_progress


def render(result: "LocalResult") -> "RenderableType":
    """The table for people."""
    refused = ", ".join(f"{count} {code}" for code, count in sorted(result.refused.items())) or "none"
    ended = "never" if result.seconds is None else f"{result.seconds:.2f} s after the last repair"
    rows = [
        ("nodes and links", f"{result.nodes} and {result.links}"),
        ("what was broken", "; ".join(result.faults)),
        ("records acknowledged", f"{result.acknowledged:,}"),
        ("refused", refused),
        ("unanswered", f"{result.unanswered:,}"),
        ("contested labels", f"{result.contested:,}"),
        ("all nodes held the same records", ended),
        ("the same heads on all nodes", "yes" if result.is_one_state else "no"),
        ("acknowledged and lost", f"{len(result.lost):,}"),
    ]
    return table(["measure", "~figure"], [list(row) for row in rows], title="A network of real nodes")
