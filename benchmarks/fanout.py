"""How soon a claim is seen: `python -m benchmarks.fanout [--writes N] [--rounds N] [--logs-s N] [--json]`.

A `PUT` writes a claim to a node. A client of `GET /stream` waits for its event, on the same node (lane one) or on a
node that is linked with it (lane two). The next claim is written only when this one was answered and seen. The nodes
are `dnarc serve` processes; this process is writer and reader, on the same cores. The milliseconds run from before the
request is written until after the last byte of the event is read. Lane three is lane two with one more node that is
linked with the writer and is stopped (SIGSTOP) before the first write, because a peer that does not read should delay
nobody.

The limit is the work that no node can leave out: within a node one signature verification and one `fdatasync`; over a
link two verifications and one `fdatasync`, because the record leaves before it is on the writer's disk. Both are
measured in the same run, between the writes. The nodes have been up for some seconds, so their logs have their full
size. Aims on a machine without other work: within a node p50 at most 0.8 ms and p99 at most 2 ms; over a link p50 at
most 1.5 ms and p99 at most 4 ms; with a peer that does not read the same as without it.
"""

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from nacl.bindings import crypto_sign_open

from benchmarks.common import report
from node.disk import store_bytes
from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode, running

TIMEOUT_S: Final = 30.0
FLOOR_EVERY: Final = 10
"""Writes between two measurements of the limit."""

WARM_UP: Final = 50
"""Writes before the first that counts: they fill connections, caches and branch predictors."""


class Lane(StrEnum):
    """Where a claim is seen. Figures are named so."""

    WITHIN = "within_a_node"
    LINKED = "over_a_link"
    BESIDE_DEAF = "over_a_link_beside_a_deaf_peer"


_UPGRADE: Final = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


