"""The table of commands, and commands that other packages add."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.app import Commands
from node.cli.lazy_group import COMMANDS, CommandPlace, load_command
from tests.node.cli.conftest import Result, run_apart


def run_beside(folder: Path, program: str, *arguments: str) -> Result:
    """A command where a package is installed that brings `dnarc greet`, with this program."""
    (folder / "greeting.py").write_text(program)
    metadata = folder / "greeting-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[dnarc.commands]\ngreet = greeting:app\n")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return run_apart(*arguments, PYTHONPATH=path.rstrip(os.pathsep))


GREETING = """
import typer
app = typer.Typer()

@app.command()
def hello(name: str) -> None:
    print("hello", name)

@app.command()
def bye(name: str) -> None:
    print("bye", name)
"""


def test_another_package_brings_its_commands(tmp_path: Path) -> None:
    done = run_beside(tmp_path, GREETING, "greet", "hello", "world")

    assert done == Result(0, "hello world\n", "")


@pytest.mark.parametrize("arguments", [("version",), ("--help",)])
def test_a_package_that_cannot_be_loaded_leaves_other_commands_alone(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run_beside(tmp_path, "import a_library_that_is_missing\n", *arguments)

    assert done.code == 0
    assert done.out != ""
    assert done.err == "dnarc: warning: `dnarc greet` is missing: No module named 'a_library_that_is_missing'\n"


@pytest.mark.parametrize(("name", "place"), Commands.places.items())
def test_every_command_is_where_the_table_says(name: str, place: CommandPlace) -> None:
    command = load_command(name, place)

    assert (command.name, bool(command.help)) == (name, True)


def test_the_list_of_commands_has_one_line_for_each() -> None:
    """At 80 columns, of which the margins take 4 and the name 10. Longer sentences are cut."""
    assert [place.summary for place in Commands.places.values() if len(place.summary) > 80 - 4 - 10] == []


def test_help_imports_no_command() -> None:
    """Commands take as long to import as typer, and rich twice as long."""
    program = (
        "import contextlib, io, sys\n"
        "from node.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print(*sorted(sys.modules))"
    )

    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    commands = {f"{COMMANDS}.{place.target.partition(':')[0]}" for place in Commands.places.values()}
    assert (commands | {"aiohttp", "asyncio", "msgspec", "nacl", "pydantic", "rich", "sqlite3"}) & set(modules) == set()
