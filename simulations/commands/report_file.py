"""The option `--report`: what is recorded for it, and the writing of the file.

Imports what it needs when there is something to report, so that commands start at once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.output.failures import usage

if TYPE_CHECKING:
    from simulations.report.run import Run
    from simulations.run_result import RunResult
    from simulations.swarm.plan import Plan

ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write a page about it: one HTML file.", dir_okay=False)
]


def check_report(path: Path | None) -> None:
    """Before minutes of work, not after.

    Raises:
        CommandError: there is no such folder.
    """
    if path is not None and not path.absolute().parent.is_dir():
        raise usage(f"{path.parent}: no such folder")


def write_report(path: Path, page: str) -> None:
    """Write it, and say where it is."""
    path.write_text(page, encoding="utf-8")
    typer.echo(f"report: {path}", err=True)


class RunReport:
    """Plays runs of clusters, and records them where there is to be a report; then writes it."""

    def __init__(self, path: Path | None) -> None:
        self.runs: list[Run] = []
        self._path = path

    def play(
        self,
        play: "Callable[..., RunResult]",
        has_lines: bool,
        name: str,
        repeat: str,
        expects: str,
        plan: "Plan | None" = None,
    ) -> "RunResult":
        """`play` is like `simulations.swarm.play.play`: it takes `with_lines` and `watch`."""
        if self._path is None:
            return play(with_lines=has_lines)
        from msgspec.structs import replace

        from simulations.report.recorder import Recorder
        from simulations.report.run import Run

        recorder = Recorder()
        result = play(with_lines=True, watch=recorder.watch)
        repeat = f"{repeat} --report {self._path.name}"
        self.runs.append(Run(name=name, result=result, recorder=recorder, repeat=repeat, expects=expects, plan=plan))
        return result if has_lines else replace(result, lines=[])

    def write(self) -> None:
        """The page about all runs so far, if there is to be one."""
        if self._path is not None:
            from simulations.report.runs import run_page

            write_report(self._path, run_page(self.runs))