class _Wire(asyncio.Protocol):
    """A connection that waits for bytes. An HTTP or WebSocket client would take longer than what is measured.

    `host` is what requests have to say in their `Host`. A node takes a request from this machine with another name for
    one that came through a proxy, and examines it for longer.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._wanted = b""
        self._found: asyncio.Future[float] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            asyncio.Transport, transport
        )  # uvloop's transport has the methods but not the base class

    def write(self, data: bytes) -> None:
        assert self._transport is not None, "connected"
        self._transport.write(data)

    def close(self) -> None:
        assert self._transport is not None, "connected"
        self._transport.abort()

    def expect(self, wanted: bytes) -> "asyncio.Future[float]":
        """Forget all received bytes, and wait for these bytes. Returns the time at which they had arrived."""
        self._received.clear()
        self._wanted, self._found = wanted, self._loop.create_future()
        return self._found

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._found is not None and not self._found.done() and self._wanted in self._received:
            self._found.set_result(time.perf_counter())

    def connection_lost(self, error: Exception | None) -> None:
        if self._found is not None and not self._found.done():
            self._found.set_exception(error or ConnectionError("the node closed the connection"))


async def _connect(url: str) -> _Wire:
    parts = urlsplit(url)
    _, wire = await asyncio.get_running_loop().create_connection(
        lambda: _Wire(parts.netloc), str(parts.hostname), parts.port or 80
    )
    return wire


LOG_BYTES_MIN: Final = 64_000_000
"""A log of full size is not shorter (`node.store.sqlite.long_log`)."""

_FLOOR_BYTES: Final = 7 * 4_096


class Floor:
    """How long the work takes that no node can leave out, in milliseconds."""

    def __init__(self, folder: Path, claim: SignedRecord) -> None:
        self.verify_ms: list[float] = []
        self.sync_ms: list[float] = []
        self._signed = (bytes.fromhex(claim.signature) + claim.record.canonical, bytes.fromhex(claim.record.signedby))
        self._file = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.pwrite(self._file, bytes(_FLOOR_BYTES), 0)
        os.fsync(self._file)

    def measure(self) -> None:
        """Measure one verification, and one `fdatasync` of seven pages, as many as the commit of a claim writes to the
        log. They overwrite what is there, as in a log of full size.
        """
        self.verify_ms.append(_milliseconds(lambda: crypto_sign_open(*self._signed)))
        os.pwrite(self._file, bytes(_FLOOR_BYTES), 0)
        self.sync_ms.append(_milliseconds(lambda: os.fdatasync(self._file)))

    def close(self) -> None:
        os.close(self._file)


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1_000


async def delays(writer: str, reader: str, claims: Sequence[SignedRecord], floor: Floor) -> list[float]:
    """For each claim, the milliseconds from its `PUT` to the node `writer` until its event comes from the node
    `reader`.
    """
    put, stream = await _connect(writer), await _connect(reader)
    is_open = stream.expect(b"\r\n\r\n")
    stream.write(f"GET /stream HTTP/1.1\r\nHost: {stream.host}\r\n{_UPGRADE}\r\n".encode())
    await is_open
    taken = []
    try:
        for number, claim in enumerate(claims):
            if number % FLOOR_EVERY == 0:
                floor.measure()
            taken.append(await _delay(put, stream, claim))
    finally:
        put.close()
        stream.close()
    return taken[WARM_UP:]


async def _delay(put: _Wire, stream: _Wire, claim: SignedRecord) -> float:
    body = claim.record.canonical
    head = f"PUT /claims/{claim.signature} HTTP/1.1\r\nHost: {put.host}\r\nContent-Length: {len(body)}\r\n\r\n"
    answered, seen = put.expect(b'"accepted"'), stream.expect(body)
    begun = time.perf_counter()
    put.write(head.encode() + body)
    async with asyncio.timeout(TIMEOUT_S):
        await answered
        return (await seen - begun) * 1_000


def link(one: LocalNode, other: LocalNode) -> None:
    """Have `other` dial `one` and pull from it. Wait until the link is live."""
    with other.client() as client:
        client.ask("PUT", "/peers", body=b'{"url":"%s","pull":true}' % one.link_url.encode()).check()
        deadline_s = time.monotonic() + TIMEOUT_S
        while _state(client.get("/peers")) != "live":
            assert time.monotonic() < deadline_s, "two nodes on one machine did not link"
            time.sleep(0.02)


def _state(peers: Any) -> Any:
    return (peers[0].get("link") or {}).get("state")


@contextmanager
def deaf(node: LocalNode) -> Iterator[None]:
    """Stop the node until the block ends: its links stay open, and it reads nothing."""
    node.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        node.process.send_signal(signal.SIGCONT)


def fill_logs(nodes: Sequence[LocalNode], logs_s: int) -> None:
    """Wait until the logs of the nodes have their full size, as they have some seconds after a start.

    Go on after `logs_s` seconds: older versions do not fill their logs, and no version does on a disk that is nearly
    full.
    """
    deadline_s = time.monotonic() + logs_s
    while any(store_bytes(it.data)["dnarc.db-wal"] < LOG_BYTES_MIN for it in nodes) and time.monotonic() < deadline_s:
        time.sleep(0.05)


async def _lane(lane: Lane, folder: Path, claims: Sequence[SignedRecord], floor: Floor, logs_s: int) -> list[float]:
    with ExitStack() as nodes:
        one = nodes.enter_context(running("A", folder / "a"))
        if lane is Lane.WITHIN:
            await asyncio.to_thread(fill_logs, [one], logs_s)
            return await delays(one.url, one.url, claims, floor)
        other = nodes.enter_context(running("B", folder / "b"))
        await asyncio.to_thread(link, one, other)
        await asyncio.to_thread(fill_logs, [one, other], logs_s)
        if lane is Lane.BESIDE_DEAF:
            third = nodes.enter_context(running("C", folder / "c"))
            await asyncio.to_thread(link, one, third)
            nodes.enter_context(deaf(third))
        return await delays(one.url, other.url, claims, floor)


def measure(writes: int, rounds: int, logs_s: int) -> dict[str, float]:
    """The figures over the writes of all rounds. The lanes take turns."""
    delays_ms: dict[Lane, list[float]] = {lane: [] for lane in Lane}
    verify_ms: list[float] = []
    sync_ms: list[float] = []
    claims = report.make_claims(writes // rounds + WARM_UP)
    for _ in report.progress(range(rounds), "measuring, in turns"):
        for lane, its_delays_ms in delays_ms.items():
            with tempfile.TemporaryDirectory() as folder:
                floor = Floor(Path(folder), claims[0])
                its_delays_ms += report.run(_lane(lane, Path(folder), claims, floor, logs_s))
                floor.close()
                verify_ms += floor.verify_ms
                sync_ms += floor.sync_ms
    verify, sync = statistics.median(verify_ms), statistics.median(sync_ms)
    figures = {"verification_ms_p50": verify, "fdatasync_ms_p50": sync, "fdatasync_ms_p99": report.p99(sync_ms)}
    for lane, its_delays_ms in delays_ms.items():
        p50 = statistics.median(its_delays_ms)
        floor_ms = (1 if lane is Lane.WITHIN else 2) * verify + sync
        figures |= {
            f"{lane}_floor_ms_p50": floor_ms,
            f"{lane}_ms_p50": p50,
            f"{lane}_ms_p99": report.p99(its_delays_ms),
            f"ratio_floor_to_{lane}": floor_ms / p50,
        }
    return figures


def main() -> None:
    options = report.options(
        __doc__,
        writes=(1_000, "claims that count, in each lane"),
        rounds=(4, "rounds, each on new nodes; the writes are divided among them"),
        logs_s=(10, "seconds to wait until the logs of new nodes have their full size"),
    )
    figures = measure(options.writes, options.rounds, options.logs_s)
    report.show(f"{options.writes:,} claims written, and seen", figures, options.json)


if __name__ == "__main__":
    main()
