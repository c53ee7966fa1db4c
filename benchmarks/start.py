"""How soon a program is there: `python -m benchmarks.start [--rounds N] [--json]`.

`node`: from the start of a `dnarc serve` process on a new folder to its first answer to `GET /health`. `help`: `dnarc
--help` from start to end. The limit of the node is the same interpreter that only imports the libraries which a node
needs; the limit of the help is an interpreter that does nothing. Seconds of processor time stand beside those of the
clock. Aims: 0.6 s and 0.3 s on the clock.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.common import report
from benchmarks.common.processor import spent
from simulations.processes.process import running

LIBRARIES: Final = "import aiohttp.web, aiosqlite, msgspec, nacl.bindings, prometheus_client, websockets.asyncio.client"

Seconds = tuple[float, float]
"""On the clock, and of processor time."""


def of_node() -> Seconds:
    """From the start of a node to its first answer."""
    with TemporaryDirectory() as folder:
        begun_s = time.perf_counter()
        with running("node", Path(folder) / "node") as node, node.client() as client:
            assert client.get("/health")["status"] == "ok"
            return time.perf_counter() - begun_s, spent(node.process.pid).all


def of_command(*arguments: str) -> Seconds:
    """From the start of a program to its end."""
    before, begun_s = os.times(), time.perf_counter()
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
    seconds, after = time.perf_counter() - begun_s, os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def measure(rounds: int) -> dict[str, float]:
    dnarc = str(Path(sys.executable).with_name("dnarc"))
    lanes: dict[str, Callable[[], Seconds]] = {
        "node": of_node,
        "libraries_alone": lambda: of_command(sys.executable, "-c", LIBRARIES),
        "aiohttp_alone": lambda: of_command(sys.executable, "-c", "import aiohttp.web"),
        "help": lambda: of_command(dnarc, "--help"),
        "python_alone": lambda: of_command(sys.executable, "-c", ""),
    }
    taken: dict[str, list[Seconds]] = {name: [] for name in lanes}
    for _ in report.progress(range(rounds), "measuring, in turns"):
        for name, lane in lanes.items():
            taken[name].append(lane())
    figures: dict[str, float] = {}
    for name, results in taken.items():
        figures |= _middle(name, results)
    return figures


def _middle(name: str, results: Sequence[Seconds]) -> dict[str, float]:
    clock, processor = zip(*results, strict=True)
    middle = report.medians({"clock": clock, "processor": processor})
    return {f"{name}_s": middle["clock"], f"{name}_processor_s": middle["processor"]}


def main() -> None:
    options = report.options(__doc__, rounds=(7, "rounds; figures are their medians"))
    report.show("start of a node, and of the help", measure(options.rounds), options.json)


if __name__ == "__main__":
    main()
