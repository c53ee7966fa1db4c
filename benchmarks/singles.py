"""How many single claims a second a node takes in: `python -m benchmarks.singles [--claims N] [--rounds N] [--json]`.

Each claim is one `PUT /claims/{signature}`. Three lanes run in turns, with 1, 8 and 64 connections. The connections are
open before the first claim and stay open. Each writes a prepared request, waits for the whole answer, and writes the
next. The node is a `dnarc serve` process on the same cores. Every claim founds a label of its own and is committed with
`synchronous=FULL` before it counts.

The processor time of the node is read from /proc before and after a lane. It depends less on other work of the machine
than the rate does: see `common.processor` for its parts. `client` is that of the client, which is no part of the node
and takes its time from the same cores. The limit is what two threads of PyNaCl alone verify. Aims:
0.19 of the limit at 64 connections (6,000 a second where the limit is 31,500) with at most 100 us of the main thread
and 200 us in all, 0.095 at 8 with 300 us, 0.035 at 1.
"""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.common import report
from benchmarks.common.asking import Asked, Connections
from benchmarks.common.processor import Spent, spent
from benchmarks.common.putting import put_each
from benchmarks.ingest import raw_rate
from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode, running

CONNECTIONS: Final = (1, 8, 64)
RAW_RECORDS: Final = 5_000


def measure_lane(node: LocalNode, claims: Sequence[SignedRecord], connections: Connections) -> tuple[Asked, Spent]:
    """What the client did; the node's microseconds of processor time for each claim."""
    before = spent(node.process.pid)
    asked = put_each(connections, claims)
    return asked, spent(node.process.pid).since(before).us_each(len(claims))


def measure(claims_per_lane: int, rounds: int, warm_up: int) -> dict[str, float]:
    made = report.make_claims(warm_up + claims_per_lane * rounds * len(CONNECTIONS))
    claims, limits = iter(made), []
    lanes: dict[int, list[tuple[Asked, Spent]]] = {number: [] for number in CONNECTIONS}
    with TemporaryDirectory() as folder, running("node", Path(folder) / "node") as node, ExitStack() as stack:
        connections = {number: stack.enter_context(Connections(node.url, number)) for number in CONNECTIONS}
        put_each(connections[max(CONNECTIONS)], [next(claims) for _ in range(warm_up)])
        for _ in report.progress(range(rounds), "measuring, in turns"):
            limits.append(raw_rate(made[:RAW_RECORDS]))
            for number in CONNECTIONS:
                some = [next(claims) for _ in range(claims_per_lane)]
                lanes[number].append(measure_lane(node, some, connections[number]))
    figures = {"raw_verification_records_a_second": statistics.median(limits)}
    for number, results in lanes.items():
        figures |= {f"{name}_over_{number}_connections": value for name, value in _middle(results).items()}
    return figures


def _middle(results: Sequence[tuple[Asked, Spent]]) -> dict[str, float]:
    return report.medians(
        {
            "claims_a_second": [asked.each_second for asked, _ in results],
            "main_thread_us_a_claim": [used.main for _, used in results],
            "other_threads_us_a_claim": [used.other for _, used in results],
            "verifying_processes_us_a_claim": [used.verifying for _, used in results],
            "processor_us_a_claim": [used.all for _, used in results],
            "client_us_a_claim": [asked.client_us for asked, _ in results],
        }
    )


def main() -> None:
    options = report.options(
        __doc__,
        claims=(2_000, "claims in each round of each lane"),
        rounds=(5, "rounds; figures are their medians"),
        warm_up=(5_000, "claims before the first that counts, so that the verifying processes have started"),
    )
    figures = measure(options.claims, options.rounds, options.warm_up)
    report.show("PUT /claims/{signature}, one claim each", figures, options.json)


if __name__ == "__main__":
    main()
