"""`dnarc serve` without typer: which command lines are plain, and what a node does not import."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.direct import read_flags
from node.settings.description import describe
from tests.node.cli.conftest import TIMEOUT_S, run


def test_every_setting_is_read_from_its_flag() -> None:
    settings = [setting for setting in describe() if not setting.is_table]
    arguments = [word for setting in settings for word in (setting.flag, f"value of {setting.name}")]

    found = read_flags(["serve", *arguments], {})

    assert found == {setting.name: f"value of {setting.name}" for setting in settings}


@pytest.mark.parametrize(
    ("arguments", "environment", "file"),
    [
        ([], {}, None),
        ([], {"DNARC_CONFIG": ""}, None),
        ([], {"DNARC_CONFIG": "a.toml"}, "a.toml"),
        (["--config", "b.toml"], {}, "b.toml"),
        (["--config", "b.toml"], {"DNARC_CONFIG": "a.toml"}, "b.toml"),
    ],
)
def test_the_settings_file_is_that_of_the_flag_or_else_that_of_the_variable(
    arguments: list[str], environment: dict[str, str], file: str | None
) -> None:
    found = read_flags(["serve", *arguments], environment)

    assert found == ({} if file is None else {"config": file})


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["get", "example.org"],
        ["--json", "serve"],
        ["serve", "--help"],
        ["serve", "--port"],
        ["serve", "--port=1"],
        ["serve", "--port", "--data"],
        ["serve", "--port", "1", "--port", "2"],
        ["serve", "--prot", "1"],
        ["serve", "more", "words"],
        ["serve", "--write", "x"],
    ],
)
def test_every_other_command_line_is_for_typer(arguments: list[str]) -> None:
    assert read_flags(arguments, {}) is None


@pytest.mark.parametrize("arguments", [("--prot", "1"), ("--port",), ("--write", "x")])
def test_typer_explains_what_is_wrong(arguments: tuple[str, ...]) -> None:
    refused = run("serve", *arguments)

    assert (refused.code, arguments[0] in refused.err) == (2, True)


def test_both_ways_to_spell_a_flag_have_one_meaning() -> None:
    plain, other = (run("serve", *flags) for flags in (("--port", "x"), ("--port=x",)))

    assert plain == other


def test_a_node_starts_without_what_only_other_commands_need(tmp_path: Path) -> None:
    """Together they take as long to import as all that a node needs. structlog brings rich if nobody prevents that."""
    program = (
        "import contextlib, sys\n"
        "from node.cli import main\n"
        "with contextlib.suppress(SystemExit):\n"
        f"    main(['serve', '--port', '0', '--data', {str(tmp_path)!r}])\n"
        "print(*sorted(sys.modules))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://")

    process.terminate()
    modules, _ = process.communicate(timeout=TIMEOUT_S)

    unneeded = {
        "typer",
        "click",
        "rich",
        "pygments",
        "pydantic",
        "simulations",
        "httpx",
        "cryptography",
        "node.cli.app",
    }
    assert {"node.node", "structlog"} <= set(modules.split())
    assert unneeded & set(modules.split()) == set()
    assert [name for name in modules.split() if name.startswith("node.cli.commands")] == []
