"""Nodes as real processes on loopback: what only processes can show (a kill, memory, a second core).

A node is started as an operator would, by `dnarc serve`, on a port that the system picks and in a folder of its own,
and is ended when the block ends, however it ends. In between it may be killed, and started again where it was.
"""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.client.http import NodeClient

START_S_MAX: Final = 30.0
STOP_S_MAX: Final = 15.0

_URL = re.compile(r"https?://\S+")


class LocalNodeError(Exception):
    """A process did not become a node; the text holds what it said."""


@dataclass
class LocalNode:
    """A node: what people call it, where it answers, its folder, its process, the flags it is started with."""

    name: str
    data: Path
    flags: tuple[str, ...] = ()
    url: str = ""
    process: "subprocess.Popen[str]" = field(init=False)

    def client(self) -> NodeClient:
        """A client that may do everything: it holds the admin token."""
        return NodeClient(self.url, (self.data / "admin-token").read_text().strip())

    @property
    def link_url(self) -> str:
        """Where other nodes dial it."""
        return self.url.replace("http", "ws", 1)

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers. Raises: LocalNodeError."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the process, and do not wait: many start at once."""
        self.data.mkdir(parents=True, exist_ok=True)
        port = self.url.rpartition(":")[2] or "0"
        command = [str(Path(sys.executable).with_name("dnarc")), "serve", "--port", port, "--data", str(self.data)]
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.flags], stdout=subprocess.PIPE, stderr=log, text=True, env=_environment()
            )

    def await_ready(self) -> None:
        """Raises: LocalNodeError: it did not become a node."""
        line = first_line(self.process)
        found = _URL.search(line)
        if found is None:
            self.stop()
            said = self._log_path.read_text(errors="replace")[-2_000:]
            raise LocalNodeError(f"{self.name} is no node: {line.strip()}\n{said}")
        self.url = found.group()

    def kill(self) -> None:
        """End it as a power cut would: nothing is said, nothing is finished."""
        self.process.kill()
        self.process.wait()
        stop(self.process)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        stop(self.process)

    @property
    def _log_path(self) -> Path:
        return self.data.with_name(f"{self.data.name}.log")


@contextmanager
def running(name: str, data: Path, *flags: str) -> Iterator[LocalNode]:
    """A node on this folder until the block ends; `flags` are those of `dnarc serve`.

    Raises:
        LocalNodeError: it did not start.
    """
    node = LocalNode(name, data, flags)
    node.start()
    try:
        yield node
    finally:
        node.stop()


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


def _environment() -> dict[str, str]:
    """Ours without the settings that the operator of another node may have in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DNARC_")}
