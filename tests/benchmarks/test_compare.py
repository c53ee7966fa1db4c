"""Two commits by turns: what counts as a change, and by whose benchmarks a commit is measured."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.common.cases import Case, Size
from benchmarks.compare import Change, change_of, compare

NOISE = [1.00, 1.03, 0.97, 1.02, 0.98, 1.01]


@pytest.mark.parametrize(
    ("figure", "factor", "verdict"),
    [
        ("claims_a_second", 1.2, "better"),
        ("claims_a_second", 0.8, "worse"),
        ("main_thread_us", 0.8, "better"),
        ("main_thread_us", 1.2, "worse"),
        ("ratio_first_to_bare", 1.2, "better"),
        ("raw_verification_records_a_second", 1.2, "machine"),
        ("main_thread_us", 1.01, ""),
        ("main_thread_us", 1.0, ""),
    ],
)
def test_a_change_is_one_that_all_rounds_show(figure: str, factor: float, verdict: str) -> None:
    before = [100 * share for share in NOISE]
    after = [100 * factor * share for share in reversed(NOISE)]

    change = change_of("case", figure, before, after)

    assert change is not None
    assert change.verdict == verdict


def test_noise_is_no_change_however_far_the_medians_are_apart() -> None:
    change = change_of("case", "main_thread_us", [100, 50, 100, 60, 90, 70], [60, 100, 70, 110, 65, 100])

    assert change is not None
    assert (change.verdict, change.low < 1 < change.high) == ("", True)


def test_a_disturbance_of_both_commits_in_one_round_is_no_change() -> None:
    """The rounds take turns, so a ratio compares two runs of the same minute."""
    change = change_of("case", "main_thread_us", [100, 300, 101, 99, 250, 100], [120, 360, 121, 119, 300, 120])

    assert change is not None
    assert (round(change.ratio, 2), change.verdict) == (1.2, "worse")


def test_a_figure_that_is_zero_has_no_ratio() -> None:
    assert change_of("case", "rounds", [0, 0], [0, 1]) is None


def commit(repository: Path, files: dict[str, str]) -> str:
    """Make a commit with these files, and give its id."""
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "a commit")):
        subprocess.run(["git", "-C", str(repository), *arguments], check=True)
    done = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


PROBE = "import json, program\nprint(json.dumps({'work_us': program.US}))\n"
CASE = Case("probe", "probe", {Size.TINY: "", Size.QUICK: ""}, ())


def test_a_commit_without_a_benchmark_is_measured_by_that_of_the_newer_one(tmp_path: Path) -> None:
    old = commit(tmp_path, {"program.py": "US = 10\n"})
    new = commit(tmp_path, {"program.py": "US = 20\n", "benchmarks/__init__.py": "", "benchmarks/probe.py": PROBE})

    forwards = compare(tmp_path, [old, new], [CASE], rounds=2, size=Size.QUICK)
    backwards = compare(tmp_path, [new, old], [CASE], rounds=2, size=Size.QUICK)

    assert forwards == ([Change("probe", "work_us", 10, 20, 2, 2, 2, "worse")], [])
    assert backwards == ([Change("probe", "work_us", 20, 10, 0.5, 0.5, 0.5, "better")], [])
    left = subprocess.run(["git", "-C", str(tmp_path), "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(left.stdout.splitlines()) == 1


def test_a_benchmark_that_needs_the_newer_sources_falls_back_on_the_older_benchmark(tmp_path: Path) -> None:
    newer = PROBE.replace("program.US", "program.NEW_US")
    old = commit(tmp_path, {"program.py": "US = 10\n", "benchmarks/__init__.py": "", "benchmarks/probe.py": PROBE})
    new = commit(tmp_path, {"program.py": "NEW_US = 10\n", "benchmarks/probe.py": newer})

    changes, notes = compare(tmp_path, [old, new], [CASE], rounds=2, size=Size.QUICK)

    assert changes == [Change("probe", "work_us", 10, 10, 1, 1, 1, "")]
    assert notes == [f"probe: {old} is measured by its own benchmark"]


def test_a_case_that_one_commit_cannot_run_is_named_and_left_out(tmp_path: Path) -> None:
    old = commit(tmp_path, {"other.py": ""})
    new = commit(tmp_path, {"program.py": "US = 20\n", "benchmarks/__init__.py": "", "benchmarks/probe.py": PROBE})

    changes, notes = compare(tmp_path, [old, new], [CASE], rounds=2, size=Size.QUICK)

    assert changes == []
    assert len(notes) == 1
    assert notes[0].startswith(f"probe: cannot run with {old}: ModuleNotFoundError: No module named 'program'; ")
