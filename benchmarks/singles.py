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

from benchmarks import _report as report
from benchmarks._processor import spent
from benchmarks._putting import put_each
from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode, running

CONNECTIONS: Final = (1, 8, 64)
WARM_UP: Final = 200
"""Claims before the first that counts, so that late imports of modules have happened."""


def measure_lane(node: LocalNode, claims: Sequence[SignedRecord], connections: int) -> tuple[float, float, float]:
    """Claims a second; microseconds of processor time a claim, of the main thread and in all."""
    before = spent(node.process.pid)
    seconds = report.run(put_each(node.url, claims, connections))
    used = spent(node.process.pid).since(before).us_each(len(claims))
    return len(claims) / seconds, used.main, used.all


def measure(claims_per_lane: int, rounds: int) -> dict[str, float]:
    claims = iter(report.make_claims(WARM_UP + claims_per_lane * rounds * len(CONNECTIONS)))
    lanes: dict[str, list[tuple[float, float, float]]] = {str(number): [] for number in CONNECTIONS}
    with TemporaryDirectory() as folder, running("node", Path(folder) / "node") as node:
        report.run(put_each(node.url, [next(claims) for _ in range(WARM_UP)], max(CONNECTIONS)))
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
