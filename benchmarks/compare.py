"""Two commits by turns, and what changed beyond noise: `python -m benchmarks.compare A B [--rounds N] [--only CASE]`.

Each commit is checked out into a temporary folder and runs with the interpreter and the libraries of this environment.
A round runs every case of the table once with each commit, at its quick size, and the commits take turns to be first.
So both meet the same disturbances.

Both commits are measured by the benchmarks of the newer one. If a benchmark of the newer commit cannot run with the
sources of the older one, the older one is measured by its own benchmark of that name. If no benchmark of a commit runs,
the table says so.

A figure gives one ratio B / A a round. It has changed beyond noise if 95 of 100 medians of ratios drawn from these
rounds (bootstrap) lie on the same side of 1, and the median is off by 2 % or more. Six rounds are enough for 5 % of
processor time; rates on a busy machine need more.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import FILE_COLUMNS, CaseError, chosen, run_case
from benchmarks.common import report
from benchmarks.common.cases import Case, Size
from benchmarks.common.table import spell

ROOT: Final = Path(__file__).parents[1]

ROUNDS: Final = 6
DRAWS: Final = 2_000
CONFIDENCE: Final = 0.95
CHANGE_MIN: Final = 0.02
"""Smaller changes are not worth a line, even if they are no noise."""

MORE_IS_BETTER: Final = ("a_second", "ratio")
OF_THE_MACHINE: Final = ("raw_", "bare_", "alone", "floor", "verification_ms", "fdatasync", "interval")
"""Beginnings and parts of the names of figures that say nothing of the program."""


class Side(msgspec.Struct, frozen=True):
    """A commit that is checked out. `path`: folders whose modules count, the first one first."""

    commit: str
    path: tuple[Path, ...]

    def run(self, case: Case, size: Size) -> dict[str, float]:
        """The figures of a case. Raises: CaseError."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, self.path))}
        return run_case(case, size, self.path[0], environment)


class Change(msgspec.Struct, frozen=True):
    """A figure of both commits. `low` and `high` bound the ratio B / A; `verdict` is empty if nothing changed."""

    case: str
    figure: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    verdict: str


