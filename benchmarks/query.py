"""How many heads a second a node shows: `python -m benchmarks.query [--labels N] [--requests N] [--json]`.

Lanes: `first` asks for labels that nobody asked for before, so that their heads are not in memory. `again` asks for
labels of the first lane, in a random order; their heads are in memory as far as the cache of the node has room. The
limit is a bare aiohttp handler that returns the same bytes and ETag (`common.bare`). Both servers run as processes of
their own. One client process asks them in turns, over the same number of connections. The client writes a prepared
request and counts the bytes of the answer. A real HTTP client takes longer than the servers do, and would make any two
of them look alike. Aims: `first` reaches 0.7 of the bare handler over 100,000 labels and 0.5 over 1,000,000.

At last the pages of the store are put out of the system's memory, and one connection asks for labels that nobody asked
for before: `cold pages`, in ms for one request.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.common import report
from benchmarks.common.asking import ask_all
from benchmarks.common.nodes import fill_unsigned, label_of, submissions
from benchmarks.common.processor import spent
from node.client.targets import path_of
from simulations.processes.process import LocalNode, first_line, running, stop

WARM_UP: Final = 200
"""Requests before the first that counts, so that late imports of modules have happened."""


async def rate(url: str, paths: Sequence[str], connections: int, taken_s: list[float] | None = None) -> float:
    """Answers a second to GET requests of these paths, one after another. `taken_s`: gets the seconds of each."""
    netloc = urlsplit(url).netloc
    prepared = iter([f"GET {path} HTTP/1.1\r\nHost: {netloc}\r\n\r\n".encode() for path in paths])
    return len(paths) / await ask_all(url, lambda: next(prepared, None), connections, 200, taken_s)


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
            with bare(answer.body, answer.headers["etag"]) as limit:
                lanes = Lanes(Server(node.url, node.process.pid), limit, connections, rounds)
                lanes.warm_up(rest[:WARM_UP])
                first = lanes.measure("first", [fresh[start : start + requests] for start in range(0, asked, requests)])
                again = lanes.measure("again", [random.choices(fresh, k=requests) for _ in range(rounds)])
            cold_ms = cold_pages_ms(node, rest[WARM_UP : WARM_UP + requests // 4])
    return first | again | _times(cold_ms)


class Lanes:
    """A node and a bare handler that are asked in turns."""

    def __init__(self, node: Server, limit: Server, connections: int, rounds: int) -> None:
        self._node = node
        self._limit = limit
        self._connections = connections
        self._rounds = rounds

    def warm_up(self, paths: Sequence[str]) -> None:
        for server in (self._node, self._limit):
            self._ask(server, paths)

    def measure(self, name: str, paths: Sequence[Sequence[str]]) -> dict[str, float]:
        """Answers a second of both, and the microseconds of processor time that the servers use for each. `paths`: what
        each round asks for.
        """
        servers, of_node, of_limit = (self._node, self._limit), iter(paths), iter(paths)
        before = [spent(server.pid) for server in servers]
        lanes = {
            "node": lambda: self._ask(self._node, next(of_node)),
            "bare": lambda: self._ask(self._limit, next(of_limit)),
        }
        middle = report.medians(report.by_turns(lanes, self._rounds))
        count = sum(map(len, paths))
        used = [spent(server.pid).since(begun).us_each(count) for server, begun in zip(servers, before, strict=True)]
        return {
            f"{name}_bare_handler_answers_a_second": middle["bare"],
            f"{name}_answers_a_second": middle["node"],
            f"ratio_{name}_to_bare": middle["node"] / middle["bare"],
            f"{name}_us_an_answer": used[0].all,
            f"{name}_bare_handler_us_an_answer": used[1].all,
        }

    def _ask(self, server: Server, paths: Sequence[str]) -> float:
        return report.run(rate(server.url, paths, self._connections))


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
    report.run(rate(node.url, paths, 1, taken_s))
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
