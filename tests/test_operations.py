"""The page for operators: its commands are carried out as they stand, and its tables are those of the program."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.commands.config import markdown_table as table_of_settings
from node.cli.output.failures import Exit
from node.settings.description import describe
from simulations.processes.process import LocalNode, running
from tests.node.cli.conftest import run, start
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
TIMEOUT_S = 120
PLAIN_COMMAND = re.compile(r"dnarc [\w .,:/@=+-]+")
"""A command that means the same with every shell, and without a shell."""


def blocks(heading: str) -> list[str]:
    """The commands for a shell in a section, in order."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def carry_out(block: str, folder: Path, **names: str) -> str:
    """Run a block with these names replaced; returns what it writes to stdout.

    A block of plain commands runs in this process, because a process of its own would take most of the CPU time of a
    command. A shell runs any other block.
    """
    for name, value in names.items():
        block = re.sub(rf"\b{name}\b", value, block)
    lines = block.splitlines()
    if all(PLAIN_COMMAND.fullmatch(line) for line in lines):
        return "".join(run_here(shlex.split(line)[1:], folder) for line in lines)
    done = subprocess.run(
        ["bash", "-e", "-c", block],
        cwd=folder,
        env=environment() | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(arguments: list[str], folder: Path) -> str:
    """Run a command in this process, in a folder; returns what it writes to stdout."""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patched:
        for name in os.environ.keys() - environment().keys():
            patched.delenv(name)
        done = run(*arguments)
    assert done.code == 0, done.err
    return done.out


def environment() -> dict[str, str]:
    """The environment without settings for dnarc."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DNARC_")}


def claim(node: LocalNode, label: str, folder: Path) -> None:
    key = folder / "key"
    if not key.exists():
        carry_out("dnarc keygen key", folder)
    carry_out(f"dnarc claim example.org {label} n=1 --key key --node {node.url}", folder)


def labels(node: LocalNode) -> list[str]:
    with node.client() as client:
        return sorted(record["label"] for record in client.get("/claims").values())


def key_of(node: LocalNode) -> str:
    with node.client() as client:
        return str(client.get("/node")["node"])


def test_a_backup_is_made_and_restored_by_the_commands_of_the_page(tmp_path: Path) -> None:
    back_up, restore, _ = blocks("Backup and restore")
    data = tmp_path / "data"

    with running("node", data) as node:
        claim(node, "before", tmp_path)
        carry_out(back_up, tmp_path, DIR="data", COPY="copy")
        claim(node, "after", tmp_path)
        key = key_of(node)
    carry_out(restore, tmp_path, DIR="data", COPY="copy")
    with running("node", data) as node:
        restored = labels(node)
        key_restored = key_of(node)

    assert (restored, key_restored) == (["before"], key)


def test_records_move_to_another_node_by_the_commands_of_the_page(tmp_path: Path) -> None:
    *_, move = blocks("Backup and restore")
    write, check, read = move.splitlines()

    with running("one", tmp_path / "one") as one, running("two", tmp_path / "two") as two:
        claim(one, "moved", tmp_path)
        carry_out(f"{write}\n{check}", tmp_path, DIR="one", URL=one.url)
        carry_out(read, tmp_path, DIR="two", URL=two.url)
        moved = labels(two)

    assert moved == ["moved"]


def test_the_table_of_settings_is_that_of_the_program() -> None:
    assert table_of_settings(describe()) in PAGE, "`dnarc config --markdown` gives the table"


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    section = PAGE.split("\n## Exit codes\n", 1)[1]

    assert [int(code) for code in re.findall(r"(?m)^\| (\d+) \|", section)] == [int(code) for code in Exit]


def test_every_page_and_file_that_the_page_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGE)

    assert len(links) > 5
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_every_command_that_the_page_names_exists() -> None:
    known = subprocess.run([BIN / "dnarc", "--help"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)

    named = set(re.findall(r"(?m)(?:^|`)dnarc ([a-z]+)", PAGE))

    assert len(named) > 8
    assert [name for name in named if f" {name} " not in known.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["version"], Exit.DONE),
        (["verify", "bad.jsonl"], Exit.REFUSED),
        (["no-such-command"], Exit.USAGE),
        (["domains", "--node", "http://127.0.0.1:9"], Exit.UNREACHABLE),
        (["export", "/no/such/folder/file", "--node", "http://127.0.0.1:9"], Exit.MACHINE),
    ],
)
def test_a_command_ends_with_the_code_of_the_page(tmp_path: Path, arguments: list[str], code: Exit) -> None:
    (tmp_path / "bad.jsonl").write_text('{"signature":"00","record":{}}\n')

    done = subprocess.run(
        [BIN / "dnarc", *arguments], cwd=tmp_path, capture_output=True, timeout=TIMEOUT_S, check=False
    )

    assert done.returncode == code


def test_an_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start("verify", str(pipe))

    with pipe.open("wb"):  # once this opens, the command has begun to read
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == Exit.INTERRUPTED
    assert "Traceback" not in said


def test_each_reason_in_the_table_of_errors_is_one_that_the_program_gives() -> None:
    section = PAGE.split("\n## What an error means\n", 1)[1].split("\n## ", 1)[0]
    reasons = [reason for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for reason in row.split("`")[1::2]]
    program = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "node").rglob("*.py"))

    assert len(reasons) > 20
    assert [reason for reason in reasons if reason not in program and reason not in STRERRORS] == []


STRERRORS = ("read-only file system",)
"""Reasons in the words of the operating system."""
