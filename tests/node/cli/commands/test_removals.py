"""`dnarc erase` and `dnarc drop`, on a running node and on a folder on which no node runs."""

from pathlib import Path

import pytest

from tests.history import ALICE, BOB, NOWHERE, claim
from tests.node.cli.conftest import Result, Served, run
from tests.node.intake.pipeline import PEER, pipeline

SECRET = "sesame" * 4
GARDEN = [claim("garden", ALICE, 1, text=SECRET), claim("garden", ALICE, 2, text=SECRET)]
POND = claim("pond", BOB, 3, text=SECRET)
LAKE = claim("lake", BOB, 4, domain="other", text="open")
RECORDS = [*GARDEN, POND, LAKE]


async def fill(data: Path) -> None:
    """Make a data folder with all records."""
    async with pipeline(data) as pipe:
        await pipe.take(*RECORDS, origin=PEER)
    (data / "admin-token").write_text("ab" * 32)
    (data / "admin-token").chmod(0o600)


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """The folder of a node that was stopped."""
    await fill(tmp_path)
    return tmp_path


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """A folder with a data folder in it, which `Served` will serve."""
    (tmp_path / "data").mkdir()
    await fill(tmp_path / "data")
    return tmp_path


def offline(data: Path, *arguments: str) -> Result:
    """The command beside a port on which nothing listens."""
    return run(*arguments, "--data", str(data), "--node", "http://127.0.0.1:9")


def holds(data: Path, text: str = SECRET) -> bool:
    return any(text.encode() in path.read_bytes() for path in data.rglob("*") if path.is_file())


TARGETS = {
    "an id": ([GARDEN[0].id], 1),
    "two ids": ([GARDEN[0].id, POND.id], 2),
    "a label": (["--label", "example", "garden"], 2),
    "a key": (["--key", BOB.public], 2),
    "a key in a domain": (["--key", BOB.public, "--domain", "example"], 1),
    "a domain": (["--domain", "example"], 3),
}


@pytest.mark.parametrize(("target", "count"), TARGETS.values(), ids=TARGETS.keys())
def test_a_dry_run_counts_and_an_erasure_removes_the_same(data: Path, target: list[str], count: int) -> None:
    counted = offline(data, "erase", *target, "--dry-run", "--json")
    erased = offline(data, "erase", *target, "--yes", "--json", "--reason", "spam", "--by", "ann")
    listed = offline(data, "erase", "--list", "--json")

    assert (counted.json["records"], erased.json["records"], erased.json["done"]) == (count, count, True)
    assert listed.json == {"removals": [erased.json], "dropped": []}
    assert (erased.json["reason"], erased.json["by"]) == ("spam", "ann")


def test_erased_bytes_are_in_no_file_of_a_stopped_node(data: Path) -> None:
    assert holds(data)

    assert offline(data, "erase", "--domain", "example", "--yes").out.startswith("erased 3 records, ")

    assert (holds(data), holds(data, "open")) == (False, True)
    assert run("rebuild", "--data", str(data), "--check").code == 0


def test_a_dropped_domain_is_gone_and_can_be_kept_again(data: Path) -> None:
    dropped = offline(data, "drop", "example", "--yes")
    listed = offline(data, "drop", "--list", "--json")
    undone = offline(data, "drop", "example", "--undo")
    again = offline(data, "drop", "example", "--undo")

    assert (dropped.code, dropped.out.startswith("dropped 3 records, ")) == (0, True)
    assert listed.json["dropped"] == ["example"]
    assert (undone.code, again.code) == (0, 1)
    assert not holds(data)
    assert offline(data, "drop", "--list", "--json").json["dropped"] == []


def test_a_running_node_erases_and_drops(filled: Path) -> None:
    served = Served(filled)
    try:
        at = ["--data", str(served.data)]
        erased = served.run("erase", GARDEN[1].id, "--reason", "court order", "--yes", *at)
        gone = served.run("get", "example", "garden")
        history = served.run("history", "example", "garden")
        exported = served.run("export", str(filled / "out.jsonl"))
        dropped = served.run("drop", "example", "--yes", *at)
        domains = served.run("domains", "--json")
        undone = served.run("drop", "example", "--undo", *at)
        is_held = holds(served.data)
    finally:
        served.stop()

    assert (erased.code, erased.out) == (0, f"erased 1 record, {len(GARDEN[1].canonical)} bytes\n")
    assert (gone.code, "erased" in gone.err, "court order" in gone.err) == (1, True, True)
    assert (history.code, "erased: court order" in history.out) == (0, True)
    assert "1 erased records are left out" in exported.err
    assert len((filled / "out.jsonl").read_text().splitlines()) == 3
    assert "goes when the node starts again" in dropped.out
    assert list(domains.json) == ["other"]
    assert (undone.code, "restart the node first" in undone.err) == (1, True)
    assert not is_held

    again = Served(filled)
    try:
        (newest, _) = again.run("drop", "--list", "--json", *at).json["removals"]
        kept = again.run("drop", "example", "--undo", *at)
    finally:
        again.stop()
    assert (newest["kind"], newest["done"], kept.code) == ("drop", True, 0)


WRONG = {
    "nothing": [],
    "an id and a domain": [NOWHERE, "--domain", "example"],
    "a label and a key": ["--label", "example", "garden", "--key", ALICE.public],
    "a label and a domain": ["--label", "example", "garden", "--domain", "example"],
    "a domain and a label in the place of ids": ["example", "garden"],
    "an id as tables show it": [GARDEN[1].id[:12]],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_records_that_are_not_clearly_named_are_a_wrong_use(data: Path, arguments: list[str]) -> None:
    assert offline(data, "erase", *arguments, "--yes").code == 2


def test_nothing_is_removed_without_a_yes(data: Path) -> None:
    refused = [offline(data, "erase", "--domain", "example"), offline(data, "drop", "example")]

    assert [each.code for each in refused] == [2, 2]
    assert all("--yes" in each.err for each in refused)
    assert holds(data)


def test_a_folder_on_which_another_node_runs_is_not_touched(common: Served) -> None:
    refused = offline(common.data, "erase", "--domain", "example", "--yes")

    assert (refused.code, "in_use" in refused.err) == (4, True)


def test_the_list_says_what_was_removed_by_whom_when_and_why(data: Path) -> None:
    offline(data, "erase", "--key", BOB.public, "--reason", "spam", "--by", "ann", "--yes")

    shown = offline(data, "erase", "--list").out

    assert all(word in shown for word in ("erase", BOB.public, "ann", "spam", "2"))
