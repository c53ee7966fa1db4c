"""Commands of other packages: found by their entry points, and missed by nobody where they cannot be loaded."""

import os
from pathlib import Path

import pytest

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
def test_a_package_that_cannot_be_loaded_takes_no_other_command_away(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run_beside(tmp_path, "import a_library_that_is_missing\n", *arguments)

    assert done.code == 0
    assert done.out != ""
    assert done.err == "dnarc: warning: `dnarc greet` is missing: No module named 'a_library_that_is_missing'\n"
