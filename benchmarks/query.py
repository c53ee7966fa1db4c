"""How many heads a second a node shows: `python -m benchmarks.query [--labels N] [--requests N] [--json]`.

The limit is a bare aiohttp handler that returns the same bytes and ETag (`_bare`). Both run as processes of their own.
One client process asks them in turns, over the same number of connections. The client writes a prepared request and
counts the bytes of the answer. A real HTTP client takes longer than the servers do, and would make any two of them look
alike. Aim: at least 0.6 of the bare handler.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from benchmarks import _report as report
from benchmarks._asking import ask_all
from node.client.targets import path_of
from simulations.processes.process import first_line, running, stop


async def rate(url: str, paths: list[str], requests: int, connections: int) -> float:
    """Answers a second to GET requests of these paths, one after another."""
    netloc = urlsplit(url).netloc
    prepared = [f"GET {path} HTTP/1.1\r\nHost: {netloc}\r\n\r\n".encode() for path in paths]
    numbers = iter(range(requests))

    def take() -> bytes | None:
        number = next(numbers, None)
        return None if number is None else prepared[number % len(prepared)]

    return requests / await ask_all(url, take, connections, status=200)


@contextmanager
def bare(body: bytes, etag: str) -> Iterator[str]:
    """Run a bare handler with this answer. Yields its URL."""
    command = [sys.executable, "-m", "benchmarks._bare", etag]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None, "its input is a pipe"
        process.stdin.write(body.decode())
        process.stdin.close()
        yield first_line(process).strip()
    finally:
        stop(process)


def measure(requests: int, rounds: int, connections: int, labels: int) -> dict[str, float]:
    claims = report.make_claims(labels)
    shuffled = Random(0).sample(claims, len(claims))
    paths = [path_of("claims", it.record.domain, it.record.label) for it in shuffled]
    with TemporaryDirectory() as folder, running("node", Path(folder) / "node") as node:
        client = node.client()
        report.put_all(client, claims)
        answer = client.ask("GET", paths[0])
        with bare(answer.body, answer.headers["etag"]) as bare_url:

            def lane(url: str, count: int = requests) -> float:
                return float(report.run(rate(url, paths, count, connections)))

            for url in (node.url, bare_url):
                lane(url, 1_000)  # lets late imports of modules happen
            rates = report.medians(
                report.by_turns({"node": lambda: lane(node.url), "bare": lambda: lane(bare_url)}, rounds)
            )
    return {
        "bare_handler_answers_a_second": rates["bare"],
        "node_answers_a_second": rates["node"],
        "ratio_node_to_bare": rates["node"] / rates["bare"],
    }


def main() -> None:
    options = report.options(
        __doc__,
        requests=(30_000, "requests in each round"),
        rounds=(7, "rounds; figures are their medians"),
        connections=(32, "connections of the client"),
        labels=(1_000, "labels, asked for one after another; with many of them most heads are not in memory"),
    )
    figures = measure(options.requests, options.rounds, options.connections, options.labels)
    report.show(f"GET /claims/{{domain}}/{{label}}, {options.labels:,} labels", figures, options.json)


if __name__ == "__main__":
    main()
