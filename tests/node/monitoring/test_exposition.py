"""The metrics page: Prometheus can read it, it follows Prometheus' conventions, and the docs list all of it."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from node.monitoring.exposition import FAMILIES, Kind, markdown_table
from node.node import Node
from node.store.contract import Peer
from protocol.records.admission import Trust
from protocol.records.change import EventType
from tests.history import ALICE, BOB, claim
from tests.node.http_api.talking import Client
from tests.node.http_sync.sync_network import befriend, claims, false_peer, give, running, sync
from tests.paths import ROOT

DOCS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
TIMEOUT_S = 120
UNITS = ("_seconds", "_bytes", "_records", "_info")
WITHOUT_UNIT = {
    "dnarc_info", "dnarc_healthy", "dnarc_warnings", "dnarc_setting", "dnarc_listens_publicly", "dnarc_domains",
    "dnarc_records", "dnarc_connections", "dnarc_streams", "dnarc_links", "dnarc_link_eager", "dnarc_peer_state",
    "dnarc_duplicate_keys", "dnarc_witnessed_domains", "dnarc_doubly_decided_slots", "dnarc_witness_forks",
    "dnarc_witness_unheard", "dnarc_witness_silent", "dnarc_witness_open_slots", "dnarc_witness_round",
    "dnarc_fleet_role", "dnarc_fleet_term", "dnarc_fleet_commit",
    "dnarc_unfinished_removals", "dnarc_strangers",
}  # fmt: skip
LIBRARY_PREFIX = "process_"
"""Metrics that Prometheus' own library adds."""

VERY_FAR_FUTURE_S = 5_000_000
"""A timestamp that is too new for the clock of a test's node."""


async def scrape(node: Node) -> dict[str, Metric]:
    """The metrics of a scrape, parsed as Prometheus does it."""
    async with Client(node.url) as client:
        answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {metric.name: metric for metric in text_string_to_metric_families(answer.body.decode())}


def value(metrics: dict[str, Metric], sample_name: str, /, **labels: str) -> float:
    """The value of one sample."""
    (found,) = [
        sample.value
        for metric in metrics.values()
        for sample in metric.samples
        if (sample.name, sample.labels) == (sample_name, labels)
    ]
    return found


def shown_names(metrics: dict[str, Metric]) -> Iterator[str]:
    for metric in metrics.values():
        yield f"{metric.name}_total" if metric.type == "counter" else metric.name


