"""How many heads a second a node shows: `python -m benchmarks.query [--labels N] [--requests N] [--json]`.

Lanes: `first` asks for labels that nobody asked for before, so that their heads are not in memory. `again` asks for
labels of the first lane, in a random order; their heads are in memory as far as the cache of the node has room. The
limit is a bare aiohttp handler that returns the same bytes and ETag (`common.bare`). Both servers run as processes of
their own. One client process asks them in turns, over the same number of connections, which stay open. The client
writes a prepared request and counts the bytes of the answer. A real HTTP client takes longer than the servers do, and
would make any two of them look alike. `client` is its processor time for one request to the node. Aims: `first` reaches
0.7 of the bare handler over 100,000 labels and 0.5 over 1,000,000.

Finally the pages of the store are put out of the system's memory, and one connection asks for labels that nobody asked
for before: `cold pages`, in ms for one request.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.common import report
from benchmarks.common.asking import Asked, Connections
from benchmarks.common.nodes import fill_unsigned, label_of, submissions
from benchmarks.common.processor import spent
from node.client.targets import path_of
from simulations.processes.process import LocalNode, first_line, running, stop

WARM_UP: Final = 200
"""Requests before the first that counts, so that late imports of modules have happened."""


def get_each(connections: Connections, paths: Sequence[str], taken_s: list[float] | None = None) -> Asked:
    """Get these paths one by one. `taken_s`: gets the seconds of each."""
    prepared = [f"GET {path} HTTP/1.1\r\nHost: {connections.host}\r\n\r\n".encode() for path in paths]
    return connections.ask(prepared, 200, taken_s)


class Server(NamedTuple):
    """Where a server answers, and its process."""

    url: str
    pid: int


@contextmanager
def bare(body: bytes, etag: str) -> Iterator[Server]:
    """Run a bare handler with this answer."""
    command = [sys.executable, "-m", "benchmarks.common.bare", etag]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None, "its input is a pipe"
        process.stdin.write(body.decode())
        process.stdin.close()
        yield Server(first_line(process).strip(), process.pid)
    finally:
        stop(process)


def measure(requests: int, rounds: int, connections: int, labels: int) -> dict[str, float]:
    asked = rounds * requests
    assert labels > asked + WARM_UP, "each request of the first lane needs a label of its own"
    random = Random(0)
    paths = [path_of("claims", report.DOMAIN, label_of(it)) for it in random.sample(range(labels), labels)]
    fresh, rest = paths[:asked], paths[asked:]
    with TemporaryDirectory() as folder:
        data = Path(folder) / "node"
        fill_unsigned(data, submissions(0, labels), labels)
        with running("node", data) as node, node.client() as client:
            answer = client.ask("GET", rest[0])
            with (
                bare(answer.body, answer.headers["etag"]) as limit,
                Connections(node.url, connections) as to_node,
                Connections(limit.url, connections) as to_limit,
            ):
                lanes = {"node": Lane(to_node, node.process.pid), "bare": Lane(to_limit, limit.pid)}
                by_turns(lanes, [rest[:WARM_UP]])
                first = _beside_bare("first", lanes, [fresh[at : at + requests] for at in range(0, asked, requests)])
                again = _beside_bare("again", lanes, [random.choices(fresh, k=requests) for _ in range(rounds)])
            cold_ms = cold_pages_ms(node, rest[WARM_UP : WARM_UP + requests // 4])
    return first | again | _times(cold_ms)


class Lane(NamedTuple):
    """A server that is asked: open connections to it, and its process."""

    connections: Connections
    pid: int

    def measure(self, paths: Sequence[str]) -> "Measured":
        before = spent(self.pid)
        asked = get_each(self.connections, paths)
        return Measured(asked.each_second, spent(self.pid).since(before).us_each(len(paths)).all, asked.client_us)


class Measured(NamedTuple):
    """Answers a second, and microseconds of processor time for each: of the server, and of the client."""

    each_second: float
    server_us: float
    client_us: float


def by_turns(lanes: Mapping[str, Lane], paths: Sequence[Sequence[str]]) -> dict[str, Measured]:
    """Ask all servers in turns. `paths`: what each round asks them for. The figures are medians of the rounds."""
    results: dict[str, list[Measured]] = {name: [] for name in lanes}
    for some in report.progress(paths, "measuring, in turns"):
        for name, lane in lanes.items():
            results[name].append(lane.measure(some))
    return {name: Measured(*map(statistics.median, zip(*each, strict=True))) for name, each in results.items()}


def _beside_bare(name: str, lanes: Mapping[str, Lane], paths: Sequence[Sequence[str]]) -> dict[str, float]:
    found = by_turns(lanes, paths)
    node, limit = found["node"], found["bare"]
    return {
        f"{name}_bare_handler_answers_a_second": limit.each_second,
        f"{name}_answers_a_second": node.each_second,
        f"ratio_{name}_to_bare": node.each_second / limit.each_second,
        f"{name}_us_an_answer": node.server_us,
        f"{name}_bare_handler_us_an_answer": limit.server_us,
        f"{name}_client_us_an_answer": node.client_us,
    }


def _times(cold_ms: Sequence[float]) -> dict[str, float]:
    in_order = sorted(cold_ms)
    return {
        "cold_pages_ms_p50": statistics.median(cold_ms),
        "cold_pages_ms_p99": in_order[int(len(in_order) * 0.99)],
        "cold_pages_ms_longest": in_order[-1],
    }


def cold_pages_ms(node: LocalNode, paths: Sequence[str]) -> list[float]:
    """How long each request takes over one connection, when the store is on the disk alone."""
    for file in node.data.iterdir():
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    taken_s: list[float] = []
    with Connections(node.url, 1) as connection:
        get_each(connection, paths, taken_s)
    return [seconds * 1_000 for seconds in taken_s]


def main() -> None:
    options = report.options(
        __doc__,
        requests=(10_000, "requests in each round"),
        rounds=(7, "rounds; figures are their medians"),
        connections=(32, "connections of the client"),
        labels=(100_000, "labels of the node"),
    )
    figures = measure(options.requests, options.rounds, options.connections, options.labels)
    report.show(f"GET /claims/{{domain}}/{{label}}, {options.labels:,} labels", figures, options.json)


if __name__ == "__main__":
    main()
