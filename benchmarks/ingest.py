"""How many claims a second a node takes in: `python -m benchmarks.ingest [--records N] [--rounds N] [--json]`.

No node can leave out the verification of signatures, so the limit is what two threads of PyNaCl alone verify. Three
lanes run in turns: that limit; the pipeline alone (`Ingest.take`, in this process); and `PUT /claims` with batches of
500 by 8 clients to a `dnarc serve` of its own, with this process as its clients on the same cores. A claim counts when
it is committed with `synchronous=FULL`. Each node first takes some claims that do not count, so that its verifying
processes have started: their start takes 70 ms of processor time, once in the life of a node. Aims: the pipeline
reaches at least 0.55 of the limit; the main thread and the other threads of the node use at most 40 us for a record,
and all of the node 100 us.

The stages are measured one after another on one batch of all records, so that no stage runs during another.
Verification uses all cores; the other stages use one core beside it.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from nacl.bindings import crypto_sign_open

from benchmarks.common import report
from benchmarks.common.processor import Spent, spent
from benchmarks.common.putting import put_batches, work_through
from node.cli.run_node import spare_garbage_collector
from node.intake.arrivals import Origin, Submission
from node.intake.group import Group
from node.node import Node
from node.settings.settings import Settings
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord
from simulations.processes.process import running

RAW_THREADS = 2
CHUNK_RECORDS = 64
HTTP_BATCH_RECORDS = 500
HTTP_CLIENTS = 8
_ORIGIN = Origin(Trust.CLIENT)


def raw_rate(claims: Sequence[SignedRecord]) -> float:
    """Signatures a second that libsodium verifies in two threads. All signatures are bytes before the clock starts."""
    signed = [(bytes.fromhex(it.signature) + it.record.canonical, bytes.fromhex(it.record.signedby)) for it in claims]
    chunks = [signed[start : start + CHUNK_RECORDS] for start in range(0, len(signed), CHUNK_RECORDS)]
    with ThreadPoolExecutor(RAW_THREADS) as pool:
        begun = time.perf_counter()
        for _ in pool.map(_open_all, chunks):
            pass
        return len(claims) / (time.perf_counter() - begun)


def _open_all(chunk: Sequence[tuple[bytes, bytes]]) -> None:
    for message, key in chunk:
        crypto_sign_open(message, key)


async def pipeline_rate(
    warm_up: Sequence[SignedRecord], claims: Sequence[SignedRecord], in_flight: int, used: list[Spent]
) -> float:
    """Claims a second through `Ingest.take`, in batches of 1,000, with `in_flight` batches at once. The processor time
    of this process goes to `used`.
    """
    with TemporaryDirectory() as folder:
        async with Node(Settings(data=Path(folder), port=0)) as node:
            spare_garbage_collector()

            async def take(batch: Sequence[Submission]) -> None:
                outcomes = await node.ingest.take(batch, _ORIGIN)
                assert all(outcome.status == "accepted" for outcome in outcomes), "every claim is new and valid"

            await work_through(_batches(warm_up), take, in_flight)
            batches, begun = _batches(claims), spent(os.getpid())
            seconds = await work_through(batches, take, in_flight)
            used.append(spent(os.getpid()).since(begun).us_each(len(claims)))
            return len(claims) / seconds


def _batches(claims: Sequence[SignedRecord]) -> list[list[Submission]]:
    submissions = [Submission(it.signature, it.record.canonical) for it in claims]
    return [submissions[at : at + report.BATCH_RECORDS] for at in range(0, len(submissions), report.BATCH_RECORDS)]


def http_rate(warm_up: Sequence[SignedRecord], claims: Sequence[SignedRecord], used: list[Spent]) -> float:
    """Claims a second through `PUT /claims`, to a node in a process of its own; its processor time goes to `used`."""
    with TemporaryDirectory() as folder, running("node", Path(folder) / "node") as node:
        report.run(put_batches(node.url, warm_up, HTTP_BATCH_RECORDS, HTTP_CLIENTS))
        begun = spent(node.process.pid)
        seconds = report.run(put_batches(node.url, claims, HTTP_BATCH_RECORDS, HTTP_CLIENTS))
        used.append(spent(node.process.pid).since(begun).us_each(len(claims)))
        return len(claims) / seconds


async def stages(claims: Sequence[SignedRecord]) -> dict[str, float]:
    """Microseconds for each record in each stage of the pipeline.

    This calls private methods of the pipeline, so a change there needs a change here.
    """
    submissions = [Submission(it.signature, it.record.canonical) for it in claims]
    figures: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        async with Node(Settings(data=Path(folder), port=0)) as node:
            ingest = node.ingest
            clock = time.perf_counter
            begun = clock()
            group = Group.of(submissions, [_ORIGIN] * len(submissions))
            await group.decode(ingest.decoding)
            ingest._decider.check_places(group)
            await ingest._settle_known(group)
            figures["decode, canonical bytes, id, known"], begun = clock() - begun, clock()
            await ingest._verify(group)
            figures["verify, all cores"], begun = clock() - begun, clock()
            batch = (await ingest._decider.decide(group)).batch
            figures["admit, replay, prepare"], begun = clock() - begun, clock()
            await node.store.commit(batch)
            figures["commit"], begun = clock() - begun, clock()
            node.indexes.add(stored.signed.record for stored in batch.records)
            figures["index"] = clock() - begun
    return {f"{name}, us a record": seconds / len(claims) * 1e6 for name, seconds in figures.items()}


def measure(records: int, rounds: int, in_flight: int, warm_up: int) -> dict[str, float]:
    made = report.make_claims(warm_up + records)
    first, claims = made[:warm_up], made[warm_up:]
    by_pipeline: list[Spent] = []
    by_http: list[Spent] = []
    lanes: dict[str, Callable[[], float]] = {
        "raw": lambda: raw_rate(claims),
        "pipeline": lambda: report.run(pipeline_rate(first, claims, in_flight, by_pipeline)),
        "http": lambda: http_rate(first, claims, by_http),
    }
    parts = report.run(stages(claims))
    rates = report.medians(report.by_turns(lanes, rounds))
    pipeline_us, http_us = _middle(by_pipeline), _middle(by_http)
    return {
        "raw_verification_records_a_second": rates["raw"],
        "pipeline_records_a_second": rates["pipeline"],
        "http_records_a_second": rates["http"],
        "ratio_pipeline_to_raw": rates["pipeline"] / rates["raw"],
        "ratio_http_to_raw": rates["http"] / rates["raw"],
        "pipeline_loop_us_a_record": pipeline_us.main,
        "pipeline_writer_us_a_record": pipeline_us.other,
        "pipeline_verifying_us_a_record": pipeline_us.verifying,
        "http_main_thread_us_a_record": http_us.main,
        "http_main_and_other_threads_us_a_record": http_us.main + http_us.other,
        "http_processor_us_a_record": http_us.all,
    } | parts


def _middle(used: Sequence[Spent]) -> Spent:
    return Spent(*map(statistics.median, zip(*used, strict=True)))


def main() -> None:
    options = report.options(
        __doc__,
        records=(20_000, "claims in each round of each lane"),
        rounds=(5, "rounds; figures are their medians"),
        in_flight=(6, "batches of 1,000 in flight"),
        warm_up=(5_000, "claims before the first that counts, so that the verifying processes have started"),
    )
    figures = measure(options.records, options.rounds, options.in_flight, options.warm_up)
    report.show(f"ingest of {options.records:,} claims, {os.cpu_count()} cores", figures, options.json)


if __name__ == "__main__":
    main()