def change_of(case: str, figure: str, before: Sequence[float], after: Sequence[float]) -> Change | None:
    """How a figure changed, from one value of each commit a round; None: it is zero somewhere, so it has no ratio."""
    if not all((*before, *after)):
        return None
    ratios = [new / old for old, new in zip(before, after, strict=True)]
    low, high = interval(ratios)
    ratio = statistics.median(ratios)
    return Change(
        case,
        figure,
        statistics.median(before),
        statistics.median(after),
        ratio,
        low,
        high,
        _verdict(figure, ratio, low, high),
    )


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Bounds within which 95 of 100 medians lie that are drawn from these ratios (Efron's bootstrap)."""
    random = Random(0)
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    outside = round(DRAWS * (1 - CONFIDENCE) / 2)
    return medians[outside], medians[-1 - outside]


def _verdict(figure: str, ratio: float, low: float, high: float) -> str:
    if low <= 1 <= high or abs(ratio - 1) < CHANGE_MIN:
        return ""
    if any(part in figure for part in OF_THE_MACHINE) and not figure.startswith("ratio"):
        return "machine"
    is_more = any(part in figure for part in MORE_IS_BETTER)
    return "better" if (ratio > 1) == is_more else "worse"


def _git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def checked_out(repository: Path, commits: Sequence[str]) -> Iterator[list[Path]]:
    """A folder with the files of each commit, removed at the end."""
    with TemporaryDirectory() as temporary:
        folders = [Path(temporary) / f"side-{number}" for number in range(len(commits))]
        try:
            for commit, folder in zip(commits, folders, strict=True):
                _git("worktree", "add", "--detach", str(folder), commit, folder=repository)
            yield folders
        finally:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            _git("worktree", "prune", folder=repository)


class Comparison:
    """Two commits, checked out. `older` and `newer` are places in the pair that the user named."""

    def __init__(self, repository: Path, commits: Sequence[str], folders: Sequence[Path]) -> None:
        base = _git("merge-base", *commits, folder=repository)
        self.newer = 0 if base == _git("rev-parse", commits[1], folder=repository) and commits[0] != commits[1] else 1
        self.notes: list[str] = []
        newest = folders[self.newer]
        mixed = newest.parent / "mixed"
        shutil.copytree(newest / "benchmarks", mixed / "benchmarks")
        self._own = [Side(commit, (folder,)) for commit, folder in zip(commits, folders, strict=True)]
        self._sides = list(self._own)
        self._sides[1 - self.newer] = Side(commits[1 - self.newer], (mixed, folders[1 - self.newer]))

    def sides_of(self, case: Case, size: Size) -> list[Side] | None:
        """How both commits can be measured; None, and a note: they cannot. Each benchmark runs once, which also warms
        the machine up.
        """
        older = 1 - self.newer
        chosen_sides = list(self._sides)
        for place, tries in ((self.newer, [self._own[self.newer]]), (older, [self._sides[older], self._own[older]])):
            side = self._first_that_runs(case, size, tries)
            if side is None:
                return None
            chosen_sides[place] = side
        if chosen_sides[older] is self._own[older]:
            self.notes.append(f"{case.name}: {self._own[older].commit} is measured by its own benchmark")
        return chosen_sides

    def _first_that_runs(self, case: Case, size: Size, tries: Sequence[Side]) -> Side | None:
        faults = []
        for side in tries:
            try:
                side.run(case, size)
                return side
            except CaseError as error:
                faults.append(str(error))
        self.notes.append(f"{case.name}: cannot run with {tries[0].commit}: {'; '.join(dict.fromkeys(faults))}")
        return None


def compare(
    repository: Path, commits: Sequence[str], cases: Sequence[Case], rounds: int, size: Size
) -> tuple[list[Change], list[str]]:
    """What changed from the first commit to the second in every figure; and what could not be measured."""
    with checked_out(repository, commits) as folders:
        comparison = Comparison(repository, commits, folders)
        runnable = [(case, sides) for case in cases if (sides := comparison.sides_of(case, Size.TINY)) is not None]
        results: dict[str, list[list[Mapping[str, float]]]] = {case.name: [[], []] for case, _ in runnable}
        for number in report.progress(range(rounds), "measuring, in turns"):
            for case, sides in runnable:
                for place in (0, 1) if number % 2 else (1, 0):
                    results[case.name][place].append(sides[place].run(case, size))
    return [change for case, (before, after) in results.items() for change in _changes(case, before, after)], (
        comparison.notes
    )


def _changes(
    case: str, before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> Iterator[Change]:
    for figure in before[0]:
        if figure in after[0]:
            change = change_of(case, figure, [it[figure] for it in before], [it[figure] for it in after])
            if change is not None:
                yield change


def table(commits: Sequence[str], changes: Sequence[Change], notes: Sequence[str], *, is_all: bool) -> Table:
    """What changed beyond noise, or everything."""
    listed = [it for it in changes if is_all or it.verdict not in ("", "machine")]
    same = sum(not it.verdict for it in changes)
    caption = "\n".join([f"{same} of {len(changes)} figures did not change beyond noise", *notes])
    shown = Table(title=f"{commits[0]} and {commits[1]} by turns", caption=caption)
    for name in ("case", "figure", *commits, "ratio", "95 % of it", ""):
        shown.add_column(name, justify="left" if name in ("case", "figure", "") else "right")
    for it in listed:
        bounds = f"{it.low:.2f} to {it.high:.2f}"
        figure = it.figure.replace("_", " ")
        shown.add_row(it.case, figure, spell(it.before), spell(it.after), f"{it.ratio:.2f}", bounds, it.verdict)
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    report.log_only_warnings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs=2, metavar="COMMIT", help="what git calls a commit")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds; each runs every case with both commits")
    parser.add_argument("--only", action="append", default=[], metavar="CASE", help="a case or a benchmark; repeatable")
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.QUICK, help="how long each run takes")
    parser.add_argument("--all", action="store_true", help="show also what did not change")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    given = parser.parse_args(arguments)
    commits = [_git("rev-parse", "--short", commit, folder=ROOT) for commit in given.commits]
    changes, notes = compare(ROOT, commits, chosen(given.only, given.size), given.rounds, given.size)
    if given.json:
        facts = {"commits": commits, "machine": report.machine(), "notes": notes}
        print(json.dumps(facts | {"changes": msgspec.to_builtins(changes)}, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else FILE_COLUMNS)
        console.print(table(commits, changes, notes, is_all=given.all))


if __name__ == "__main__":
    main()
