"""Claims of witnessed domains: intake beside an ordinary domain, what receipts cost, and a catch-up that brings them.

`benchmarks.final` runs these lanes and says what their figures mean.
"""

import secrets
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.catchup import whole
from benchmarks.common import report
from benchmarks.common.nodes import fill
from benchmarks.common.processor import spent
from node.client.http import NodeClient
from node.client.targets import path_of
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import Policy, make_policy
from protocol.witness.receipt import receipt_label
from protocol.witness.voter import RECEIPT_INTERVAL_MS
from simulations.processes.council import NO_QUOTAS, LocalCouncil, council
from simulations.processes.process import LocalNode, running

RATES: Final = (10, 100, 1_000)
"""Claims a second for which the bytes of receipts are measured."""

TICK_S: Final = 0.02
"""Claims of this many seconds are sent together where the rate asks for more than one."""

LOOK_EVERY_S: Final = 0.1

_STRANGERS: Final = [SigningKey(bytes([number]) * 32) for number in range(101, 105)]
"""Witnesses that run on no node."""

_STRANGE: Final = make_policy([key.public for key in _STRANGERS], 1)


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


def until_decided(client: NodeClient, domain: str) -> None:
    """Wait until no record of the domain waits for a decision."""
    while client.get("/witnesses", {"domain": domain})["undecided"]:
        time.sleep(LOOK_EVERY_S)


def measure_intake(records: int, rounds: int) -> dict[str, float]:
    """Records a second by batches, in turns: in an ordinary domain, in a witnessed domain of strangers, and in a domain
    that the node itself witnesses.
    """
    lanes = {"ordinary": _ordinary, "witnessed": _witnessed_elsewhere, "local_witness": _witnessed_here}
    results: dict[str, list[float]] = defaultdict(list)
    for _ in report.progress(range(rounds), "intake, in turns"):
        for name, lane in lanes.items():
            for figure, value in lane(records).items():
                results[f"{name}_{figure}"].append(value)
    figures = {name: statistics.median(values) for name, values in results.items()}
    for name in ("witnessed", "local_witness"):
        for figure, words in (("records_a_second", "rate"), ("main_thread_us_a_record", "main_thread")):
            figures[f"ratio_{name}_to_ordinary_by_{words}"] = (
                figures[f"{name}_{figure}"] / figures[f"ordinary_{figure}"]
            )
    return figures


def _ordinary(records: int) -> dict[str, float]:
    with _plain_node() as node:
        return _take_in(node, report.DOMAIN, records)


def _witnessed_elsewhere(records: int) -> dict[str, float]:
    domain = f"org.example.{_STRANGE.name}"
    with _plain_node() as node:
        _put_policy(node, domain, _STRANGE)
        return _take_in(node, domain, records)


def _witnessed_here(records: int) -> dict[str, float]:
    with seated(1, 0) as it:
        return _take_in(it.nodes[0], it.domain, records, is_witness=True)


@contextmanager
def _plain_node() -> Iterator[LocalNode]:
    with tempfile.TemporaryDirectory() as folder, running("node", Path(folder) / "node", *NO_QUOTAS) as node:
        yield node


def _put_policy(node: LocalNode, domain: str, policy: Policy) -> None:
    signed = _policy_record(domain, policy, int(time.time()))
    with node.client() as client:
        client.ask("PUT", path_of("claims", signed.signature), body=signed.record.canonical).check()


def _policy_record(domain: str, policy: Policy, timestamp: int) -> SignedRecord:
    fields = {"domain": domain, "label": "@policy", "signedby": report.KEY.public, "timestamp": timestamp}
    return sign(make(fields | policy.fields), report.KEY)


def _take_in(node: LocalNode, domain: str, records: int, *, is_witness: bool = False) -> dict[str, float]:
    """Send this many claims in batches, one batch after the other. The processor time of a witness is that until it
    has decided all of them.
    """
    bodies = report.bodies_of(claims_of(domain, records))
    with node.client() as client:
        before, begun_s = spent(node.process.pid), time.perf_counter()
        for body in bodies:
            report.check_accepted(client.ask("PUT", "/claims", body=body).value())
        seconds = time.perf_counter() - begun_s
        if is_witness:
            until_decided(client, domain)
    used = spent(node.process.pid).since(before).us_each(records)
    return {
        "records_a_second": records / seconds,
        "main_thread_us_a_record": used.main,
        "processor_us_a_record": used.all,
    }


