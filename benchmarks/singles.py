"""How many single claims a second a node takes in: `python -m benchmarks.singles [--claims N] [--rounds N] [--json]`.

Each claim is one `PUT /claims/{signature}`. Three lanes run in turns, with 1, 8 and 64 connections; each connection
writes a prepared request, waits for the whole answer, and writes the next. The node is a `dnarc serve` process on the
same cores. Every claim founds a label of its own and is committed with `synchronous=FULL` before it counts.

The processor time of the node is read from /proc before and after a lane. It depends less on other work of the machine
than the rate does. `main` is the thread of the event loop; `all` adds the threads and processes that verify, and the
threads of SQLite.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from benchmarks import _report as report
from benchmarks._asking import ask_all
from benchmarks.ingest import run
from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode, running

CONNECTIONS: Final = (1, 8, 64)
WARM_UP: Final = 200
"""Claims before the first that counts, so that late imports of modules have happened."""


async def put_each(url: str, claims: Sequence[SignedRecord], connections: int) -> float:
    """Put the claims one by one over so many connections; returns the seconds that it took."""
    head = f"HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\nContent-Length:"
    requests = iter(
        [
            f"PUT /claims/{it.signature} {head} {len(it.record.canonical)}\r\n\r\n".encode() + it.record.canonical
            for it in claims
        ]
    )
    return await ask_all(url, lambda: next(requests, None), connections, status=201)


def processor_s(pid: int) -> tuple[float, float]:
    """The processor time that the main thread used, and that all threads and child processes used, in seconds."""
    task = Path(f"/proc/{pid}/task")
    children = [int(child) for each in task.iterdir() for child in (each / "children").read_text().split()]
    threads = [each for owner in (pid, *children) for each in Path(f"/proc/{owner}/task").iterdir()]
    return _thread_s(task / str(pid)), sum(map(_thread_s, threads))


def _thread_s(task: Path) -> float:
    """The processor time of one thread: the first field of `schedstat`, in nanoseconds. `stat` counts in 10 ms."""
    return int((task / "schedstat").read_text().split()[0]) / 1e9


def measure_lane(node: LocalNode, claims: Sequence[SignedRecord], connections: int) -> tuple[float, float, float]:
    """Claims a second; microseconds of processor time a claim, of the main thread and in all."""
    before = processor_s(node.process.pid)
    seconds = float(run(put_each(node.url, claims, connections)))
    main_s, all_s = (after - begun for begun, after in zip(before, processor_s(node.process.pid), strict=True))
    return len(claims) / seconds, main_s / len(claims) * 1e6, all_s / len(claims) * 1e6


def measure(claims_per_lane: int, rounds: int) -> dict[str, float]:
    claims = iter(report.make_claims(WARM_UP + claims_per_lane * rounds * len(CONNECTIONS)))
    lanes: dict[str, list[tuple[float, float, float]]] = {str(number): [] for number in CONNECTIONS}
    with TemporaryDirectory() as folder, running("node", Path(folder) / "node") as node:
        run(put_each(node.url, [next(claims) for _ in range(WARM_UP)], max(CONNECTIONS)))
        for _ in report.progress(range(rounds), "measuring, in turns"):
            for number in CONNECTIONS:
                some = [next(claims) for _ in range(claims_per_lane)]
                lanes[str(number)].append(measure_lane(node, some, number))
    figures: dict[str, float] = {}
    for name, results in lanes.items():
        rates, main_us, all_us = zip(*results, strict=True)
        middle = report.medians({"rate": rates, "main": main_us, "all": all_us})
        figures[f"claims_a_second_over_{name}_connections"] = middle["rate"]
        figures[f"main_thread_us_a_claim_over_{name}_connections"] = middle["main"]
        figures[f"processor_us_a_claim_over_{name}_connections"] = middle["all"]
    return figures


def main() -> None:
    options = report.options(
        __doc__,
        claims=(2_000, "claims in each round of each lane"),
        rounds=(5, "rounds; figures are their medians"),
    )
    figures = measure(options.claims, options.rounds)
    report.show("PUT /claims/{signature}, one claim each", figures, options.json)


if __name__ == "__main__":
    main()
