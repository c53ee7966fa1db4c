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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import _report as report
from node.client.http import NodeClient
from node.disk import write_durably
from node.witness.newest import path_of, spell_begin
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SEED_BYTES, SigningKey
from protocol.witness.policy import Policy, make_policy
from protocol.witness.voter import RECEIPT_INTERVAL_MS
from simulations.processes.process import LocalNode, running

WAIT: Final = {"Prefer": "wait=30"}
LINK_S_MAX: Final = 30.0
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
    with council(witnesses, faulty) as (nodes, domain), nodes[0].client() as client:
        delays_ms = []
        for claim in report.progress(claims_of(domain, writes + WARM_UP), f"{witnesses} witnesses"):
            begun_s = time.perf_counter()
            answer = client.ask("PUT", f"/claims/{claim.signature}", body=claim.record.canonical, headers=WAIT)
            delays_ms.append((time.perf_counter() - begun_s) * 1_000)
            assert answer.status == 201, f"a claim without rivals is final: {answer.body!r}"
        return delays_ms[WARM_UP:]


def measure_intake(records: int) -> dict[str, float]:
    """Records a second by batches, in an ordinary domain and in a witnessed one, and what receipts cost."""
    rates: dict[str, list[float]] = {"ordinary": [], "witnessed": []}
    with council(1, 0) as (nodes, domain), nodes[0].client() as client:
        for kind in ("ordinary", "witnessed") * 2:
            claims = claims_of(domain if kind == "witnessed" else report.DOMAIN, records // 2)
            begun_s = time.perf_counter()
            for begin in range(0, len(claims), report.BATCH_RECORDS):
                batch = {each.signature: msgspec.Raw(each.record.canonical) for each in claims[begin : begin + 1_000]}
                client.ask("PUT", "/claims", body=msgspec.json.encode(batch)).check()
            rates[kind].append(len(claims) / (time.perf_counter() - begun_s))
        while client.get("/witnesses", {"domain": domain})["undecided"]:
            time.sleep(0.1)
        lines = client.lines(f"/claims/{domain}", {"history": "true"})
        receipt_bytes = sum(len(line) for line in lines if b'"label":"@seen/' in line)
    ordinary, witnessed = (statistics.median(rates[kind]) for kind in ("ordinary", "witnessed"))
    return {
        "ordinary_records_a_second": ordinary,
        "witnessed_records_a_second": witnessed,
        "ratio_witnessed_to_ordinary": witnessed / ordinary,
        "receipt_bytes_a_record": receipt_bytes / records,
    }


@contextmanager
def council(witnesses: int, faulty: int) -> Iterator[tuple[list[LocalNode], str]]:
    """So many witnesses of one domain, each linked with each, and the domain."""
    seeds = [secrets.token_bytes(SEED_BYTES) for _ in range(witnesses)]
    policy = make_policy([SigningKey(seed).public for seed in seeds], faulty)
    domain = f"org.example.{policy.name}"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        nodes = []
        for number, seed in enumerate(seeds):
            data = Path(folder) / f"{number}"
            data.mkdir()
            (data / "node.key").write_text(seed.hex())
            write_durably(path_of(data, domain), spell_begin(None))
            flags = ("--witness", domain, "--records-per-second-max", "none", "--bytes-per-second-max", "none")
            nodes.append(stack.enter_context(running(f"{number}", data, *flags)))
        _link(nodes, [SigningKey(seed).public for seed in seeds])
        _put_policy(nodes[0], domain, policy)
        yield nodes, domain


def claims_of(domain: str, count: int) -> list[SignedRecord]:
    """So many claims of this domain, each on a label that nobody else has."""
    now, salt = int(time.time()), secrets.token_hex(4)
    fields = {"domain": domain, "signedby": report.KEY.public, "timestamp": now}
    return [sign(make(fields | {"label": f"{salt}-{number}"}), report.KEY) for number in range(count)]


def _put_policy(node: LocalNode, domain: str, policy: Policy) -> None:
    fields = {"domain": domain, "label": "@policy", "signedby": report.KEY.public, "timestamp": int(time.time())}
    record = make(fields | {"faulty": policy.faulty, "witnesses": list(policy.witnesses)})
    signed = sign(record, report.KEY)
    with node.client() as client:
        client.ask("PUT", f"/claims/{signed.signature}", body=record.canonical).check()


def _link(nodes: Sequence[LocalNode], keys: Sequence[str]) -> None:
    """Have each node dial all before it, and push and pull. Wait until all links are live."""
    for number, node in enumerate(nodes):
        with node.client() as client:
            for other, key in zip(nodes[:number], keys, strict=False):
                _put_peer(client, {"url": other.link_url, "push": True, "pull": True, "key": key})
        for other in nodes[:number]:
            with other.client() as client:
                _put_peer(client, {"key": keys[number], "accept": True})
    deadline_s = time.monotonic() + LINK_S_MAX
    while not all(map(_is_live, nodes)):
        assert time.monotonic() < deadline_s, "nodes on one machine did not link"
        time.sleep(0.05)


def _put_peer(client: NodeClient, peer: dict[str, object]) -> None:
    client.ask("PUT", "/peers", body=msgspec.json.encode(peer)).check()


def _is_live(node: LocalNode) -> bool:
    with node.client() as client:
        return all((peer.get("link") or {}).get("state") == "live" for peer in client.get("/peers"))


if __name__ == "__main__":
    main()
