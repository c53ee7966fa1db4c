"""The user's own configuration: where it lies, what overrides it, and what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest

from node.cli.input.preferences import Chosen, choose, find_file, read_file
from node.cli.output.failures import CommandError
from tests.node.cli.conftest import Result, Served, run

NOWHERE = "http://127.0.0.1:1"


def configured(folder: Path, text: str) -> dict[str, str]:
    """An environment in which the user's file holds this text."""
    file = folder / "dnarc" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return {"XDG_CONFIG_HOME": str(folder)}


def node_of(result: Result) -> str:
    """The node that a command could not reach."""
    assert result.code == 3, result
    return result.err.removeprefix("dnarc: unreachable: no node answers at ").partition(": nothing listens there")[0]


def test_commands_ask_the_node_of_the_users_file(served: Served, tmp_path: Path) -> None:
    environment = configured(tmp_path, f'node = "{served.url}"\n')

    assert run("domains", "--json", **environment).json == {}
    assert run("peers", "list", "--json", **environment).json == []


def test_a_variable_overrides_the_file_and_an_option_overrides_both(tmp_path: Path) -> None:
    environment = configured(tmp_path, f'node = "{NOWHERE}"\n')
    variable = {"DNARC_NODE": "http://127.0.0.2:1"}

    nodes = [
        node_of(run("domains", **environment)),
        node_of(run("domains", **environment, **variable)),
        node_of(run("domains", "--node", "http://127.0.0.3:1", **environment, **variable)),
    ]

    assert nodes == [NOWHERE, "http://127.0.0.2:1", "http://127.0.0.3:1"]


def test_the_key_of_the_file_signs_wherever_the_command_runs(common: Served, tmp_path: Path) -> None:
    environment = configured(tmp_path, f'node = "{common.url}"\nkey = "alice.key"\n')
    public = run("keygen", str(tmp_path / "dnarc" / "alice.key")).out.strip()

    claimed = run("claim", "own.example", "garden", "n=1", **environment)
    [record] = run("get", "own.example", "garden", "--json", **environment).json.values()

    assert (claimed.code, record["signedby"]) == (0, public)


def test_the_key_of_a_user_is_no_key_of_a_peer(common: Served, tmp_path: Path) -> None:
    """`dnarc peers add --key` has the name of the preference and another meaning."""
    environment = configured(tmp_path, f'node = "{common.url}"\nkey = "alice.key"\n')
    url, data = "http://127.0.0.1:9", ("--data", str(common.data))

    added = run("peers", "add", url, "--pull", "--json", *data, **environment).json
    common.run("peers", "remove", url, *data)

    assert added["key"] is None


BAD = [
    ("nod = 'x'", "nod in {file} is no option of commands: did you mean node?"),
    ("tls-ca = 'x'", "tls-ca in {file} is no option of commands: did you mean tls_ca?"),
    ("zzz = 'x'", "zzz in {file} is no option of commands: there are node, key, tls_ca"),
    (
        "max_age = 1",
        "max_age in {file} is no option of commands: it is a setting of a node, and belongs in the file of `dnarc",
    ),
    ("node = 8080", "node in {file} is 8080: it should be a text in quotes"),
    ("node = ''", "node in {file} is '': it should be a text in quotes"),
    ("node", "your configuration {file} cannot be read: "),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_file_is_a_wrong_use_with_a_hint(tmp_path: Path, text: str, words: str) -> None:
    refused = run("domains", **configured(tmp_path, text))

    file = tmp_path / "dnarc" / "config.toml"
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"dnarc: settings: {words.format(file=file)}")


@pytest.mark.parametrize("command", [("version",), ("verify",), ("serve", "--port", "none")])
def test_a_bad_file_does_not_concern_a_command_that_asks_no_node(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, **configured(tmp_path, "nod = 'x'"))

    assert "nod" not in done.err


def test_config_shows_the_source_of_each_preference(tmp_path: Path) -> None:
    environment = configured(tmp_path, 'node = "http://name:secret@127.0.0.1:1"\n') | {"DNARC_KEY": "bob.key"}

    answer = run("config", "--json", **environment).json["commands"]
    shown = run("config", **environment).out

    file = str(tmp_path / "dnarc" / "config.toml")
    assert {name: (each["value"], each["source"]) for name, each in answer.items()} == {
        "node": (NOWHERE, file),
        "key": ("bob.key", "DNARC_KEY"),
        "tls_ca": (None, "default"),
    }
    assert f"Your own defaults for commands: {file}" in shown
    assert "secret" not in shown


def test_a_byte_order_mark_and_a_home_folder_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    environment = configured(tmp_path, "\ufeffkey = '~/alice.key'\ntls_ca = 'ca.pem'\n")

    assert choose(environment) == {
        "node": Chosen("http://127.0.0.1:8080", "default"),
        "key": Chosen("/home/alice/alice.key", str(find_file(environment))),
        "tls_ca": Chosen(str(tmp_path / "dnarc" / "ca.pem"), str(find_file(environment))),
    }


@pytest.mark.parametrize("environment", [{}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}])
def test_without_an_absolute_folder_the_file_lies_in_the_home_folder(
    environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/alice")

    assert find_file(environment) == Path("/home/alice/.config/dnarc/config.toml")


@pytest.mark.parametrize("place", ["absent/config.toml", "file/config.toml"])
def test_a_file_that_does_not_exist_is_an_empty_one(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")

    assert read_file(tmp_path / place) == {}
    assert read_file(None) == {}


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        read_file(tmp_path)

    assert refused.value.detail.startswith(f"your configuration {tmp_path} cannot be read: ")
