"""A node on PostgreSQL beside one on SQLite: `python -m benchmarks.fleet [--records N] [--rounds N] [--held N]`.

Both stores hold `--held` claims already. Then the same new claims go through the pipeline of a node in this process
(`Ingest.take`, batches of 1,000), to each store in turns. `server` is the processor time of the PostgreSQL server, all
its processes together; `main`, `other` and `verifying` are the node's. Aim: PostgreSQL takes 0.6 of what SQLite takes.

Next, `dnarc serve` starts on each store, until it answers `GET /health`. Finally the server plans every read of the
store with `--held` rows in each table: no read may scan a large table.

The server is one of the lock file, or of the system: `simulations.processes.postgres` finds it. It writes to its log
with `fsync`, as SQLite does.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.common import report
from benchmarks.common.nodes import Trusting, submissions, take_all, take_batch
from benchmarks.common.plans import Plan, fill, plans_of_all_reads
from benchmarks.common.processor import spent
from benchmarks.common.putting import work_through
from node.intake.arrivals import Submission
from node.node import Node
from node.settings.settings import Settings
from node.store.postgresql import PostgresStore
from node.world import World
from protocol.records.record import SignedRecord
from simulations.processes.postgres import PostgresServer, running_server
from simulations.processes.process import running
from tests.node.store.store_batches import batch_of

IN_FLIGHT: Final = 6
ROWS_OF_PLANS: Final = "plans"
"""The schema of the rows whose reads are planned."""


class Lane(NamedTuple):
    """A store: the folder of its node, and the URL of its database, None for SQLite. `server`: its process."""

    folder: Path
    store: str | None
    server: int | None

    def node(self, *, is_trusting: bool = False) -> Node:
        world = World(open_verifier=lambda _: Trusting()) if is_trusting else World()
        return Node(Settings(data=self.folder, port=0, store=self.store), world)

    @property
    def flags(self) -> tuple[str, ...]:
        return () if self.store is None else ("--store", self.store)

    def server_s(self) -> float:
        """The processor time of the server so far, of the sessions that are open."""
        return 0.0 if self.server is None else spent(self.server).all


class Taken(NamedTuple):
    """Claims a second, and microseconds of processor time for each claim."""

    rate: float
    main_us: float
    other_us: float
    verifying_us: float
    server_us: float


async def give(lane: Lane, claims: Iterable[Submission], show: Callable[[int], None]) -> None:
    """Fill the store. Nobody checks the signatures."""
    async with lane.node(is_trusting=True) as node:
        await take_all(node, claims, show)


async def take(lane: Lane, claims: Sequence[SignedRecord]) -> Taken:
    """Take these claims in, with all checks."""
    arrivals = [Submission(it.signature, it.record.canonical) for it in claims]
    batches = [
        arrivals[start : start + report.BATCH_RECORDS] for start in range(0, len(arrivals), report.BATCH_RECORDS)
    ]
    async with lane.node() as node:
        begun, server_s = spent(os.getpid()), lane.server_s()
        seconds = await work_through(batches, partial(take_batch, node), IN_FLIGHT)
        server_us = (lane.server_s() - server_s) / len(claims) * 1e6
        used = spent(os.getpid()).since(begun).us_each(len(claims))
        return Taken(len(claims) / seconds, *used, server_us)


def start(lane: Lane) -> tuple[float, float, float]:
    """Seconds until a node answers: on the clock, of its processor time, and of the server's."""
    server_s, begun_s = lane.server_s(), time.perf_counter()
    with running("node", lane.folder, *lane.flags) as node, node.client() as client:
        assert client.get("/health")["status"] == "ok", "a node that has just started is well"
        return time.perf_counter() - begun_s, spent(node.process.pid).all, lane.server_s() - server_s


async def plan(server: PostgresServer, held: int) -> list[Plan]:
    store = await PostgresStore.open(server.url(search_path=ROWS_OF_PLANS))
    try:
        first = report.claim("first", int(time.time()), 0)
        await store.commit(batch_of([first]))
        return await plans_of_all_reads(store, await fill(server.url(search_path=ROWS_OF_PLANS), first, held))
    finally:
        await store.close()


@contextmanager
def lanes(server: PostgresServer) -> Iterator[dict[str, Lane]]:
    with TemporaryDirectory() as folder:
        yield {
            "sqlite": Lane(Path(folder) / "sqlite", None, None),
            "postgresql": Lane(Path(folder) / "postgresql", server.url(), server.pid),
        }


def measure(records: int, rounds: int, held: int) -> dict[str, float]:
    with running_server() as server, lanes(server) as both:
        for name, lane in both.items():
            lane.folder.mkdir()
            with report.bar(f"filling {name} with {held:,} claims", held) as show:
                report.run(give(lane, submissions(0, held), show))
        figures = _intake(both, records, rounds) | _starts(both, rounds)
        server.make_schema(ROWS_OF_PLANS)
        plans = report.run(plan(server, held))
        return figures | {
            "planned_statements": len(plans),
            "statements_that_scan_a_large_table": sum(bool(each.scanned) for each in plans),
            "slowest_statement_ms": max(each.ms for each in plans),
        }


def _intake(both: dict[str, Lane], records: int, rounds: int) -> dict[str, float]:
    taken: dict[str, list[Taken]] = {name: [] for name in both}
    for number in report.progress(range(rounds), "taking claims in, in turns"):
        claims = report.make_claims(records, f"round-{number}")
        for name, lane in both.items():
            taken[name].append(report.run(take(lane, claims)))
    figures: dict[str, float] = {}
    for name, results in taken.items():
        middle = Taken(*(statistics.median(values) for values in zip(*results, strict=True)))
        figures |= {
            f"{name}_records_a_second": middle.rate,
            f"{name}_main_thread_us_a_record": middle.main_us,
            f"{name}_other_threads_us_a_record": middle.other_us,
            f"{name}_verifying_us_a_record": middle.verifying_us,
            f"{name}_server_us_a_record": middle.server_us,
        }
    ratios = [other.rate / one.rate for one, other in zip(taken["sqlite"], taken["postgresql"], strict=True)]
    return figures | {"ratio_postgresql_to_sqlite": statistics.median(ratios)}


def _starts(both: dict[str, Lane], rounds: int) -> dict[str, float]:
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in both}
    for _ in report.progress(range(rounds), "starting nodes, in turns"):
        for name, lane in both.items():
            taken[name].append(start(lane))
    figures = {}
    for name, results in taken.items():
        clock_s, processor_s, server_s = (statistics.median(values) for values in zip(*results, strict=True))
        figures[f"{name}_start_s"] = clock_s
        figures[f"{name}_start_processor_s"] = processor_s
        if both[name].server is not None:
            figures[f"{name}_start_server_processor_s"] = server_s
    return figures


def main() -> None:
    options = report.options(
        __doc__,
        records=(20_000, "claims in each round of each lane"),
        rounds=(5, "rounds; figures are their medians"),
        held=(100_000, "claims that each store holds before"),
    )
    figures = measure(options.records, options.rounds, options.held)
    report.show(f"a node on PostgreSQL beside SQLite, {options.held:,} claims", figures, options.json)


if __name__ == "__main__":
    main()
