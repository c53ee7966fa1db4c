"""The harness of attacks: a node as a process, an attack, and beside it an honest client whose delays are measured.

Attackers are strangers: the node does not trust loopback, and every address 127.x.y.z counts as a caller of its own. An
attack is a coroutine that runs until it is cancelled; its connections are dropped then. In its short form it lasts
`SECONDS`, and only what does not depend on a busy machine is checked. `make attack` sets `ATTACK_S`: then attacks last
longer, and the delays are checked too. Each attack prints one line, which `pytest -s` shows.
"""

import asyncio
import io
import os
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import psutil

from simulations.processes.process import LocalNode, running
from tests.history import claim, signed
from tests.node.http_api.talking import batch

SECONDS: Final = float(os.environ.get("ATTACK_S", "1.0"))
"""How long an attack lasts."""

IS_LONG: Final = "ATTACK_S" in os.environ

HONEST: Final = "127.9.9.9"
"""The address of the honest client."""

ASK_EVERY_S: Final = 0.02
SAMPLE_EVERY_S: Final = 0.1
PUTS_MIN: Final = 5
"""Claims of the honest client that are waited for."""

HANG_S: Final = 60.0

GROWTH_BYTES_MAX: Final = 256 * 2**20
"""How much a stranger may make a node grow."""

PUT_S_MAX: Final = 0.25
"""How long the honest client may wait for the answer to a claim, at the 99th percentile, in the long form."""

STRANGERS: Final = ("--loopback-trusted", "false", "--trusted-proxies", "192.0.2.0/24", "--log-format", "json")
"""Flags with which callers on loopback are strangers, and each of its addresses is one caller."""


class Wires:
    """The connections of one attack to a node."""

    def __init__(self, node: LocalNode) -> None:
        self.node = node
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection from this address, without TLS."""
        parts = urlsplit(self.node.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, local_addr=(address, 0))
        self._writers.append(writer)
        return reader, writer

    async def open(self, count: int, addresses: int, begin: bytes) -> None:
        """Open so many connections from so many addresses, send the same bytes over each, and then nothing."""
        for number in range(count):
            _, writer = await self.connect(attacker(number, addresses))
            writer.write(begin)
        await asyncio.Event().wait()

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


Attack = Callable[[Wires], Awaitable[None]]


class Cost(msgspec.Struct, frozen=True):
    """What an attack cost. Delays are in seconds, from the connection to the whole answer. `refused` counts answers to
    the honest client other than 201 for its claims and 200 for its reads; a broken connection counts as well.
    """

    grown_bytes: int
    cpu_share: float
    puts_s: list[float]
    reads_s: list[float]
    refused: int

    def __str__(self) -> str:
        return (
            f"grew by {self.grown_bytes / 2**20:.0f} MiB, used {self.cpu_share:.2f} cores; honest client: "
            f"PUT {_percentiles(self.puts_s)}, GET {_percentiles(self.reads_s)}, {self.refused} refused"
        )


def _percentiles(delays_s: list[float]) -> str:
    cuts = quantiles(delays_s, n=100, method="inclusive")
    return f"p50 {cuts[49] * 1000:.0f} ms p99 {cuts[98] * 1000:.0f} ms"


def check(name: str, cost: Cost, growth_bytes_max: int = GROWTH_BYTES_MAX) -> None:
    """Print what the attack cost, and check the aims."""
    print(f"\n{name}: {cost}")  # noqa: T201 - what `make attack` shows
    assert cost.refused == 0, "the honest client was refused"
    assert cost.grown_bytes < growth_bytes_max
    if IS_LONG:
        assert quantiles(cost.puts_s, n=100, method="inclusive")[98] < PUT_S_MAX


@contextmanager
def attacked(folder: Path, *flags: str) -> Iterator[LocalNode]:
    """A node to attack, as a process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each connection of an attacker is a file of ours
    with running("attacked", folder / "data", *STRANGERS, *flags) as node:
        yield node


async def measure(node: LocalNode, *attacks: Attack, ssl: Any = True) -> Cost:
    """Let the honest client work while these attacks run, and give what they cost. `ssl`: how the client trusts."""
    process = psutil.Process(node.process.pid)
    before_bytes, before_s, begun_s = memory_bytes(process), cpu_s(process), time.monotonic()
    client = HonestClient(node, ssl)
    async with asyncio.timeout(HANG_S + SECONDS), _in_background(_carry_out(attack, node) for attack in attacks):
        async with _in_background([client.work()]):
            peak_bytes = before_bytes
            while time.monotonic() < begun_s + SECONDS or len(client.puts_s) < PUTS_MIN:
                await asyncio.sleep(SAMPLE_EVERY_S)
                peak_bytes = max(peak_bytes, memory_bytes(process))
        share = (cpu_s(process) - before_s) / (time.monotonic() - begun_s)
    assert node.process.poll() is None, "the node has ended"
    return Cost(peak_bytes - before_bytes, share, client.puts_s, client.reads_s, client.refused)


async def _carry_out(attack: Attack, node: LocalNode) -> None:
    wires = Wires(node)
    try:
        await attack(wires)
    finally:
        wires.drop()


def memory_bytes(process: psutil.Process) -> int:
    """The memory of the process and of those that it started."""
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


def cpu_s(process: psutil.Process) -> float:
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


@asynccontextmanager
async def _in_background(works: Any) -> AsyncIterator[None]:
    """Run these coroutines until the block ends. One that fails makes the block fail at its end."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


class HonestClient:
    """Makes a claim and reads it, again and again, each time over a new connection."""

    def __init__(self, node: LocalNode, ssl: Any) -> None:
        self.puts_s: list[float] = []
        self.reads_s: list[float] = []
        self.refused = 0
        self._url = node.url
        self._ssl = ssl
        self._number = 0

    async def work(self) -> None:
        connector = aiohttp.TCPConnector(local_addr=(HONEST, 0), force_close=True, ssl=self._ssl)
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                self._number += 1
                one = signed(claim(f"honest-{self._number}", at=int(time.time())))
                path = f"/claims/{one.signature}"
                await self._ask(session, "PUT", path, 201, self.puts_s, one.record.canonical)
                await self._ask(session, "GET", f"/claims/example/honest-{self._number}", 200, self.reads_s)
                await asyncio.sleep(ASK_EVERY_S)

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        expected: int,
        delays_s: list[float],
        body: bytes | None = None,
    ) -> None:
        begun_s = time.monotonic()
        try:
            async with session.request(method, self._url + path, data=body) as answer:
                await answer.read()
        except (aiohttp.ClientError, ConnectionError):
            self.refused += 1
            return
        delays_s.append(time.monotonic() - begun_s)
        self.refused += answer.status != expected


def attacker(number: int, addresses: int) -> str:
    """The address of one of so many attackers."""
    number %= addresses
    return f"127.1.{number // 250}.{number % 250 + 1}"


async def fill(node: LocalNode, labels: int, per_label: int = 1, padding_bytes: int = 0) -> None:
    """Give the node so many labels, with so many records each, as its operator."""
    now = int(time.time())
    records = [
        signed(claim(f"stored-{label}", at=now - number, padding="x" * padding_bytes))
        for label in range(labels)
        for number in range(per_label)
    ]
    token = (node.data / "admin-token").read_text().strip()
    size = max(1, min(1_000, 4 * 2**20 // (padding_bytes + 400)))
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for begin in range(0, len(records), size):
            body = io.BytesIO(batch(records[begin : begin + size]))
            async with session.put(f"{node.url}/claims", data=body) as answer:
                assert answer.status == 200
