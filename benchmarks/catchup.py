"""How fast a node catches up over a link: `python -m benchmarks.catchup [--records N] [--rounds N] [--json]`.

Two `dnarc serve` processes run on the same cores. First an empty node takes all records from a full one. The limit is
what two threads of PyNaCl alone verify, measured in the same run and in turns, because no node can leave that out. Aim:
0.6 of the limit.

Then two nodes differ in 100 records. `scattered`: two nodes held the same records, and while each was stopped it was
given half of the 100, with dates all over the past. So only a reconciliation finds them. `tail`: two nodes had been
linked, and while both were stopped one was given the 100 as its newest records. So the cursor finds them. The seconds
run from the open link until both hold the same. The payload is Negentropy's messages, with the ids. The wire is all
text of all frames both ways. `beyond records` is the wire without the records, their signatures and the words around
these; it includes two hellos, proofs and lists. Aims with 1,000,000 records: the scattered ones in under 0.5 s and 3
rounds, with the bytes of the reference implementation, 160,137 for such sets; a tail with under 2 kB beyond its
records.
"""

import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import _report as report
from benchmarks.ingest import raw_rate, run
from node.client.http import NodeClient
from node.intake.arrivals import Delivery, Origin
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from protocol.link.messages import ITEM_OVERHEAD_BYTES
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord, make, sign
from simulations.processes.process import LocalNode, running

DIFFERENCES: Final = 100
RAW_RECORDS: Final = 20_000
"""Records whose raw verification is measured. More are not needed, because each takes as long as the others."""

HANG_S: Final = 1_200.0
POLL_S: Final = 0.002
_SLOW_POLL_S: Final = 0.05
"""Seconds between two polls while the nodes need the processor more than the poll does."""

_BATCH_RECORDS: Final = 1_000
_DAY_S: Final = 86_400


class Trusting:
    """Accepts every signature. It fills a folder with records that the benchmark itself has just signed."""

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:  # noqa: ARG002 - as it is called
        return [True] * len(records)

    def close(self) -> None: ...


def claims(count: int, first_s: int, name: str, seconds: int = _DAY_S) -> Iterator[SignedRecord]:
    """`count` claims on labels of their own, with dates spread over `seconds` from `first_s` on, of about 250 canonical
    bytes each.
    """
    body = {"domain": report.DOMAIN, "signedby": report.KEY.public, "note": "the quick brown fox"}
    for number in range(count):
        when_s = first_s + number * seconds // count
        fields = {"label": f"{name}-{number}", "timestamp": when_s, "name": f"claim {number}"}
        yield sign(make(body | fields), report.KEY)


def fill(folder: Path, records: Iterable[SignedRecord], count: int) -> None:
    """Give these records to the node of this folder, which is not running."""
    with report.bar(f"filling a folder with {count:,} claims", count) as show:
        run(_fill(folder, iter(records), show))


async def _fill(folder: Path, records: Iterator[SignedRecord], show: Callable[[int], None]) -> None:
    done = 0
    async with Node(Settings(data=folder, port=0), World(open_verifier=lambda _: Trusting())) as node:
        while batch := list(islice(records, _BATCH_RECORDS)):
            outcomes = await node.ingest.take_records(batch, Origin(Trust.PEER), Delivery(is_live=False))
            assert all(outcome.status == "accepted" for outcome in outcomes), "every claim is new and valid"
            done += len(batch)
            show(done)


def copied(folder: Path, name: str) -> Path:
    """A copy of the folder for another node to start with."""
    copy = folder.with_name(name)
    shutil.copytree(folder, copy)
    (copy / "node.key").unlink()
    return copy


def befriend(node: LocalNode, other: LocalNode) -> None:
    """Have the node dial the other, push to it and pull from it."""
    with node.client() as client, other.client() as others:
        row = {"key": client.get("/node")["node"], "accept": True}
        others.ask("PUT", "/peers", body=msgspec.json.encode(row)).check()
        row = {"url": other.link_url, "push": True, "pull": True}
        client.ask("PUT", "/peers", body=msgspec.json.encode(row)).check()


def held(client: NodeClient, domain: str = report.DOMAIN) -> tuple[int, str]:
    """How many records of the domain the node holds, and their fingerprint."""
    summary = client.get("/node")["domains"].get(domain)
    return (summary["count"], summary["fingerprint"]) if summary else (0, "")


def until_same(
    dialler: LocalNode, other: LocalNode, count: int, poll_s: float = POLL_S, domain: str = report.DOMAIN
) -> float:
    """Wait until both hold the same `count` records. Returns the seconds since their link was opened."""
    deadline_s = time.monotonic() + HANG_S
    with dialler.client() as ours, other.client() as theirs, report.bar("catching up", count) as show:
        while (view := held(ours, domain))[0] != count or view != held(theirs, domain):
            assert time.monotonic() < deadline_s, "two nodes on one machine did not come to hold the same"
            show(view[0])
            time.sleep(poll_s)
        return float(ours.get("/peers")[0]["link"]["seconds"])


