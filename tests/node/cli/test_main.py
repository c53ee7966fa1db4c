"""The command line as a whole: an error is one line with an exit code; settings and versions are shown."""

import contextlib
import os
import re
from collections.abc import Iterator
from errno import EIO
from importlib.metadata import version as version_of
from pathlib import Path

import pytest

from node.cli.output.failures import REMEDIES, CommandError, Exit, describe
from node.client.errors import NodeError, Unreachable
from node.client.keyfile import KeyfileError
from node.disk import CannotStartError
from node.settings.description import describe as described_settings
from node.settings.loading import SettingsError
from node.store.contract import StoreError
from protocol.errors import Code, ProtocolError
from tests.node.cli.conftest import TIMEOUT_S, Served, run, start
from tests.node.client.test_http import serving

COMMANDS = (
    "accept", "backup", "claim", "config", "doctor", "domains", "export", "get", "history", "import", "keygen", "peers",
    "rebuild", "serve", "sync", "top", "transfer", "verify", "version", "watch", "why",
)  # fmt: skip


def test_help_names_every_command() -> None:
    shown = run("--help")

    assert shown.code == 0
    assert [name for name in COMMANDS if f" {name} " not in shown.out] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    shown = run(name, "--help")

    assert shown.code == 0
    assert re.findall(r"<(?:bool|str|path|list|int|float)", shown.out) == [], "types of Python explain nothing"


def test_a_paragraph_of_the_help_has_the_width_of_the_terminal() -> None:
    shown = run("witness", "begin", "--help", COLUMNS="200")

    assert "A node that runs with `--witness DOMAIN` begins within a second." in shown.out


@pytest.mark.parametrize("command", ["peers list", "domains --sizes", "witness show example.w"])
@pytest.mark.parametrize("body", [b"[1, 2]", b'{"a": 1}', b"<html>"])
def test_a_server_that_is_no_node_is_told_as_such(command: str, body: bytes) -> None:
    with serving([(200, {}, body)]) as url:
        done = run(*command.split(), "--node", url)

    assert (done.code, "does not answer as a node does" in done.err) == (3, True), done.err


@pytest.mark.parametrize("names", [("", "garden"), ("example.org", "")])
def test_an_empty_name_is_a_wrong_use(names: tuple[str, str]) -> None:
    """It often comes from a variable of the shell that is not set, and another path would be asked for."""
    done = run("history", *names)

    assert (done.code, "the name is empty" in done.err) == (2, True)


def test_an_unknown_command_is_a_wrong_use() -> None:
    assert run("nonsense").code == 2


DISK_FAILS = "the disk fails: `dmesg` says how; copy what can be read to another disk"
FAILURES = [
    (Unreachable("gone", "look"), Exit.UNREACHABLE, "unreachable: gone (look)"),
    (NodeError(403, "odd", "no", {}), Exit.REFUSED, "odd: no"),
    (ProtocolError(Code.MALFORMED, "two\nlines"), Exit.REFUSED, "malformed: two lines"),
    (SettingsError("wrong"), Exit.USAGE, "settings: wrong"),
    (KeyfileError("wrong"), Exit.USAGE, "keyfile: wrong"),
    (StoreError("wrong", "mend it"), Exit.MACHINE, "storage: wrong (mend it)"),
    (CannotStartError("wrong", "mend it"), Exit.MACHINE, "cannot_start: wrong (mend it)"),
    (OSError(EIO, "Input/output error", "/f"), Exit.MACHINE, f"machine: /f: input/output error ({DISK_FAILS})"),
    (CommandError(Exit.REFUSED, "stale", "late", ""), Exit.REFUSED, "stale: late"),
]


@pytest.mark.parametrize(("error", "code", "line"), FAILURES)
def test_every_failure_outside_of_dnarc_has_one_line_and_a_code(error: Exception, code: Exit, line: str) -> None:
    failure = describe(error)

    assert failure is not None
    assert (failure.exit_code, failure.line) == (code, line)


@pytest.mark.parametrize("error", [AssertionError("ours"), KeyError("ours"), ValueError("ours")])
def test_a_fault_in_dnarc_is_shown_with_its_traceback(error: Exception) -> None:
    assert describe(error) is None


def test_a_remedy_is_for_a_code_that_exists() -> None:
    assert set(REMEDIES) <= set(Code)


def test_config_shows_each_value_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "dnarc.toml"
    file.write_text("max_age = 1\n")

    answer = run("config", "--config", str(file), "--json", DNARC_MAX_SKEW="none").json

    assert (answer["max_age"]["value"], answer["max_age"]["source"]) == (1, str(file))
    assert (answer["max_skew"]["value"], answer["max_skew"]["source"]) == (None, "DNARC_MAX_SKEW")
    assert (answer["port"]["value"], answer["port"]["source"], answer["port"]["default"]) == (8080, "default", 8080)
    assert answer["max_age"]["unit"] == "seconds"


def test_config_is_a_table_for_people_and_for_the_docs() -> None:
    names = [setting.name for setting in described_settings()]

    shown, markdown = run("config").out, run("config", "--markdown").out

    assert [name for name in names if name not in shown] == []
    assert [line.split("`")[1] for line in markdown.splitlines()[2:]] == names
    assert "| `max_age` | `DNARC_MAX_AGE` | `300` | seconds |" in markdown


def test_the_version_is_that_of_the_package() -> None:
    answer = run("version", "--json").json

    assert set(answer) == {"dnarc", "python", "pynacl", "aiohttp"}
    assert run("version").out.startswith(f"dnarc {answer['dnarc']}, ")


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_a_flag_too(flag: str) -> None:
    assert run(flag) == (0, f"dnarc {version_of('dnarc')}\n", "")


@pytest.mark.parametrize("command", ["config --json", "config", "config --markdown", "version"])
def test_a_reader_that_goes_away_is_no_failure(command: str) -> None:
    """For example `dnarc config | head -1`."""
    with closed_pipe() as nobody:
        process = start(*command.split(), stdout=nobody)
        _, err = process.communicate(timeout=TIMEOUT_S)

    assert (process.returncode, err) == (0, "")


def test_an_error_that_nobody_reads_keeps_its_exit_code() -> None:
    with closed_pipe() as nobody:
        process = start("get", "--limit", "1", stderr=nobody)
        process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == Exit.USAGE


@contextlib.contextmanager
def closed_pipe() -> Iterator[int]:
    """The end for writing of a pipe that has no reader."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_wrong_path_in_the_url_of_a_node_is_told_as_such(common: Served) -> None:
    """For example if a proxy serves the node below another path."""
    refused = run("domains", "--node", f"{common.url}/elsewhere")

    assert (refused.code, refused.err.startswith("dnarc: unknown_route: ")) == (1, True)
    assert "(check the path in the node's URL; " in refused.err
