"""A process that follows, beside a node on SQLite: `python -m benchmarks.followers [--labels N] [--json]`.

A node on SQLite and two processes on PostgreSQL hold the same labels: `dnarc move` copies them. One client process asks
the node and the process that follows for heads, in turns. `first` asks for labels that nobody asked for before, `again`
for labels of the first lane. Aim: in both lanes, the process that follows shows 0.8 of what the node on SQLite shows.
In the first lane it reads each head from the server, together with those that were asked for at the same time.

Then claims are put to the process that writes, one after the other, and a client of the process that follows waits for
their events. The milliseconds run from before the request is written until after the last byte of the event is read.
The last lane puts the claims to the process that follows, which passes them on.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.common import report
from benchmarks.common.asking import Connections
from benchmarks.common.nodes import fill_unsigned, label_of, submissions
from benchmarks.fanout import Floor, delays
from benchmarks.query import WARM_UP, Lane, by_turns
from node.client.targets import path_of
from simulations.processes.postgres import running_server
from simulations.processes.process import LocalNode, running


class Nodes(NamedTuple):
    """A node on SQLite, and the two processes on PostgreSQL."""

    sqlite: LocalNode
    writer: LocalNode
    follower: LocalNode


@contextmanager
def nodes(folder: Path, labels: int) -> Iterator[Nodes]:
    """The three processes, which hold as many labels."""
    data = folder / "sqlite"
    fill_unsigned(data, submissions(0, labels), labels)
    with running_server() as server, ExitStack() as stack:
        dnarc = str(Path(sys.executable).with_name("dnarc"))
        subprocess.run([dnarc, "move", "--data", data, "--to", server.url()], check=True, stdout=subprocess.DEVNULL)
        flags = ("--store", server.url())
        yield Nodes(
            stack.enter_context(running("sqlite", data)),
            stack.enter_context(running("writer", folder / "writer", *flags)),
            stack.enter_context(running("follower", folder / "follower", *flags)),
        )


def measure(labels: int, requests: int, rounds: int, writes: int) -> dict[str, float]:
    asked = rounds * requests
    assert labels > asked + WARM_UP, "each request of the first lane needs a label of its own"
    random = Random(0)
    paths = [path_of("claims", report.DOMAIN, label_of(it)) for it in random.sample(range(labels), labels)]
    fresh, rest = paths[:asked], paths[asked:]
    with TemporaryDirectory() as name, nodes(Path(name), labels) as three:
        with Connections(three.sqlite.url, 32) as to_sqlite, Connections(three.follower.url, 32) as to_follower:
            lanes = {
                "sqlite": Lane(to_sqlite, three.sqlite.process.pid),
                "follower": Lane(to_follower, three.follower.process.pid),
            }
            by_turns(lanes, [rest[:WARM_UP]])
            first = _heads("first", lanes, [fresh[start : start + requests] for start in range(0, asked, requests)])
            again = _heads("again", lanes, [random.choices(fresh, k=requests) for _ in range(rounds)])
        return first | again | _deliveries(three, Path(name), writes)


def _heads(name: str, lanes: Mapping[str, Lane], paths: Sequence[Sequence[str]]) -> dict[str, float]:
    """Answers a second of both, and the microseconds of processor time that each uses for one."""
    found = by_turns(lanes, paths)
    figures = {f"{name}_ratio_follower_to_sqlite": found["follower"].each_second / found["sqlite"].each_second}
    for lane, it in found.items():
        figures |= {f"{name}_{lane}_answers_a_second": it.each_second, f"{name}_{lane}_us_an_answer": it.server_us}
    return figures


def _deliveries(three: Nodes, folder: Path, writes: int) -> dict[str, float]:
    """Milliseconds from a claim to its event at the process that follows."""
    figures: dict[str, float] = {}
    for lane, put_to in (("writer", three.writer), ("follower", three.follower)):
        claims = report.make_claims(writes, lane)
        floor = Floor(folder, claims[0])
        taken_ms = report.run(delays(put_to.url, three.follower.url, claims, floor))
        floor.close()
        figures[f"put_to_{lane}_seen_at_follower_ms_p50"] = statistics.median(taken_ms)
        figures[f"put_to_{lane}_seen_at_follower_ms_p99"] = report.p99(taken_ms)
    return figures


def main() -> None:
    options = report.options(
        __doc__,
        labels=(100_000, "labels of each store"),
        requests=(10_000, "requests in each round"),
        rounds=(5, "rounds; figures are their medians"),
        writes=(500, "claims that are put, of which the first 50 do not count"),
    )
    figures = measure(options.labels, options.requests, options.rounds, options.writes)
    report.show(f"A process that follows, {options.labels:,} labels", figures, options.json)


if __name__ == "__main__":
    main()
