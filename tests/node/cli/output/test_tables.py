"""Tables fit the output: no line is too wide, and no column loses its words."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from node.cli.output.tables import Pairs, Shape, Sheet
from protocol.records.record import make, sign
from protocol.signing import SigningKey
from tests.node.cli.conftest import Result, Served, run

WIDTHS = (60, 80, 120)
STORY = "A keeper who kept the light for forty years and never once let it go out"
PEER = "http://127.0.0.1:9"

COLUMNS = ("~label", "owner", "#lamps", "~claim")
ROWS = [("lighthouse", "cf42a0a889a5", 3, "a short claim"), ("garden", "cf42a0a889a5", 12, STORY)]


def lines_of(sheet: Sheet, width: int) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(sheet)
    return capture.get().splitlines()


def test_a_wide_output_shows_a_line_for_each_row() -> None:
    assert lines_of(Sheet(COLUMNS, ROWS), 120) == [
        " label        owner          lamps   claim",
        f" {'─' * (10 + 12 + 5 + len(STORY) + 9)}",
        " lighthouse   cf42a0a889a5       3   a short claim",
        f" garden       cf42a0a889a5      12   {STORY}",
    ]


def test_a_narrower_output_folds_the_last_column() -> None:
    assert lines_of(Sheet(COLUMNS, ROWS[1:]), 66)[2:] == [
        " garden   cf42a0a889a5      12   A keeper who kept the light for",
        "                                 forty years and never once let it",
        "                                 go out",
    ]


def test_a_narrow_output_shows_the_last_column_under_its_row() -> None:
    assert lines_of(Sheet(COLUMNS, ROWS), 50) == [
        " label        owner          lamps",
        f" {'─' * 33}",
        " lighthouse   cf42a0a889a5       3",
        "    a short claim",
        " garden       cf42a0a889a5      12",
        "    A keeper who kept the light for forty years",
        "    and never once let it go out",
    ]


def test_a_very_narrow_output_shows_names_and_values() -> None:
    assert lines_of(Sheet(COLUMNS, ROWS), 30) == [
        "label  lighthouse",
        "owner  cf42a0a889a5",
        "lamps  3",
        "claim  a short claim",
        "",
        "label  garden",
        "owner  cf42a0a889a5",
        "lamps  12",
        "claim  A keeper who kept the",
        "       light for forty years",
        "       and never once let it",
        "       go out",
    ]


def test_several_columns_under_a_row_have_their_names() -> None:
    sheet = Sheet(["name", "~one", "~two"], [("n", "1" * 30, "2" * 30), ("m", "", "2")])

    assert lines_of(sheet, 40)[2:] == [" n", f"    one: {'1' * 30}", f"    two: {'2' * 30}", " m", "    two: 2"]


def test_a_table_without_rows_shows_its_columns_and_says_so() -> None:
    assert lines_of(Sheet(["one", "#two"], []), 80) == [" one   two", f" {'─' * 9}", " (none)"]


def test_wide_characters_count_as_two_columns() -> None:
    assert lines_of(Sheet(["one", "two"], [("灯台", "x")]), 80)[2:] == [" 灯台   x"]


def test_a_title_is_text() -> None:
    assert lines_of(Sheet(["one"], [], title="[/] [link=http://evil.example]"), 80)[0] == (
        "[/] [link=http://evil.example]"
    )


def test_later_rows_keep_the_layout_of_the_first_rows() -> None:
    console = Console(width=80)
    layout = Sheet(["~one", "two"], [("short", "x")]).layout(80)

    later = list(Sheet(["~one", "two"], [("longer than that", "y")]).body(console, layout, 80))

    assert layout.shape is Shape.TABLE
    assert [line.plain for line in later] == [" longe   y", " r", " than", " that"]


def test_pairs_stand_below_each_other_in_any_width() -> None:
    assert lines_of(Pairs([("a", Text("1")), ("long name", 2)], "title"), 200) == [
        "title",
        "",
        "a          1",
        "long name  2",
    ]


def signed(label: str) -> str:
    key = SigningKey(bytes(range(32)))
    record = {"domain": "tables.example", "label": label, "signedby": key.public, "timestamp": 1_000, "story": STORY}
    one = sign(make(record), key)
    return json.dumps({"signature": one.signature, "record": json.loads(one.record.canonical)})


@pytest.fixture(scope="module")
def told(served: Served, tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, Path]:
    """A node with something in every table, and a folder with the files for commands that read one."""
    folder = tmp_path_factory.mktemp("told")
    run("keygen", str(folder / "key"))
    served.run("claim", "tables.example", "lighthouse", f"story={STORY}", "--key", str(folder / "key"))
    served.run("peers", "add", PEER, "--pull", "--data", str(served.data))
    served.run("peers", "add", "--key", "ab" * 32, "--accept", "--data", str(served.data))
    (folder / "old").write_text(f"{signed('garden')}\n")
    (folder / "bad").write_text(f"{signed('garden').replace('keeper', 'Keeper')}\n")
    return served, folder


TABLES = {
    "domains": "tables.example",
    "get tables.example": "lighthouse",
    "get tables.example lighthouse": "lighthouse",
    "history tables.example lighthouse": "founded",
    "why tables.example lighthouse": "founded",
    "peers list": PEER,
    "sync": PEER,
    "top --interval 0.1": "lighthouse",
    "import {folder}/old": "too_old",
    "verify {folder}/bad": "bad_signature",
    "doctor --data {data}": "database.integrity",
    "config": "labels_cached_max",
    "version": "python",
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", TABLES)
def test_every_table_is_readable_at_any_usual_width(
    told: tuple[Served, Path], monkeypatch: pytest.MonkeyPatch, command: str, width: int
) -> None:
    served, folder = told
    monkeypatch.setenv("COLUMNS", str(width))

    arguments = command.format(folder=folder, data=served.data).split()
    shown: Result = run(*arguments) if arguments[0] in ("verify", "config", "version") else served.run(*arguments)

    lines = shown.out.splitlines()
    words = set(shown.out.split())
    assert "Traceback" not in shown.err
    assert TABLES[command] in words, shown.out
    assert [line for line in lines if len(line) > width and arguments[0] != "version"] == []
    if command.startswith(("get", "history")):
        assert "kept the light" in " ".join(shown.out.split())
