"""`dnarc rebuild` on a folder that no node runs on, and its refusal beside a node."""

import contextlib
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.cli import main
from tests.history import ALICE, claim
from tests.node.cli.conftest import Result, Served, run
from tests.node.intake.pipeline import PEER, pipeline


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A folder with three labels."""
    async with pipeline(tmp_path) as pipe:
        await pipe.take(*(claim(f"plot-{n}", ALICE, n + 1) for n in range(3)), origin=PEER)
    return tmp_path


def damage(data: Path) -> None:
    with closing(sqlite3.connect(data / "dnarc.db", isolation_level=None)) as shell:
        shell.execute("UPDATE records SET verdict = 7 WHERE no = 2")


def rebuilt(data: Path, *flags: str) -> Result:
    return run("rebuild", "--data", str(data), *flags)


def test_a_right_store_is_proven_equal(data: Path) -> None:
    shown, answer = rebuilt(data), rebuilt(data, "--json").json

    assert (shown.code, shown.out) == (0, "equal: 3 records, 3 labels, 3 events\n")
    assert answer == {
        "equal": True, "repaired": False, "records": 3, "labels": 3, "events": 3, "erased": 0, "counts": {},
        "differences": [],
    }  # fmt: skip


def test_a_difference_is_reported_and_repaired(data: Path) -> None:
    damage(data)

    answer = rebuilt(data, "--json").json

    (difference,) = answer["differences"]
    assert (answer["equal"], answer["repaired"], answer["counts"]) == (False, True, {"verdict": 1})
    assert (difference["label"], difference["was"], difference["now"]) == ("plot-1", "rival", "founded")
    assert rebuilt(data).out.startswith("equal: ")


def test_a_check_of_a_wrong_store_ends_with_1_and_changes_nothing(data: Path) -> None:
    damage(data)

    checked, again = rebuilt(data, "--check"), rebuilt(data, "--check")

    assert (checked.code, again.code) == (1, 1)
    assert checked.out.startswith("differs: 1 verdict; compared: 3 records, 3 labels, 3 events")
    assert checked.err == "dnarc: differs: 1 derived values differ (`dnarc rebuild` repairs them)\n"


def test_a_folder_that_a_node_runs_on_is_refused(common: Served) -> None:
    refused = rebuilt(common.data)

    assert refused.code == 4
    assert refused.err.startswith(f"dnarc: in_use: another node runs on {common.data} (stop that node")


def test_a_folder_without_a_store_is_a_wrong_use(tmp_path: Path) -> None:
    assert rebuilt(tmp_path / "none").code == 2
    assert not (tmp_path / "none").exists()


class Interrupting(io.StringIO):
    """A stderr at which the user presses Ctrl-C as soon as the bar is to be shown."""

    def isatty(self) -> bool:
        raise KeyboardInterrupt


def test_ctrl_c_says_that_the_store_is_as_before(data: Path) -> None:
    damage(data)
    err = Interrupting()

    with contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["rebuild", "--data", str(data)])

    words = "the store is as it was before (run the command again)"
    assert (ended.value.code, err.getvalue()) == (130, f"dnarc: interrupted: {words}\n")
    assert rebuilt(data, "--check").code == 1
