"""How fast a node catches up over a link: `python -m benchmarks.catchup [--records N] [--rounds N] [--json]`.

Two `dnarc serve` processes run on the same cores. First an empty node takes all records from a full one. The limit is
what two threads of PyNaCl alone verify, measured in the same run and in turns, because no node can leave that out. Aim:
0.5 of the limit.

Then two nodes differ in 100 records. `scattered`: two nodes held the same records, and while each was stopped it was
given half of the 100, with dates all over the past. So only a reconciliation finds them. `tail`: two nodes had been
linked, and while both were stopped one was given the 100 as its newest records. So the cursor finds them. The seconds
run from the open link until both hold the same. The payload is Negentropy's messages, with the ids. The wire is all
text of all frames both ways. `beyond records` is the wire without the records, their signatures and the words around
these; it includes two hellos, proofs and lists. Aims with 1,000,000 records: the scattered ones in under 0.5 s and 3
rounds, with the bytes of the reference implementation, 160,137 for such sets; a tail with under 2 kB beyond its
records.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from benchmarks.common import report
from benchmarks.common.nodes import befriend, copied, fill, metrics, until_same, until_settled
from benchmarks.common.processor import spent
from benchmarks.ingest import raw_rate
from protocol.link.messages import ITEM_OVERHEAD_BYTES
from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode, running

DIFFERENCES: Final = 100
RAW_RECORDS: Final = 20_000
"""Records whose raw verification is measured. More are not needed, because each takes as long as the others."""

_SLOW_POLL_S: Final = 0.05
"""Seconds between two polls while the nodes need the processor more than the poll does."""

_DAY_S: Final = 86_400


def claims(count: int, first_s: int, name: str, seconds: int = _DAY_S) -> Iterator[SignedRecord]:
    """`count` claims on labels of their own, with dates spread over `seconds` from `first_s` on, of about 250 canonical
    bytes each.
    """
    for number in range(count):
        yield report.claim(f"{name}-{number}", first_s + number * seconds // count, number)


def whole(full: LocalNode, folder: Path, count: int, domain: str = report.DOMAIN) -> dict[str, float]:
    """An empty node takes all records from a full one: records a second, and the processor time of both."""
    with running("empty", folder) as empty:
        begun = {node.name: spent(node.process.pid) for node in (full, empty)}
        with empty.client() as client:
            row = {"url": full.link_url, "pull": True}
            client.ask("PUT", "/peers", body=msgspec.json.encode(row)).check()
        seconds = until_same(empty, full, count, _SLOW_POLL_S, domain)
        used = {it.name: spent(it.process.pid).since(begun[it.name]).us_each(count) for it in (full, empty)}
    return {"records_a_second": count / seconds, "sender": used["full"].all, "receiver": used["empty"].all}


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
