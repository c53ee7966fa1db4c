"""Nodes as real processes on loopback, for what only processes can show: a kill, memory, a second core.

A node is started by `dnarc serve`, as an operator does, in a folder of its own and on a port that the system picks. It
ends when the block ends, also after an error. In between it can be killed and started again on the same port, which
nobody else gets meanwhile (`simulations.processes.port`).
"""

import os
import re
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.client.http import NodeClient
from simulations.processes.port import hold_port

START_S_MAX: Final = 120.0
STOP_S_MAX: Final = 60.0

LOG_SHOWN_CHARACTERS: Final = 2_000

_URL = re.compile(r"https?://\S+")

start_process: "Callable[..., subprocess.Popen[str]]" = subprocess.Popen
"""Starts the process of a node. The tests put a function in its place that takes less time (`tests/forked.py`)."""


class LocalNodeError(Exception):
    """A process did not start as a node. The text contains the end of its log."""


@dataclass
class LocalNode:
    """A node as a process. `data`: its data folder. `flags`: further flags of `dnarc serve`. `url`: where it answers,
    empty before the first start. `program`: what to run in the place of `dnarc`; empty: `dnarc` itself.
    """

    name: str
    data: Path
    flags: tuple[str, ...] = ()
    url: str = ""
    program: tuple[str, ...] = ()
    process: "subprocess.Popen[str]" = field(init=False)
    _port: int | None = field(init=False, default=None, repr=False)

    def client(self) -> NodeClient:
        """A client with the node's admin token, so that it may do everything."""
        return NodeClient(self.url, (self.data / "admin-token").read_text().strip())

    @property
    def link_url(self) -> str:
        """The URL at which other nodes dial this node."""
        return self.url.replace("http", "ws", 1)

    def start(self) -> None:
        """Start the node on the port that it had before, and wait until it answers.

        Raises:
            LocalNodeError: the process did not start as a node.
        """
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the process without waiting, so that many can start at once."""
        self.data.mkdir(parents=True, exist_ok=True)
        program = self.program or (str(Path(sys.executable).with_name("dnarc")),)
        command = [*program, "serve", "--port", str(self._lasting_port()), "--data", str(self.data)]
        with self._log_path.open("ab") as log:
            self.process = start_process(
                [*command, *self.flags], stdout=subprocess.PIPE, stderr=log, text=True, env=_environment()
            )

    def await_ready(self) -> None:
        """Wait until the node answers.

        Raises:
            LocalNodeError: the process did not start as a node.
        """
        line = first_line(self.process)
        found = _URL.search(line)
        if found is None:
            self.stop()
            said = self._log_path.read_text(errors="replace")[-LOG_SHOWN_CHARACTERS:]
            raise LocalNodeError(f"{self.name} did not start as a node: {line.strip()}\n{said}")
        self.url = found.group()

    def kill(self) -> None:
        """End the process as a power cut does: it sends nothing and finishes nothing."""
        self.process.kill()
        self.process.wait()
        stop(self.process)

    def stop(self) -> None:
        """Ask the process to end, and wait until it has ended."""
        stop(self.process)

    def _lasting_port(self) -> int:
        """The port of every start. 0: the system picks the port of the first start."""
        if self._port is None:
            holder = hold_port()
            self._port = 0 if holder is None else holder.getsockname()[1]
            if holder is not None:
                weakref.finalize(self, holder.close)
        return self._port or int(self.url.rpartition(":")[2] or 0)

    @property
    def _log_path(self) -> Path:
        return self.data.with_name(f"{self.data.name}.log")


@contextmanager
def running(name: str, data: Path, *flags: str, program: tuple[str, ...] = ()) -> Iterator[LocalNode]:
    """Start a node on this folder, and stop it when the block ends. `flags`: further flags of `dnarc serve`. `program`:
    see `LocalNode`.

    Raises:
        LocalNodeError: the process did not start as a node.
    """
    node = LocalNode(name, data, flags, program=program)
    node.start()
    try:
        yield node
    finally:
        node.stop()


def stop(process: "subprocess.Popen[str]") -> None:
    """Ask the process to end, and kill it if it does not end within `STOP_S_MAX`."""
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
    """The first line that the process writes. Empty if it ends without one, or writes none within `START_S_MAX`."""
    assert process.stdout is not None, "the process was started with a pipe for its output"
    is_ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
    return process.stdout.readline() if is_ready else ""


def _environment() -> dict[str, str]:
    """Our environment without settings for dnarc, which would be those of another node."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DNARC_")}
