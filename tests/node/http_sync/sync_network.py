"""Nodes and false peers for tests of sync, on loopback. Each has a store of its own and a free port."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from node.intake.arrivals import Origin, Submission
from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from node.world import World
from protocol.records.admission import Trust
from protocol.records.outcome import Outcome
from protocol.records.record import Record
from protocol.sets.index import Index, pack_key
from tests.history import ALICE, DOMAIN, claim, signed

NOW = 1_000_000
"""The time of every node's clock, in seconds since the Unix epoch."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def running(data: Path, now: int = NOW, **settings: Any) -> AsyncIterator[Node]:
    """A node that syncs only on request, unless the settings say otherwise."""
    defaults: dict[str, Any] = {"sync_interval": None, "peers_poll": 0.05, "peer_timeout": 60.0, "max_age": None}
    chosen = Settings(data=data, port=0, **defaults | settings)
    async with Node(chosen, World(now_s=lambda: now, random=Random(1))) as node:
        yield node


async def give(node: Node, *records: Record, trust: Trust = Trust.PEER) -> list[Outcome]:
    return await node.ingest.take(
        [Submission(signed(record).signature, record.canonical) for record in records], Origin(trust)
    )


async def befriend(node: Node, other: Node, *, push: bool = False, pull: bool = False) -> None:
    """List the other as a peer of the node. If the node pushes, the other accepts its pushes."""
    await node.peers.put(Peer(url=other.url, push=push, pull=pull))
    if push:
        await other.peers.put(Peer(key=node.key.public, accept=True))


async def sync(node: Node, direction: str, other: str) -> dict[str, Any]:
    """The report of one run with the peer of this URL, without its seconds and the peer's clock."""
    report = (await node.sync.run(direction, other, None))[other]
    report.pop("clock_ahead_s")
    seconds = report.pop("seconds")
    assert isinstance(seconds, float)
    return report


def report(**fields: Any) -> dict[str, Any]:
    """The report of a run in which all other fields are empty."""
    empty = {"records": 0, "accepted": 0, "known": 0, "refused": 0, "repaired": 0, "through": {}}
    return {**empty, "error": None, "code": None, "refusals": {}, "erased": 0, **fields}


def claims(count: int, begin: int = NOW - 1_000, label: str = "plot") -> list[Record]:
    """So many claims, each of its own label, one second apart from `begin` on."""
    return [claim(f"{label}-{number}", ALICE, begin + number) for number in range(count)]


def held(node: Node, domain: str = DOMAIN) -> set[str]:
    index = node.indexes.get(domain) or Index()
    return {record_id.hex() for record_id in index.ids(0, len(index))}


def ids(records: Sequence[Record]) -> set[str]:
    return {record.id for record in records}


def node_answer(key: str, records: Sequence[Record] = (), domain: str = DOMAIN) -> dict[str, Any]:
    """The answer to `GET /node` of a node with this key and these records."""
    index = Index(pack_key(record.timestamp, bytes.fromhex(record.id)) for record in records)
    summary = {"count": len(index), "fingerprint": index.fingerprint().hex(), "newest": index.newest}
    return {"node": key, "domains": {domain: summary}}


def line(record: Record) -> bytes:
    body = {"signature": signed(record).signature, "record": msgspec.Raw(record.canonical)}
    return msgspec.json.encode(body) + b"\n"


def answering(body: bytes | object, status: int = 200, **headers: str) -> Handler:
    """A handler that gives this answer to every request."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=data, status=status, headers={name.replace("_", "-"): v for name, v in headers.items()}
        )

    return handle


@asynccontextmanager
async def false_peer(routes: dict[str, Handler]) -> AsyncIterator[str]:
    """The URL of a server with these handlers by path, on a free port."""
    app = web.Application(client_max_size=2**24)
    for path, handler in routes.items():
        app.router.add_route("*", path, handler)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")
