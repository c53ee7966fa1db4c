"""The examples in the help of each command, and completion in shells."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer.main

from node.cli.app import GROUP, app
from node.cli.lazy_group import LazyGroup
from node.cli.output.examples import EXAMPLES
from tests.node.cli.conftest import TIMEOUT_S, run

DNARC = str(Path(sys.executable).with_name("dnarc"))
OURS = set(EXAMPLES)


def subcommands(command: Any) -> dict[str, Any]:
    """The commands of a group. Any other command has no commands."""
    if isinstance(command, LazyGroup):
        for name in list(command.commands):
            command.load(name)
    return getattr(command, "commands", {})


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that a line names, and its arguments."""
    command, rest = program(), words
    while subcommands(command):
        command, rest = subcommands(command)[rest[0]], rest[1:]
    return command, rest


@cache
def program() -> Any:
    """All commands. typer takes longer to build them than to read a command line."""
    return typer.main.get_command(app)


def all_commands() -> set[str]:
    """The words of each command, without commands of other packages."""
    found = set()
    for name, command in subcommands(typer.main.get_command(app)).items():
        found |= {f"{name} {sub}" for sub in subcommands(command)} or {name}
    others = {point.name for point in entry_points(group=GROUP)}
    return {name for name in found if name.partition(" ")[0] not in others}


def test_every_command_has_examples() -> None:
    assert all_commands() == OURS


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_every_example_is_a_right_command_line(line: str) -> None:
    words = shlex.split(line.partition(" <")[0])
    while "=" in words[0]:
        del words[0]
    assert words[0] == "dnarc"

    command, rest = command_of(words[1:])

    assert command.make_context("dnarc", list(rest)).args == []


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_help_shows_the_examples(name: str) -> None:
    shown = " ".join(run(*name.split(), "--help").out.split())

    assert "Examples:" in shown
    for line in EXAMPLES[name]:
        assert line.split()[-1] in shown


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_no_help_holds_what_rich_takes_for_markup(name: str) -> None:
    """Rich leaves out a word in square brackets."""
    command, _ = command_of(name.split())

    texts = [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]

    assert [text for text in texts if re.search(r"\[[a-z/#@]", text)] == []


def test_help_names_the_exit_codes() -> None:
    shown = " ".join(run("--help").out.split())

    for words in ("0 done", "1 refused", "2 wrong use", "3 no node answers", "4 the machine failed", "130 interrupted"):
        assert words in shown


@pytest.fixture(scope="module")
def completion() -> str:
    """The script for bash."""
    return in_shell("bash", f"{DNARC} --show-completion bash")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dnarc", "doc"], {"doctor"}),
        (["dnarc", "peers", ""], {"add", "list", "remove"}),
        (["dnarc", "serve", "--max-s"], {"--max-skew"}),
        (["dnarc", "sync", ""], {"push", "pull", "both"}),
    ],
)
def test_bash_completes_commands_options_and_choices(completion: str, words: list[str], expected: set[str]) -> None:
    """With the script that `dnarc --show-completion bash` prints."""
    program = f"""
        {completion}
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        "$(complete -p dnarc | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" {DNARC}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = in_shell("bash", program)

    assert expected <= set(done.split()), done


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_loads_the_completion() -> None:
    program = f"""
        autoload -U compinit; compinit -D -u
        eval "$({DNARC} --show-completion zsh)"
        print -r -- "$_comps[dnarc]"
    """

    assert in_shell("zsh", program).strip() == "_dnarc_completion"


def test_zsh_gets_each_command_with_its_summary() -> None:
    """The answer to the script for zsh, without zsh."""
    done = subprocess.run(
        [DNARC],
        env={**os.environ, "_DNARC_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "dnarc reb"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )

    assert '"rebuild":"Derive everything again from the records' in done.stdout


def in_shell(shell: str, program: str) -> str:
    """The output of a shell program. typer looks for the shell that it runs under, and finds this shell.

    A shell gives its process to the last command of its program, and typer would find the shell above, which may be of
    any kind. So `exit` is the last command.
    """
    program += "\nexit $?"
    path = os.pathsep.join([str(Path(DNARC).parent), os.environ["PATH"]])
    arguments = [shell, "--norc", "-c", program] if shell == "bash" else [shell, "-f", "-c", program]
    done = subprocess.run(
        arguments,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
