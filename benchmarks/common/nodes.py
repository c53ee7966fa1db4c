"""Nodes that benchmarks fill, copy, link and watch."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.common import report
from node.client.http import NodeClient
from node.durable_files import sync
from node.intake.arrivals import Delivery, Origin, Submission
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode

HANG_S: Final = 1_200.0
POLL_S: Final = 0.002
SETTLED_POLL_S: Final = 0.05
"""Seconds between two looks where no figure depends on them, so that the looks cost the nodes little."""


FIRST_S: Final = 1_700_000_000
RECORDS_PER_SECOND: Final = 10
"""The dates of claims that nobody signed."""

OWNERS: Final = 10_000

_PAGE_BYTES: Final = 4_096


class Trusting:
    """Accepts every signature. It fills a folder with records that the benchmark itself has just signed."""

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:  # noqa: ARG002 - as it is called
        return [True] * len(records)

    def close(self) -> None: ...


def fill(folder: Path, records: Iterable[SignedRecord], count: int) -> None:
    """Give these records to the node of this folder, which is not running."""
    fill_unsigned(folder, (Submission(it.signature, it.record.canonical) for it in records), count)


def fill_unsigned(folder: Path, submissions: Iterable[Submission], count: int) -> None:
    """Give these to the node of this folder, which is not running. Nobody checks their signatures."""

    async def take(show: Callable[[int], None]) -> None:
        async with trusting_node(folder) as node:
            await take_all(node, submissions, show)

    with report.bar(f"filling a folder with {count:,} claims", count) as show:
        report.run(take(show))


def trusting_node(folder: Path) -> Node:
    """A node that checks everything but signatures."""
    return Node(Settings(data=folder, port=0), World(open_verifier=lambda _: Trusting()))


async def take_all(node: Node, submissions: Iterable[Submission], show: Callable[[int], None]) -> None:
    """Take these in, one batch after the other, and show how many are done."""
    waiting, done = iter(submissions), 0
    while batch := list(islice(waiting, report.BATCH_RECORDS)):
        await take_batch(node, batch)
        done += len(batch)
        show(done)


async def take_batch(node: Node, batch: Sequence[Submission]) -> None:
    """Take this batch in, as records of a peer that catches up."""
    outcomes = await node.ingest.take(batch, Origin(Trust.PEER), Delivery(waits=True, is_live=False))
    assert all(outcome.status == "accepted" for outcome in outcomes), "every claim is new and valid"


def label_of(number: int) -> str:
    """The label of the claim with this number. Names of people come in no order either."""
    return f"{number * 2_654_435_761 % 2**32:08x}-{number}"


def submissions(first: int, end: int) -> Iterator[Submission]:
    """The claims with these numbers, of many owners. Nobody checks their signatures, so nothing signs them."""
    body = '{"domain":"%s","label":"%s","name":"claim %d","note":"the quick brown fox","signedby":"%s","timestamp":%d}'
    owners = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(OWNERS)]
    for number in range(first, end):
        when_s = FIRST_S + number // RECORDS_PER_SECOND
        owner = owners[number * 7_919 % OWNERS]
        text = body % (report.DOMAIN, label_of(number), number, owner, when_s)
        yield Submission(f"{number:0128x}", text.encode())


def copied(folder: Path, name: str) -> Path:
    """A copy of the folder for another node to start with. It is on the disk, because the first `fdatasync` of the node
    would else write the rest of it: that took 25 to 35 us of processor time of each claim at 10,000,000 claims.
    """
    copy = folder.with_name(name)
    shutil.copytree(folder, copy, copy_function=_copy_by_pages)
    (copy / "node.key").unlink()
    for file in copy.iterdir():
        sync(file)
    return copy


def _copy_by_pages(source: str, target: str) -> None:
    """Copy a file page by page, as SQLite writes. Linux keeps in one piece what was written in one piece, and to change
    a page of a large piece costs more: 10 us of processor time of each claim at 3,000,000 claims.
    """
    with open(source, "rb") as original, open(target, "wb", buffering=0) as copy:
        while page := original.read(_PAGE_BYTES):
            copy.write(page)
    shutil.copystat(source, target)


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


def until_settled(node: LocalNode) -> None:
    """Wait until the node has compared once more and found no difference. Then its cursors are at the end."""
    deadline_s = time.monotonic() + HANG_S
    with node.client() as client:
        while client.get("/peers")[0]["domains"].get(report.DOMAIN) != "identical":
            assert time.monotonic() < deadline_s, "two equal sets did not compare as equal"
            time.sleep(SETTLED_POLL_S)