def metrics(node: LocalNode) -> dict[str, float]:
    """The node's metrics, each summed over all its labels."""
    with node.client() as client:
        text = client.ask("GET", "/metrics").body.decode()
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {name: sum(it.value for it in samples if it.name == name) for name in {it.name for it in samples}}


def processor_s(node: LocalNode) -> float:
    """Seconds of processor time that the node used so far, with its verifying processes."""
    process = psutil.Process(node.process.pid)
    times = [each.cpu_times() for each in (process, *process.children())]
    return sum(each.user + each.system for each in times)


def whole(full: LocalNode, folder: Path, count: int, domain: str = report.DOMAIN) -> dict[str, float]:
    """An empty node takes all records from a full one: records a second, and the processor time of both."""
    with running("empty", folder) as empty:
        spent_s = {node.name: processor_s(node) for node in (full, empty)}
        with empty.client() as client:
            row = {"url": full.link_url, "pull": True}
            client.ask("PUT", "/peers", body=msgspec.json.encode(row)).check()
        seconds = until_same(empty, full, count, _SLOW_POLL_S, domain)
        cpu_us = {node.name: (processor_s(node) - spent_s[node.name]) / count * 1e6 for node in (full, empty)}
    return {"records_a_second": count / seconds, "sender": cpu_us["full"], "receiver": cpu_us["empty"]}


def by_little(base: Path, first_s: int, count: int) -> dict[str, float]:
    """Two nodes that hold the same `count` records come to differ in a few, in two ways."""
    one, other = copied(base, "one"), copied(base, "other")
    half = DIFFERENCES // 2
    here, there = list(claims(half, first_s, "here")), list(claims(half, first_s, "there"))
    tail = list(claims(DIFFERENCES, first_s + _DAY_S, "tail", seconds=1))
    fill(one, here, half)
    fill(other, there, half)
    with running("one", one) as dialler, running("other", other) as acceptor:
        befriend(dialler, acceptor)
        figures = _named("scattered", difference(dialler, acceptor, count + DIFFERENCES, here + there))
        until_settled(dialler)
        dialler.stop()
        acceptor.stop()
        fill(other, tail, DIFFERENCES)
        dialler.start()  # the first, and dials until the other is there: otherwise both could be equal before we poll
        acceptor.start()
        return figures | _named("tail", difference(dialler, acceptor, count + 2 * DIFFERENCES, tail))


def difference(
    dialler: LocalNode, acceptor: LocalNode, count: int, records: Sequence[SignedRecord]
) -> dict[str, float]:
    """Wait until these records have gone over the link. Returns what that took."""
    seconds = until_same(dialler, acceptor, count)
    shown = metrics(dialler)
    wire_bytes = shown["dnarc_link_bytes_total"]
    return {
        "seconds": seconds,
        "rounds": shown["dnarc_link_reconcile_rounds_total"],
        "payload_bytes": shown["dnarc_link_reconcile_bytes_total"],
        "wire_bytes": wire_bytes,
        "beyond_records_bytes": wire_bytes - sum(len(it.record.canonical) + ITEM_OVERHEAD_BYTES for it in records),
    }


def until_settled(node: LocalNode) -> None:
    """Wait until the node has compared once more and found no difference. Then its cursors are at the end."""
    deadline_s = time.monotonic() + HANG_S
    with node.client() as client:
        while client.get("/peers")[0]["domains"].get(report.DOMAIN) != "identical":
            assert time.monotonic() < deadline_s, "two equal sets did not compare as equal"
            time.sleep(POLL_S)


def _named(case: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{case}_{name}": value for name, value in figures.items()}


def from_nothing(base: Path, sample: Sequence[SignedRecord], records: int, rounds: int) -> dict[str, float]:
    """Empty nodes take all records, and two threads verify some of them, in turns. The figures are medians."""
    taken: list[dict[str, float]] = []
    raw: list[float] = []
    with running("full", copied(base, "full")) as full:
        for number in report.progress(range(rounds), "measuring, in turns"):
            raw.append(raw_rate(sample))
            taken.append(whole(full, base.with_name(f"empty-{number}"), records))
    rate, limit = statistics.median(it["records_a_second"] for it in taken), statistics.median(raw)
    return {
        "raw_verification_records_a_second": limit,
        "catch_up_records_a_second": rate,
        "ratio_catch_up_to_raw": rate / limit,
        "sender, us of processor time a record": statistics.median(it["sender"] for it in taken),
        "receiver, us of processor time a record": statistics.median(it["receiver"] for it in taken),
    }


def measure(records: int, rounds: int) -> dict[str, float]:
    first_s = int(time.time()) - _DAY_S
    sample = list(claims(min(records, RAW_RECORDS), first_s, "base"))
    with TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        fill(base, claims(records, first_s, "base"), records)
        figures = from_nothing(base, sample, records, rounds) if rounds else {}
        return figures | by_little(base, first_s, records)


def main() -> None:
    options = report.options(
        __doc__,
        records=(100_000, "claims that the full node holds"),
        rounds=(3, "catch-ups of empty nodes; 0: none"),
    )
    figures = measure(options.records, options.rounds)
    report.show(f"catching up with {options.records:,} claims over a link", figures, options.json)


if __name__ == "__main__":
    main()
