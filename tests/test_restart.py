"""A node that is killed in the middle of a catch-up over a link goes on when it is back, and nothing is lost."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from node.client import publishing
from node.client.http import NodeClient
from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode, running
from tests.history import ALICE, DOMAIN, claim, signed
from tests.node.http_sync.sync_network import claims, give
from tests.node.http_sync.sync_network import running as filling

RECORDS: Final = 6_000
IN_THE_MIDDLE: Final = 256
"""Records that the empty node has when one of the two nodes is killed: at least one frame."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a node that holds all the records."""
    folder = tmp_path_factory.mktemp("full")

    async def fill() -> None:
        async with filling(folder) as node:
            await give(node, *claims(RECORDS, begin=1_000))

    asyncio.run(fill())
    return folder


@pytest.mark.parametrize("victim", ["the one that takes", "the one that gives"])
def test_a_catch_up_goes_on_after_kill_9_of(tmp_path: Path, full: Path, victim: str) -> None:
    with running("giver", full) as giver, linked(tmp_path / "taker", giver) as taker:
        killed = taker if victim == "the one that takes" else giver
        while held(taker)["count"] < IN_THE_MIDDLE:
            pass

        killed.kill()
        killed.start()
        report = ask(taker, "POST", "/sync/pull")[giver.link_url]

        assert report["error"] is None
        assert held(taker) == held(giver)
        assert held(taker)["count"] == RECORDS


def test_after_kill_9_quotas_go_on_from_what_was_acknowledged(tmp_path: Path) -> None:
    now = int(time.time())
    first, second, third = (signed(claim(f"label-{number}", at=now)) for number in range(3))

    with running("node", tmp_path / "node", "--key-records-max", "2") as node:
        written = [put(node, each) for each in (first, second)]
        node.kill()
        node.start()
        refused = put(node, third)
        usage = ask(node, "GET", "/usage")

    assert [each["status"] for each in written] == ["accepted", "accepted"]
    assert (refused["code"], refused["quota"], refused["limit"]) == ("quota_exceeded", "key_records_max", 2)
    size_bytes = sum(len(each.record.canonical) for each in (first, second))
    assert usage["domains"] == [{"domain": DOMAIN, "records": 2, "bytes": size_bytes}]
    assert usage["keys"] == [{"key": ALICE.public, "records": 2, "bytes": size_bytes}]


def put(node: LocalNode, one: SignedRecord) -> dict[str, Any]:
    """What the node says of a record that a client writes."""
    with NodeClient(node.url) as client:
        return client.converse(publishing.put(one)).fields


@contextmanager
def linked(folder: Path, giver: LocalNode) -> Iterator[LocalNode]:
    """A node without records that dials the other and asks for everything."""
    with running("taker", folder, "--reconnect-min", "0.05", "--reconnect-max", "0.5") as taker:
        ask(taker, "PUT", "/peers", b'{"url":"%s","pull":true}' % giver.link_url.encode())
        yield taker


def held(node: LocalNode) -> dict[str, Any]:
    """What the node says that it holds."""
    domains = ask(node, "GET", "/node")["domains"]
    empty: dict[str, Any] = {"count": 0}
    return dict(domains.get(DOMAIN, empty))


def ask(node: LocalNode, method: str, path: str, body: bytes | None = None) -> Any:
    with node.client() as client:
        return client.ask(method, path, body=body).value()
