"""How soon a claim of a witnessed domain is final: `python -m benchmarks.final [--writes N] [--records N] [--json]`.

A client sends `PUT` with `Prefer: wait`, one claim after another, each on a label of its own, and the node answers when
the claim is final. Lane one is one node that is the only witness. Lane two is four linked nodes with `f = 1`, of which
one takes the claims. The milliseconds run from before the request is sent until the answer is read. A witness speaks at
most once in each `receipt interval`, and a decision takes two receipts of a quorum, so that twice this interval is what
a claim after a pause waits at most, beside the network and the disks.

Then one node takes batches of claims in, of an ordinary domain and of a witnessed domain that it witnesses, in turns.
Aim: intake in the witnessed domain reaches 0.6 of the other. `receipt bytes a record` are those that the witness signed
for these batches.
"""

import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import _report as report
from protocol.records.record import SignedRecord, make, sign
from protocol.witness.voter import RECEIPT_INTERVAL_MS
from simulations.processes.council import NO_QUOTAS, LocalCouncil, council

WAIT: Final = {"Prefer": "wait=30"}
WARM_UP: Final = 20
"""Writes before the first that counts."""


def main() -> None:
    options = report.options(
        __doc__,
        writes=(1_000, "claims that are waited for, in each lane"),
        records=(20_000, "claims that are taken in by batches, in each domain"),
    )
    figures: dict[str, float] = {"receipt_interval_ms": RECEIPT_INTERVAL_MS}
    for name, count, faulty in (("one_witness", 1, 0), ("four_witnesses", 4, 1)):
        delays_ms = measure_delays(count, faulty, options.writes)
        figures[f"{name}_ms_p50"] = statistics.median(delays_ms)
        figures[f"{name}_ms_p99"] = statistics.quantiles(delays_ms, n=100, method="inclusive")[98]
    figures |= measure_intake(options.records)
    report.show(f"{options.writes:,} claims written, and final", figures, options.json)


def measure_delays(witnesses: int, faulty: int, writes: int) -> list[float]:
    """How long each claim took to be final, in ms, on so many linked witnesses."""
    with seated(witnesses, faulty) as it, it.nodes[0].client() as client:
        delays_ms = []
        for claim in report.progress(claims_of(it.domain, writes + WARM_UP), f"{witnesses} witnesses"):
            begun_s = time.perf_counter()
            answer = client.ask("PUT", f"/claims/{claim.signature}", body=claim.record.canonical, headers=WAIT)
            delays_ms.append((time.perf_counter() - begun_s) * 1_000)
            assert answer.status == 201, f"a claim without rivals is final: {answer.body!r}"
        return delays_ms[WARM_UP:]


def measure_intake(records: int) -> dict[str, float]:
    """Records a second by batches, in an ordinary domain and in a witnessed one, and what receipts cost."""
    rates: dict[str, list[float]] = {"ordinary": [], "witnessed": []}
    with seated(1, 0) as it, it.nodes[0].client() as client:
        for kind in ("ordinary", "witnessed") * 2:
            claims = claims_of(it.domain if kind == "witnessed" else report.DOMAIN, records // 2)
            begun_s = time.perf_counter()
            for begin in range(0, len(claims), report.BATCH_RECORDS):
                batch = {each.signature: msgspec.Raw(each.record.canonical) for each in claims[begin : begin + 1_000]}
                client.ask("PUT", "/claims", body=msgspec.json.encode(batch)).check()
            rates[kind].append(len(claims) / (time.perf_counter() - begun_s))
        while client.get("/witnesses", {"domain": it.domain})["undecided"]:
            time.sleep(0.1)
        lines = client.lines(f"/claims/{it.domain}", {"history": "true"})
        receipt_bytes = sum(len(line) for line in lines if b'"label":"@seen/' in line)
    ordinary, witnessed = (statistics.median(rates[kind]) for kind in ("ordinary", "witnessed"))
    return {
        "ordinary_records_a_second": ordinary,
        "witnessed_records_a_second": witnessed,
        "ratio_witnessed_to_ordinary": witnessed / ordinary,
        "receipt_bytes_a_record": receipt_bytes / records,
    }


@contextmanager
def seated(witnesses: int, faulty: int) -> Iterator[LocalCouncil]:
    """So many witnesses of one domain, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder, council(Path(folder), witnesses, faulty, *NO_QUOTAS) as it:
        yield it


def claims_of(domain: str, count: int) -> list[SignedRecord]:
    """So many claims of this domain, each on a label that nobody else has."""
    now, salt = int(time.time()), secrets.token_hex(4)
    fields = {"domain": domain, "signedby": report.KEY.public, "timestamp": now}
    return [sign(make(fields | {"label": f"{salt}-{number}"}), report.KEY) for number in range(count)]


if __name__ == "__main__":
    main()
