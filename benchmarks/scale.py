"""What a node of millions of records costs: `python -m benchmarks.scale [--to N] [--folder DIR] [--write PAGE]`.

A folder is filled by the pipeline, with all its checks but that of the signature, to 1, 3 and 10 million claims, as far
as `--to`. At each size copies of the folder are measured, and first of all an almost empty one:

- start: from the start of the process to the answer of `/health`; and the memory of the node then;
- intake by batches of 500 from 8 clients, and single claims over 64 connections;
- queries of heads that are not in memory, over 32 connections; and pages of 100 heads;
- catch-up over a link: 1,000 newest records, and 100 differences scattered over all records;
- the bytes on disk.

Aims at 10 million: intake and queries reach 0.7 of the almost empty node, a record takes at most 70 bytes of memory
beyond it, a start takes at most 2 s for each million. With `--folder` the filled folder stays, and a later run goes on
where this one ended. A claim takes about 0.9 kB on disk, and three copies exist at a time.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.common import report
from benchmarks.common.asking import Connections
from benchmarks.common.nodes import (
    FIRST_S,
    RECORDS_PER_SECOND,
    befriend,
    copied,
    fill,
    label_of,
    submissions,
    take_all,
    trusting_node,
    until_same,
    until_settled,
)
from benchmarks.common.page import markdown, occasion, write
from benchmarks.common.processor import spent
from benchmarks.common.putting import put_batches, put_each
from benchmarks.common.table import spell
from benchmarks.query import get_each
from node.client.targets import path_of
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from simulations.processes.process import LocalNode, running

SIZES: Final = (1_000_000, 3_000_000, 10_000_000)
EMPTY_RECORDS: Final = 20_000
"""What the almost empty node holds, so that it too has heads that are not in memory."""

PROBES: Final = 5_000
"""Queries. Single claims are half as many, and claims by batches are `_BATCHED` times as many."""

_BATCHED: Final = 4
"""Then the 20,000 claims by batches fill the log several times in a large database. 5,000 would hardly fill it once, so
to write its pages into the database would not be measured."""

CONNECTIONS: Final = 32
PAGES: Final = 50
NEWEST: Final = 1_000
DIFFERENCES: Final = 100
SIGNERS: Final = 500


class AtSize(msgspec.Struct, frozen=True):
    """The figures at one size. Names end in their units."""

    records: int
    fill_each_second: float
    fill_cpu_us: float
    start_s: float
    start_cpu_s: float
    memory_mb: float
    batches_each_second: float
    batches_cpu_us: float
    singles_each_second: float
    singles_cpu_us: float
    cold_heads_each_second: float
    cold_heads_cpu_us: float
    page_ms: float
    newest_s: float
    scattered_s: float
    disk_bytes_each: float


def new_claims(first: int, count: int) -> list[SignedRecord]:
    """Claims of now with true signatures. Like the claims of the folder, they have many owners and labels in random
    order.
    """
    keys = [SigningKey(hashlib.sha256(b"owner %d" % number).digest()) for number in range(SIGNERS)]
    body, claims = {"domain": report.DOMAIN, "timestamp": int(time.time()), "note": "the quick brown fox"}, []
    for number in report.progress(range(first, first + count), f"signing {count:,} claims"):
        key = keys[number % SIGNERS]
        claims.append(sign(make(body | {"label": label_of(number), "signedby": key.public}), key))
    return claims


class Scale:
    """A folder that grows. Its figures are measured on copies."""

    def __init__(self, base: Path, probes: int) -> None:
        """`base`: the folder of the node that grows. `probes`: see `PROBES`."""
        self._base = base
        self._probes = probes
        self._random = Random(0)

    def grow(self, size: int) -> tuple[float, float]:
        """Fill the folder up to this size. Returns records a second, and microseconds of processor time for each."""
        with report.bar(f"filling up to {size:,} claims", size) as show:
            return report.run(self._grow(size, show))

    async def _grow(self, size: int, show: Callable[[int], None]) -> tuple[float, float]:
        async with trusting_node(self._base) as node:
            index = node.indexes.get(report.DOMAIN)
            first = 0 if index is None else len(index)  # claims are committed in the order of their numbers
            begun_s, used_s = time.perf_counter(), time.process_time()
            await take_all(node, submissions(first, size), lambda done: show(first + done))
            count = max(1, size - first)
            return count / (time.perf_counter() - begun_s), (time.process_time() - used_s) / count * 1e6

    def measure(self, size: int, fill_figures: tuple[float, float]) -> AtSize:
        """The figures of the folder, which now has this size."""
        one, other = (self._base.with_name(name) for name in ("one", "other"))
        try:
            copied(self._base, "one")
            disk = sum(each.stat().st_size for each in one.rglob("*") if each.is_file()) / size
            figures = self._alone(one, size)
            shutil.rmtree(one)
            figures |= self._linked(copied(self._base, "one"), copied(self._base, "other"), size)
            fill_rate, fill_cpu_us = fill_figures
            return AtSize(
                records=size, fill_each_second=fill_rate, fill_cpu_us=fill_cpu_us, disk_bytes_each=disk, **figures
            )
        finally:
            shutil.rmtree(one, ignore_errors=True)
            shutil.rmtree(other, ignore_errors=True)

    def _alone(self, folder: Path, size: int) -> dict[str, float]:
        """The figures of one node, by name."""
        made = new_claims(size, _BATCHED * self._probes + self._probes // 2)
        batches, singles = made[: _BATCHED * self._probes], made[_BATCHED * self._probes :]
        begun_s = time.perf_counter()
        with running("one", folder) as node, node.client() as client:
            client.get("/health")
            start_s, start_cpu_s = time.perf_counter() - begun_s, spent(node.process.pid).all
            memory_mb = psutil.Process(node.process.pid).memory_info().rss / 1e6
            return {
                "start_s": start_s,
                "start_cpu_s": start_cpu_s,
                "memory_mb": memory_mb,
                **self._read_heads(node, size),
                "page_ms": statistics.median(self._page_ms(node, size) for _ in range(PAGES)),
                **_costs("batches", node, len(batches), lambda: report.run(put_batches(node.url, batches, 500, 8))),
                **_singles(node, singles),
            }

    def _read_heads(self, node: LocalNode, size: int) -> dict[str, float]:
        numbers = self._random.sample(range(size), min(self._probes, size))
        paths = [path_of("claims", report.DOMAIN, label_of(number)) for number in numbers]
        with Connections(node.url, CONNECTIONS) as connections:
            return _costs("cold_heads", node, len(paths), lambda: get_each(connections, paths).seconds)

    def _page_ms(self, node: LocalNode, size: int) -> float:
        prefix = label_of(self._random.randrange(size))[:2]
        with node.client() as client:
            begun_s = time.perf_counter()
            page = client.get(path_of("claims", report.DOMAIN), {"prefix": prefix, "limit": "100"})
            assert page, "labels begin so"
            return (time.perf_counter() - begun_s) * 1e3

    def _linked(self, one: Path, other: Path, size: int) -> dict[str, float]:
        """Seconds in which two nodes find and transfer scattered differences, and a tail of the newest."""
        half = DIFFERENCES // 2
        fill(one, self._old_claims("here", size, half), half)
        fill(other, self._old_claims("there", size, half), half)
        with running("one", one) as dialler, running("other", other) as acceptor:
            befriend(dialler, acceptor)
            scattered_s = until_same(dialler, acceptor, size + DIFFERENCES)
            until_settled(dialler)
            dialler.stop()
            tail = report.make_claims(NEWEST, "newest")
            with acceptor.client() as client:
                report.put_all(client, tail)
            dialler.start()
            newest_s = until_same(dialler, acceptor, size + DIFFERENCES + NEWEST)
            return {"scattered_s": scattered_s, "newest_s": newest_s}

    def _old_claims(self, name: str, size: int, count: int) -> list[SignedRecord]:
        """Claims with true signatures and dates all over the folder's."""
        body = {"domain": report.DOMAIN, "signedby": report.KEY.public}
        numbers = self._random.sample(range(size), count)
        dates = [{"label": f"{name}-{it}", "timestamp": FIRST_S + it // RECORDS_PER_SECOND} for it in numbers]
        return [sign(make(body | each), report.KEY) for each in dates]


def _singles(node: LocalNode, claims: Sequence[SignedRecord]) -> dict[str, float]:
    with Connections(node.url, 64) as connections:
        return _costs("singles", node, len(claims), lambda: put_each(connections, claims).seconds)


def _costs(name: str, node: LocalNode, count: int, work: Callable[[], float]) -> dict[str, float]:
    """Records or requests a second, and microseconds of processor time for each. `work` returns the seconds it took."""
    before = spent(node.process.pid)
    seconds = work()
    used = spent(node.process.pid).since(before).us_each(count)
    return {f"{name}_each_second": count / seconds, f"{name}_cpu_us": used.all}


def shares(empty: AtSize, it: AtSize) -> dict[str, float]:
    """The figures of a size beside those of an almost empty node. The aims are about these ratios."""
    return {
        "intake by batches, of empty": it.batches_each_second / empty.batches_each_second,
        "single claims, of empty": it.singles_each_second / empty.singles_each_second,
        "single claims, by processor time": empty.singles_cpu_us / it.singles_cpu_us,
        "cold heads, of empty": it.cold_heads_each_second / empty.cold_heads_each_second,
        "cold heads, by processor time": empty.cold_heads_cpu_us / it.cold_heads_cpu_us,
        "intake by batches, by processor time": empty.batches_cpu_us / it.batches_cpu_us,
        "memory, bytes a record": (it.memory_mb - empty.memory_mb) * 1e6 / (it.records - empty.records),
        "start, s a million beyond empty": (it.start_s - empty.start_s) / (it.records - empty.records) * 1e6,
        "start, s of processor time a million": (it.start_cpu_s - empty.start_cpu_s)
        / (it.records - empty.records)
        * 1e6,
    }


AIMS: Final = {
    "intake by batches, of empty": ">= 0.7",
    "intake by batches, by processor time": ">= 0.7",
    "single claims, of empty": ">= 0.7",
    "single claims, by processor time": ">= 0.7",
    "cold heads, of empty": ">= 0.7",
    "cold heads, by processor time": ">= 0.7",
    "memory, bytes a record": "<= 70",
    "start, s a million beyond empty": "<= 2",
    "start, s of processor time a million": "<= 2",
}


def rows_of(results: Sequence[AtSize]) -> list[Sequence[str]]:
    """A row for each figure and a column for each size."""
    names = AtSize.__struct_fields__[1:]
    figures = [(it.replace("_", " "), *(spell(getattr(each, it)) for each in results), "") for it in names]
    beside = [shares(results[0], each) for each in results[1:]]
    judged = [(it, "", *(spell(each[it]) for each in beside), AIMS.get(it, "")) for it in (beside[0] if beside else ())]
    return [("figure", *(f"{each.records:,}" for each in results), "aim"), *figures, *judged]


def table(results: Sequence[AtSize]) -> Table:
    """The rows for a terminal."""
    head, *others = rows_of(results)
    shown = Table(title="a node of many records", caption=occasion())
    for name in head:
        shown.add_column(name, justify="left" if name == "figure" else "right")
    for row in others:
        shown.add_row(*row)
    return shown


def measure(base: Path, sizes: Sequence[int], probes: int) -> list[AtSize]:
    """The figures at each of these sizes, which are in order."""
    scale = Scale(base, probes)
    results = []
    for size in sizes:
        results.append(scale.measure(size, scale.grow(size)))
        report.progress_console.print(table(results))
    return results


def sizes_up_to(end: int) -> list[int]:
    """The almost empty node, the sizes up to this one, and this one."""
    return sorted({min(EMPTY_RECORDS, end // 10), *(size for size in SIZES if size < end), end})


def options() -> argparse.Namespace:
    report.log_only_warnings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=int, default=SIZES[0], help="claims of the largest size")
    parser.add_argument("--probes", type=int, default=PROBES, help="claims and queries of each measurement")
    parser.add_argument("--folder", type=Path, help="keep the filled folder here, and go on from what it holds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page too")
    return parser.parse_args()


def main() -> None:
    given = options()
    with TemporaryDirectory() as temporary:
        base = (given.folder or Path(temporary)) / "base"
        results = measure(base, sizes_up_to(given.to), given.probes)
    if given.write:
        write(given.write, "scale", f"Measured on {occasion()}.\n\n{markdown(rows_of(results))}")
    if given.json:
        print(json.dumps({"machine": report.machine(), "sizes": msgspec.to_builtins(results)}, indent=2))
    else:
        Console().print(table(results))


if __name__ == "__main__":
    main()