async def test_every_metric_is_there_before_anything_happened(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node:
        metrics = await scrape(node)

    assert [family.name for family in FAMILIES if family.name not in set(shown_names(metrics))] == []
    for metric in metrics.values():
        assert metric.documentation != ""


async def test_every_metric_of_a_node_is_in_the_docs(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node:
        metrics = await scrape(node)

    missing = [name for name in shown_names(metrics) if f"`{name}`" not in DOCS and not name.startswith(LIBRARY_PREFIX)]

    assert missing == []
    assert markdown_table() in DOCS, "print(node.exposition.markdown_table()) gives the table of docs/operations.md"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_of_metrics_follow_the_conventions(family: object) -> None:
    """See https://prometheus.io/docs/practices/naming: a prefix, base units last, `_total` for counters only."""
    assert family in FAMILIES
    (this,) = [it for it in FAMILIES if it is family]

    assert re.fullmatch(r"dnarc(_[a-z]+)+", this.name)
    assert this.name.endswith("_total") == (this.kind is Kind.COUNTER)
    assert this.kind is Kind.COUNTER or this.name.endswith(UNITS) or this.name in WITHOUT_UNIT
    assert this.help.endswith(".")


async def test_records_are_counted_by_verdict_and_by_code(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node:
        await give(node, *claims(3))
        await give(node, *claims(3))
        await give(node, *claims(1, begin=VERY_FAR_FUTURE_S, label="ahead"), trust=Trust.CLIENT)
        metrics = await scrape(node)

    assert value(metrics, "dnarc_records_accepted_total", trust="peer", verdict="founded") == 3
    assert value(metrics, "dnarc_records_known_total", trust="peer") == 3
    assert value(metrics, "dnarc_records_refused_total", trust="client", code="too_new") == 1
    assert value(metrics, "dnarc_events_total", type="accepted") == 3
    assert value(metrics, "dnarc_records") == 3
    assert value(metrics, "dnarc_signatures_verified_total") == 4
    assert value(metrics, "dnarc_admission_seconds_count") == 3
    assert value(metrics, "dnarc_verification_seconds_count") == 2
    assert value(metrics, "dnarc_commit_seconds_count") == 1
    assert value(metrics, "dnarc_commit_records_bucket", le="4.0") == 1
    assert value(metrics, "dnarc_commit_records_bucket", le="2.0") == 0


async def test_events_of_every_type_are_counted_from_0(tmp_path: Path) -> None:
    """Prometheus sees no increase in a series that begins at 1, so the alert would miss the first reversal."""
    async with running(tmp_path / "node") as node:
        metrics = await scrape(node)

    assert {value(metrics, "dnarc_events_total", type=event_type) for event_type in EventType} == {0}


async def test_a_reversal_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node:
        await give(node, claim("garden", ALICE, 200))
        await give(node, claim("garden", BOB, 100))
        metrics = await scrape(node)

    assert value(metrics, "dnarc_events_total", type="reverted") == 1


async def test_a_sync_is_counted_for_its_peer(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        await befriend(one, other, pull=True)
        await give(other, *claims(5))
        await sync(one, "pull", other.url)
        metrics = await scrape(one)

    peer = {"peer": other.url, "direction": "pull"}
    assert value(metrics, "dnarc_sync_runs_total", **peer, result="ok") == 1
    assert value(metrics, "dnarc_sync_records_total", **peer, outcome="accepted") == 5
    assert value(metrics, "dnarc_sync_repaired_total", **peer) == 0
    assert value(metrics, "dnarc_sync_seconds_total", **peer) > 0
    assert value(metrics, "dnarc_sync_success_timestamp_seconds", **peer) == one.world.now_s()
    assert value(metrics, "dnarc_convergence_lag_seconds", peer=other.url) >= 0


async def test_a_failing_peer_is_counted_and_warned_of_without_its_password(tmp_path: Path) -> None:
    async with false_peer({}) as url, running(tmp_path / "a") as node:
        secret = url.replace("//", "//user:secret@")
        await node.peers.put(Peer(url=secret, pull=True))
        await node.sync.run("pull")
        metrics = await scrape(node)
        warnings = node.warnings()

    hidden = url.replace("//", "//user:***@")
    assert value(metrics, "dnarc_sync_runs_total", peer=hidden, direction="pull", result="failed") == 1
    assert value(metrics, "dnarc_warnings") == 1
    assert value(metrics, "dnarc_healthy") == 1
    assert warnings[0].startswith(f"the peer {hidden} is failing since ")


async def test_a_removed_peer_has_no_metrics(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        await befriend(one, other, pull=True)
        await sync(one, "pull", other.url)
        await one.peers.remove(other.url)
        async with asyncio.timeout(TIMEOUT_S):
            while one.convergence.lags_s(0) or list(one.sync.totals()):  # until the node has noticed
                await one.store.peers()
        metrics = await scrape(one)

    assert metrics["dnarc_convergence_lag_seconds"].samples == []
    assert metrics["dnarc_sync_runs"].samples == []


async def test_settings_are_numbers_and_no_limit_is_infinity(tmp_path: Path) -> None:
    async with running(tmp_path / "node", max_age=None, max_skew=7) as node:
        metrics = await scrape(node)

    assert value(metrics, "dnarc_setting", name="max_age") == float("inf")
    assert value(metrics, "dnarc_setting", name="max_skew") == 7
    assert value(metrics, "dnarc_listens_publicly") == 0


async def test_the_work_of_strangers_is_shown_and_what_became_of_it(tmp_path: Path) -> None:
    async with running(tmp_path / "node") as node:
        node.crowd.spend("192.0.2.1", 0.5, asyncio.get_running_loop().time())
        node.crowd.counts.delayed, node.crowd.counts.refused = 3, 2
        metrics = await scrape(node)

    assert value(metrics, "dnarc_strangers") == 1
    assert value(metrics, "dnarc_strangers_work_seconds_total") == 0.5
    assert value(metrics, "dnarc_strangers_delayed_total") == 3
    assert value(metrics, "dnarc_strangers_refused_total") == 2


async def test_a_link_is_counted_for_its_peer_while_it_is_open(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        await give(one, *claims(3))
        url = other.url.replace("http", "ws")
        await other.peers.put(Peer(key=one.key.public, accept=True))
        await one.peers.put(Peer(url=url, push=True, key=other.key.public))
        async with asyncio.timeout(TIMEOUT_S):
            while sum(link.counts.accepted for link in other.links.by_number.values()) < 3:
                await other.store.peers()
        sending, taking = await scrape(one), await scrape(other)

    assert sum(sample.value for sample in sending["dnarc_links"].samples) == 1
    assert value(sending, "dnarc_link_records_total", peer=url, outcome="sent") == 3
    assert value(taking, "dnarc_link_records_total", peer=one.key.public, outcome="accepted") == 3
    for way in ("in", "out"):
        assert value(sending, "dnarc_link_bytes_total", peer=url, way=way) > 0
        assert value(sending, "dnarc_link_frames_total", peer=url, way=way) > 0
    assert value(sending, "dnarc_link_reconcile_rounds_total", peer=url) >= 0
    assert value(sending, "dnarc_link_reconcile_bytes_total", peer=url) >= 0
    for name in ("dnarc_link_repaired_total", "dnarc_link_queue_records"):
        assert value(sending, name, peer=url) == 0
    assert value(sending, "dnarc_link_eager", peer=url) in (0, 1)
