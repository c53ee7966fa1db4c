"""How soon a claim of a witnessed domain is final, and what witnesses cost: `python -m benchmarks.final [--json]`.

    --writes N     a client sends `PUT` with `Prefer: wait`, one claim after another, each on a label of its own, and
                   the node answers when the claim is final. Lane one is one node that is the only witness. Lane two
                   is four linked nodes with `f = 1`, of which one takes the claims. The milliseconds run from before
                   the request is sent until the answer is read. A witness speaks at most once in each `receipt
                   interval`, and a decision takes two receipts of a quorum, one if there is only one witness. So a
                   claim waits at most twice this interval, beside the network and the disks.
    --records N    a new node takes N claims in by batches, in turns: of an ordinary domain; of a witnessed domain
                   whose witnesses are elsewhere; and of a domain that it witnesses itself, with the receipts that it
                   signs meanwhile. Aim: 0.6 of the ordinary domain with a local witness. The main thread's time for a
                   record depends less on other work of the machine than the rate.
    --seconds N    claims come at 10, 100 and 1,000 a second for N seconds: the bytes of all receipts for each
                   claim, as lines of a listing, with 1 witness and with 4.
    --history N    an empty node catches up with N claims over a link: alone, and with the receipts of four
                   witnesses, of which each holds the claims of one receipt interval at 100 a second.

A lane whose number is 0 is left out. `--write` puts the figures into a page, between the two markers there.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks._witnessed import claims_of, measure_catch_up, measure_intake, measure_receipts, seated
from benchmarks.common import report
from benchmarks.common.page import markdown, occasion, write
from benchmarks.common.table import spell
from protocol.witness.voter import RECEIPT_INTERVAL_MS

WAIT: Final = {"Prefer": "wait=30"}
PLACE: Final = "witnessed"
"""The name of the markers in the page."""

AIMS: Final = {
    "ratio_witnessed_to_ordinary_by_rate": ">= 0.6",
    "ratio_local_witness_to_ordinary_by_rate": ">= 0.6",
}
WARM_UP: Final = 20
"""Writes before the first that counts, and at most as many as count."""


def main() -> None:
    options = report.options(
        __doc__,
        has_page=True,
        writes=(1_000, "claims that are waited for, on one witness and on four"),
        records=(20_000, "claims that are taken in by batches, in each round of each domain"),
        rounds=(3, "rounds of the intake; figures are their medians"),
        seconds=(30, "seconds at each rate of claims"),
        history=(100_000, "claims that an empty node catches up with"),
        per_receipt=(10, "claims in one receipt of the catch-up"),
    )
    about = occasion()
    figures: dict[str, float] = {"receipt_interval_ms": RECEIPT_INTERVAL_MS}
    if options.writes:
        figures |= measure_delays(options.writes)
    if options.records:
        figures |= measure_intake(options.records, options.rounds)
    if options.seconds:
        figures |= measure_receipts(options.seconds)
    if options.history:
        figures |= measure_catch_up(options.history, options.per_receipt)
    report.show("claims of a witnessed domain", figures, options.json)
    if options.write:
        sizes = (
            f"{options.writes:,} claims that are waited for; {options.records:,} claims in each of {options.rounds} "
            f"rounds of intake; {options.seconds} s at each rate; a history of {options.history:,} claims"
        )
        write(options.write, PLACE, f"Measured on {about}: {sizes}.\n\n{markdown(rows_of(figures))}")


def rows_of(figures: Mapping[str, float]) -> list[Sequence[str]]:
    """The figures as texts, with their head."""
    rows = [(name.replace("_", " "), spell(value), AIMS.get(name, "")) for name, value in figures.items()]
    return [("figure", "value", "aim"), *rows]


def measure_delays(writes: int) -> dict[str, float]:
    """How long a claim takes to be final, on one witness and on four that are linked."""
    figures: dict[str, float] = {}
    for name, count, faulty in (("one_witness", 1, 0), ("four_witnesses", 4, 1)):
        delays_ms = delays_of(count, faulty, writes)
        figures[f"{name}_ms_p50"] = statistics.median(delays_ms)
        figures[f"{name}_ms_p99"] = report.p99(delays_ms)
    return figures


def delays_of(witnesses: int, faulty: int, writes: int) -> list[float]:
    """How long each claim took to be final, in ms, on this many linked witnesses."""
    warm_up = min(WARM_UP, writes)
    with seated(witnesses, faulty) as it, it.nodes[0].client() as client:
        delays_ms = []
        for claim in report.progress(claims_of(it.domain, writes + warm_up), f"{witnesses} witnesses"):
            begun_s = time.perf_counter()
            answer = client.ask("PUT", f"/claims/{claim.signature}", body=claim.record.canonical, headers=WAIT)
            delays_ms.append((time.perf_counter() - begun_s) * 1_000)
            assert answer.status == 201, f"a claim without rivals is final: {answer.body!r}"
        return delays_ms[warm_up:]


if __name__ == "__main__":
    main()
