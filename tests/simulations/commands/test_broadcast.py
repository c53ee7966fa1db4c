"""`dnarc simulate broadcast`: a table for people, JSON for programs, and a picture."""

import json
from pathlib import Path

import pytest

from tests.node.cli.conftest import run, run_apart

SMALL = ("simulate", "broadcast", "--nodes", "20", "--cycles", "1", "--failed", "0.6")


def test_the_table_shows_the_published_figures_and_ours() -> None:
    done = run(*SMALL, "--seeds", "2")

    assert (done.code, done.err) == (0, "")
    assert "Broadcast over 20 nodes, seeds 1 to 2" in done.out
    assert "first message reaches" in done.out
    assert "56 % to 84 %" in done.out


def test_json_does_not_depend_on_how_python_hashes() -> None:
    one, other = (run_apart(*SMALL, "--json", PYTHONHASHSEED=seed) for seed in ("1", "2"))

    assert one == other
    answer = json.loads(one.out)
    assert [report["plan"]["seed"] for report in answer["reports"]] == [1]
    assert len(answer["reports"][0]["stable"]["one sender"]) == 2
    assert answer["comparison"][0]["measure"] == "redundancy (RMR)"


def test_seeds_that_run_at_once_give_the_same_answer_as_one_after_another() -> None:
    at_once = run_apart(*SMALL, "--seeds", "2", "--jobs", "2", "--failed", "0.5", "--json")

    assert at_once == run(*SMALL, "--seeds", "2", "--failed", "0.5", "--json")
    assert [failure["share"] for failure in at_once.json["reports"][1]["failures"]] == [0.5, 0.6]


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_drawn(tmp_path: Path, suffix: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib")

    done = run(*SMALL, "--plot", str(tmp_path / f"broadcast.{suffix}"))

    assert (done.code, done.err) == (0, "")
    assert (tmp_path / f"broadcast.{suffix}").read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["broadcast.docx", "no/such/folder.png"])
def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")

    done = run(*SMALL, "--plot", str(tmp_path / name))

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("dnarc: usage: ")


@pytest.mark.parametrize(
    "flags", [("--nodes", "9"), ("--seeds", "0"), ("--cycles", "0"), ("--failed", "1"), ("--latency-ms", "9", "3")]
)
def test_options_out_of_their_range_are_refused(flags: tuple[str, ...]) -> None:
    assert run(*SMALL, *flags).code == 2
