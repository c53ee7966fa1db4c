"""The option `--report`: runs are recorded for the page, and the page is written.

Imports the report's modules only if there is a page to write, so that commands start at once.
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
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write a page about the run, as one HTML file.", dir_okay=False),
]


def check_report(path: Path | None) -> None:
    """Check that the page can be written, before minutes of work.

    Raises:
        CommandError: the folder does not exist.
    """
    if path is not None and not path.absolute().parent.is_dir():
        raise usage(f"{path.parent}: no such folder")


def write_report(path: Path, page: str) -> None:
    """Write the page, and say where it is."""
    path.write_text(page, encoding="utf-8")
    typer.echo(f"report: {path}", err=True)


class RunPlayer:
    """Plays runs of clusters. Records them if a page is wanted, and then writes the page. `runs`: the recorded runs."""

    def __init__(self, path: Path | None) -> None:
        """`path`: where the page is written, None: no page is wanted."""
        self.runs: list[Run] = []
        self._path = path

    def play(
        self,
        play: "Callable[..., RunResult]",
        *,
        with_lines: bool,
        name: str,
        repeat: str,
        expects: str = "",
        plan: "Plan | None" = None,
    ) -> "RunResult":
        """Play one run. Its result has the lines of the trace if `with_lines`.

        `play`: takes `with_lines` and `watch`, as `simulations.swarm.play.play` does. The other arguments are for the
        page; see `Run`.
        """
        if self._path is None:
            return play(with_lines=with_lines)
        from msgspec.structs import replace

        from simulations.report.recorder import Recorder
        from simulations.report.run import Run

        recorder = Recorder()
        result = play(with_lines=True, watch=recorder.watch)
        repeat = f"{repeat} --report {self._path.name}"
        self.runs.append(Run(name=name, result=result, recorder=recorder, repeat=repeat, expects=expects, plan=plan))
        return result if with_lines else replace(result, lines=[])

    def write_page(self) -> None:
        """Write the page about all runs so far, if a page is wanted."""
        if self._path is not None:
            from simulations.report.runs import run_page

            write_report(self._path, run_page(self.runs))
