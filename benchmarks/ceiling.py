"""What more cores could give: `python -m benchmarks.ceiling [--records N] [--rounds N] [--json]`.

Verification uses all cores, and everything else of the pipeline one thread of the event loop and one that writes
SQLite. So a machine with many cores ends at what these two can do. This benchmark measures that end: the pipeline with
a verifier that trusts every signature, batches of 1,000 with six in flight, decoding and commits included. `loop` is
the processor time of the event loop for each record, `writer` that of all other threads. Aim: 30,000 records a second.
"""

import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import report
from benchmarks.common.nodes import submissions, take_batch, trusting_node
from benchmarks.common.processor import Spent, spent
from benchmarks.common.putting import work_through
from benchmarks.ingest import raw_rate
from node.cli.run_node import spare_garbage_collector

IN_FLIGHT = 6


async def ceiling(records: int) -> tuple[float, Spent]:
    """Records a second, and microseconds of processor time for each."""
    arrivals = list(submissions(0, records))
    starts = range(0, records, report.BATCH_RECORDS)
    batches = [arrivals[start : start + report.BATCH_RECORDS] for start in starts]
    with TemporaryDirectory() as folder:
        async with trusting_node(Path(folder)) as node:
            spare_garbage_collector()
            begun = spent(os.getpid())
            seconds = await work_through(batches, partial(take_batch, node), IN_FLIGHT)
            return records / seconds, spent(os.getpid()).since(begun).us_each(records)


def measure(records: int, rounds: int) -> dict[str, float]:
    claims = report.make_claims(min(records, 5_000))
    rates, limits, used = [], [], []
    for _ in report.progress(range(rounds), "measuring, in turns"):
        limits.append(raw_rate(claims))
        rate, each = report.run(ceiling(records))
        rates.append(rate)
        used.append(each)
    middle = report.medians(
        {"raw": limits, "rate": rates, "loop": [it.main for it in used], "writer": [it.other for it in used]}
    )
    return {
        "raw_verification_records_a_second": middle["raw"],
        "ceiling_records_a_second": middle["rate"],
        "loop_us_a_record": middle["loop"],
        "writer_us_a_record": middle["writer"],
    }


def main() -> None:
    options = report.options(
        __doc__,
        records=(50_000, "claims in each round"),
        rounds=(5, "rounds; figures are their medians"),
    )
    report.show("the pipeline with verification free", measure(options.records, options.rounds), options.json)


if __name__ == "__main__":
    main()
