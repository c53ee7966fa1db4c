"""`dnarc doctor` beside a running node and without one, and its exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.cli.conftest import Result, Served, run, run_apart

NOBODY = ("--node", "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A node that needs few open files, so that the limit of this machine causes no finding."""
    node = Served(tmp_path_factory.mktemp("served"), "--connections-max", "64", "--links-max", "16")
    yield node
    node.stop()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a node that has stopped."""
    node = Served(tmp_path_factory.mktemp("stopped"))
    node.stop()
    return node.data


def states(result: Result) -> dict[str, str]:
    return {finding["check"]: finding["state"] for finding in json.loads(result.out)["findings"]}


def test_a_running_node_is_examined_with_its_folder(served: Served) -> None:
    done = served.run("doctor", "--data", str(served.data), "--json")

    assert (done.code, done.err) == (0, "")
    assert set(states(done)) == {
        "libsodium", "node.health", "node.files", "node.queue", "heads", "settings.max_age", "settings.max_skew",
        "exposure", "clock", "peers", "node", "file_system", "permissions.node.key", "permissions.admin-token", "disk",
        "database.log", "database.version", "database.integrity", "cursors",
    }  # fmt: skip
    assert [check for check, state in states(done).items() if state == "fail"] == []


def test_a_running_node_is_examined_without_its_folder(served: Served) -> None:
    done = served.run("doctor")

    assert done.code == 0
    assert "nothing is wrong" in done.out
    assert "permissions" not in done.out


def test_a_folder_is_examined_while_no_node_runs(stopped: Path) -> None:
    done = run("doctor", "--data", str(stopped), "--json", *NOBODY)

    assert done.code == 0
    assert states(done)["node"] == "ok"
    assert states(done)["database.integrity"] == "ok"


def test_a_failed_check_ends_with_1_and_says_what_to_do(stopped: Path) -> None:
    (stopped / "node.key").chmod(0o644)
    try:
        done = run("doctor", "--data", str(stopped), *NOBODY)
    finally:
        (stopped / "node.key").chmod(0o600)

    assert done.code == 1
    assert f"-> chmod 600 {stopped / 'node.key'}" in done.out
    assert done.err == "dnarc: unwell: permissions.node.key (each finding says what to do)\n"


def test_the_settings_for_a_start_are_examined(stopped: Path) -> None:
    done = run_apart(
        "doctor", "--data", str(stopped), "--json", *NOBODY, DNARC_HOST="0.0.0.0", DNARC_RECORDS_PER_SECOND_MAX="none"
    )

    assert done.code == 1
    assert states(done)["settings.records_per_second_max"] == "fail"
    assert states(done)["exposure"] == "warn"


def test_a_folder_of_another_node_is_noticed(served: Served, stopped: Path) -> None:
    done = served.run("doctor", "--data", str(stopped), "--json")

    assert (done.code, states(done)["node"]) == (0, "warn")


def test_a_node_that_holds_its_folder_and_does_not_answer_fails(served: Served) -> None:
    done = run("doctor", "--data", str(served.data), "--json", *NOBODY)

    assert (done.code, states(done)["node"]) == (1, "fail")


def test_without_a_node_and_a_folder_the_doctor_ends_with_3() -> None:
    assert run("doctor", *NOBODY).code == 3


@pytest.mark.parametrize("flags", [("--node", "nonsense"), ("--data", "/nowhere")])
def test_a_bad_url_or_folder_is_a_wrong_use(flags: tuple[str, str]) -> None:
    assert run("doctor", *flags).code == 2
