"""Text from records, peers, files and errors is no markup, does not control a terminal, and fits any encoding."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.output.text import escape_json
from tests.forked import ForkedProcess
from tests.node.cli.conftest import TIMEOUT_S, Served, run, run_apart
from tests.node.client.test_http import serving

STEERING = "\x1b]0;title\x07\x1b[31mred\x9b2J\u202eevil"
MARKUP = ["[/]", "[bold]", "[link=http://evil.example]here[/link]", ":smile:", "\\[x]"]


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """It lives as long as the node, because a label stays with its owner."""
    file = str(tmp_path_factory.mktemp("key") / "key")
    assert run("keygen", file).code == 0
    return file


@pytest.mark.parametrize("label", MARKUP)
def test_a_label_is_never_markup(common: Served, key: str, label: str) -> None:
    claimed = common.run("claim", "example.org", label, f"x={label}", "--key", key)
    shown = [common.run(name, "example.org", label) for name in ("get", "history", "why")]
    listed = common.run("get", "example.org")
    watched = common.run("watch", "--since", "0", "--label", label, "--count", "1")

    assert f"founded: example.org {label}, record " in claimed.out
    assert [(result.code, label in result.out, result.err) for result in shown] == [(0, True, "")] * 3
    assert label in listed.out
    assert json.loads(watched.out)["label"] == label


def test_a_label_that_controls_a_terminal_is_shown_with_escapes(common: Served, key: str) -> None:
    claimed = common.run("claim", "example.org", "\u202eevil", f"x={STEERING}", "--key", key)
    shown = [common.run(name, "example.org", "\u202eevil") for name in ("get", "history", "why")]
    shown += [common.run("get", "example.org"), common.run("top", "--interval", "0.1"), claimed]

    assert [result.code for result in shown] == [0] * len(shown)
    assert [result.out for result in shown if not result.out.replace("\n", "").isprintable()] == []


@pytest.mark.parametrize("name", ["get", "history", "why", "transfer", "accept"])
def test_a_label_in_an_error_is_shown_with_escapes(common: Served, key: str, name: str) -> None:
    rest = {"transfer": ["ab" * 32, "--key", key], "accept": ["--key", key]}.get(name, [])

    refused = common.run(name, "example.org", f"absent[/]{STEERING}", *rest)

    assert (refused.code, refused.err.replace("\n", "").isprintable()) == (1, True)


HOSTILE = json.dumps({"code": f"odd[/]{STEERING}", "detail": f"no[/]{STEERING}" + "x" * 10_000}).encode()


@pytest.mark.parametrize("name", ["domains", "get example.org", "history a b", "peers list", "sync", "top", "export -"])
def test_an_error_of_a_hostile_node_is_one_short_line_of_text(name: str) -> None:
    with serving([(500, {}, HOSTILE)] * 4) as url:
        refused = run(*name.split(), "--node", url)

    assert (refused.code, refused.err.count("\n"), refused.err[:-1].isprintable()) == (1, 1, True)
    assert len(refused.err) < 3_000
    assert "[/]" in refused.err


def test_a_file_of_a_hostile_name_is_text(tmp_path: Path) -> None:
    file = tmp_path / f"[bold]{STEERING}"
    file.write_text("notes\n")

    refused = [run("verify", str(file)), run("verify", f"{file}.absent"), run("doctor", "--data", str(file))]

    assert [result.err[:-1].isprintable() for result in refused] == [True] * 3
    assert "[bold]" in refused[1].err


def in_terminal(*arguments: str) -> bytes:
    """The bytes that a command sends to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from node.cli import main; main()", *arguments]
    with ForkedProcess(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # how Linux says that nobody holds the terminal any more
            pass
        process.wait(TIMEOUT_S)
    os.close(ours)
    return shown


@pytest.mark.parametrize("command", ["get example.org --json", "watch --since 0 --label {label} --count 1 --json"])
def test_json_does_not_control_a_terminal_either(common: Served, key: str, command: str) -> None:
    label = "\u202eterminal"
    common.run("claim", "example.org", label, "x=\x9b2J", "--key", key)

    shown = in_terminal(*command.format(label=label).split(), "--node", common.url)

    assert b"\\u202eterminal" in shown
    assert b"\\u009b2J" in shown
    assert "\x9b".encode() not in shown


@pytest.mark.parametrize(
    "command", ["get example.org", "history example.org caf\u00e9", "why example.org caf\u00e9", "domains", "config"]
)
def test_a_character_that_the_encoding_lacks_is_an_escape(common: Served, key: str, command: str) -> None:
    common.run("claim", "example.org", "caf\u00e9", "x=\U0001f600", "--key", key)
    arguments = [*command.split(), *([] if command == "config" else ["--node", common.url])]

    text = run(*arguments, encoding="ascii")
    answer = run(*arguments, "--json", encoding="ascii")

    assert (text.code, text.err, text.out.isascii(), answer.out.isascii()) == (0, "", True, True)
    assert answer.json == run(*arguments, "--json").json
    if "caf" in command:
        assert "caf\\u00e9" in text.out


def test_a_claim_is_reported_in_any_encoding(common: Served, key: str) -> None:
    arguments = ("claim", "ascii.example", "\u00e9", "n=1", "--key", key, "--node", common.url)

    made = run_apart(*arguments, PYTHONIOENCODING="ascii")

    assert (made.code, made.err) == (0, "")
    assert made.out.startswith("founded: ascii.example \\u00e9, record ")


JSON = [
    ('"plain"', '"plain"'),
    ('"\x9b"', '"\\u009b"'),
    ('"\U000e0001"', '"\\udb40\\udc01"'),
    ('"\x7f é"', '"\\u007f é"'),
]


@pytest.mark.parametrize(("text", "shown"), JSON)
def test_escaped_json_means_the_same(text: str, shown: str) -> None:
    assert escape_json(text) == shown
    assert json.loads(shown) == json.loads(text)


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
def test_a_command_runs_with_its_streams_closed(tmp_path: Path, closed: tuple[int, ...]) -> None:
    program = f"import os; os.closerange({closed[0]}, {closed[-1] + 1}); os.execv({sys.executable!r}, "
    program += f"[{sys.executable!r}, '-c', 'from node.cli import main; main()', 'keygen', {str(tmp_path / 'key')!r}])"

    done = subprocess.run([sys.executable, "-c", program], timeout=TIMEOUT_S, check=False)

    assert done.returncode == 0
    assert json.loads((tmp_path / "key").read_text())["version"] == 1
