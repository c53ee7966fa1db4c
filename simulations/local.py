"""Nodes as real processes on loopback: what only processes can show (a kill, memory, a second core).

A node is started as an operator would, by `dnarc serve`, on a port that the system picks and in a folder of its own,
and is ended when the block ends, however it ends.
"""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.client import NodeClient

START_S_MAX: Final = 30.0
STOP_S_MAX: Final = 15.0

_URL = re.compile(r"https?://\S+")


class LocalNodeError(Exception):
    """A process did not become a node; the text holds what it said."""


@dataclass(frozen=True)
class LocalNode:
    """A running node: what people call it, where it answers, its folder, its process."""

    name: str
    url: str
    data: Path
    process: subprocess.Popen[str]

    def client(self) -> NodeClient:
        """A client that may do everything: it holds the admin token."""
        return NodeClient(self.url, (self.data / "admin-token").read_text().strip())


@contextmanager
def running(name: str, data: Path, *flags: str) -> Iterator[LocalNode]:
    """A node on this folder until the block ends; `flags` are those of `dnarc serve`.

    Raises:
        LocalNodeError: it did not start.
    """
    data.mkdir(parents=True, exist_ok=True)
    log_path = data.with_name(f"{data.name}.log")
    command = [str(Path(sys.executable).with_name("dnarc")), "serve", "--port", "0", "--data", str(data), *flags]
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment())
    try:
        yield LocalNode(name, _first_url(process, log_path), data, process)
    finally:
        stop(process)


def stop(process: "subprocess.Popen[str]") -> None:
    """Ask the process to end, and make it end where it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def first_line(process: "subprocess.Popen[str]") -> str:
    """What the process says first, empty where it ends or stays silent too long."""
    assert process.stdout is not None, "its output is a pipe"
    is_ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
    return process.stdout.readline() if is_ready else ""


def _first_url(process: "subprocess.Popen[str]", log_path: Path) -> str:
    line = first_line(process)
    found = _URL.search(line)
    if found is None:
        raise LocalNodeError(f"no node: {line.strip()}\n{log_path.read_text(errors='replace')[-2_000:]}")
    return found.group()


def _environment() -> dict[str, str]:
    """Ours without the settings that the operator of another node may have in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DNARC_")}