def measure_receipts(seconds: int) -> dict[str, float]:
    """Bytes of receipts for each record, all witnesses together, while claims come at steady rates."""
    figures: dict[str, float] = {}
    for name, witnesses, faulty in (("one_witness", 1, 0), ("four_witnesses", 4, 1)):
        for rate in report.progress(RATES, f"receipts of {name}"):
            with seated(witnesses, faulty) as it:
                sent_a_second, receipt_bytes = _receipts_at(it, rate, seconds)
            figures[f"{name}_receipt_bytes_a_record_at_{rate}_a_second"] = receipt_bytes
            figures[f"{name}_sent_a_second_of_{rate}"] = sent_a_second
    return figures


def _receipts_at(it: LocalCouncil, rate: int, seconds: int) -> tuple[float, float]:
    """The claims that were sent in a second, and the bytes of receipts for each."""
    claims = claims_of(it.domain, rate * seconds)
    with it.nodes[0].client() as client:
        sent_a_second = len(claims) / _send_at(client, claims, rate)
        until_decided(client, it.domain)
        lines = client.lines(f"/claims/{it.domain}", {"history": "true"})
        receipt_bytes = sum(len(line) for line in lines if b'"label":"@seen/' in line)
    return sent_a_second, receipt_bytes / len(claims)


def _send_at(client: NodeClient, claims: Sequence[SignedRecord], rate: int) -> float:
    """Send these claims at a steady rate; returns the seconds that it took."""
    begun_s, sent = time.perf_counter(), 0
    while sent < len(claims):
        due = min(len(claims), 1 + int((time.perf_counter() - begun_s) * rate))
        if due > sent:
            (body,) = report.bodies_of(claims[sent : min(due, sent + report.BATCH_RECORDS)])
            answers = client.ask("PUT", "/claims", body=body).value()
            report.check_accepted(answers)
            sent += len(answers)
        time.sleep(max(TICK_S, 1 / rate) / 2)
    return time.perf_counter() - begun_s


def measure_catch_up(claims: int, per_receipt: int) -> dict[str, float]:
    """An empty node takes this many claims from a full one over a link: of an ordinary domain, and with their receipts.

    `per_receipt`: claims in one receipt.
    """
    first_s = int(time.time()) - 86_400
    domain = f"org.example.{_STRANGE.name}"
    ordinary = [_claim(report.DOMAIN, first_s, number) for number in range(claims)]
    witnessed = list(_with_receipts(domain, first_s, claims, per_receipt))
    alone, together = _catch_up(report.DOMAIN, ordinary), _catch_up(domain, witnessed)
    return {
        "ordinary_claims_a_second": alone,
        "claims_with_receipts_a_second": together * claims / len(witnessed),
        "records_with_receipts_a_second": together,
        "receipts": float(len(witnessed) - 1 - claims),
        "ratio_with_receipts_to_ordinary": together * claims / len(witnessed) / alone,
    }


def _catch_up(domain: str, records: Sequence[SignedRecord]) -> float:
    """Records a second that an empty node takes from one that holds these."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "full", records, len(records))
        with running("full", Path(folder) / "full") as full:
            return whole(full, Path(folder) / "empty", len(records), domain)["records_a_second"]


def _claim(domain: str, timestamp: int, number: int) -> SignedRecord:
    return report.claim(f"label-{number}", timestamp, number, domain)


def _with_receipts(domain: str, first_s: int, claims: int, per_receipt: int) -> Iterator[SignedRecord]:
    """The policy, the claims, and what four honest witnesses sign while they come: all claims are final at the end."""
    yield _policy_record(domain, _STRANGE, first_s)
    newest: dict[str, str] = {}
    before: list[str] = []
    for number, begin in enumerate(range(0, claims + per_receipt, per_receipt)):
        at_ms = first_s * 1_000 + number * RECEIPT_INTERVAL_MS
        group = [_claim(domain, at_ms // 1_000, each) for each in range(begin, min(begin + per_receipt, claims))]
        yield from group
        ids = [each.record.id for each in group]
        for key in _STRANGERS:
            signed = _receipt(domain, key, at_ms, newest.get(key.public), seen=ids, committed=before)
            newest[key.public] = signed.record.id
            yield signed
        before = ids


def _receipt(
    domain: str, key: SigningKey, at_ms: int, prev: str | None, *, seen: Sequence[str], committed: Sequence[str]
) -> SignedRecord:
    said: dict[str, Any] = {"first": dict.fromkeys(seen, at_ms), "commit": {"0": committed} if committed else None}
    fields = {"domain": domain, "label": receipt_label(key.public), "signedby": key.public, "prev": prev}
    record = fields | {"timestamp": at_ms // 1_000, "at": at_ms} | said
    return sign(make({name: value for name, value in record.items() if value}), key)
