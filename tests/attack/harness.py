"""The harness of attacks: a node as a process, an attack, and beside it an honest client whose delays are measured.

Attackers are strangers: the node does not trust loopback, and every address 127.x.y.z counts as a caller of its own. An
attack is a coroutine that runs until it is cancelled; its connections are dropped then. In its short form it lasts
`SECONDS`, and only what does not depend on a busy machine is checked. `make attack` sets `ATTACK_S`: then attacks last
longer, and the delays and the stands of the event loop are checked too. Each attack prints one line, which `pytest -s`
shows.
"""

import asyncio
import io
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from subprocess import PIPE, Popen
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import psutil

from protocol.records.record import SignedRecord
from simulations.processes.process import LocalNode, running
from tests.attack.honest import Measured
from tests.attack.pace import pause
from tests.attack.timed_node import Stand, stands
from tests.history import claim, signed
from tests.node.http_api.talking import batch
from tests.waiting import waited_s

SECONDS: Final = float(os.environ.get("ATTACK_S", "0.5"))
"""How long an attack lasts."""

IS_LONG: Final = "ATTACK_S" in os.environ

HONEST: Final = "127.9.9.9"
"""The address of the honest client."""

STANDS: Final = "stands"
"""The file beside the data folder of a node in which its timer notes how long the event loop stood."""

SAMPLE_EVERY_S: Final = 0.1

HANG_S: Final = 120.0

GROWTH_BYTES_MAX: Final = 256 * 2**20
"""How much a stranger may make a node grow."""

PUT_S_MAX: Final = 0.25
"""How long the honest client may wait for the answer to a claim, at the 99th percentile, in the long form."""

STAND_S_MAX: Final = 0.05
"""How much processor time the event loop may take in one step, in the long form. What it waits for the disk, for the
interpreter's lock and for a core is printed, and not checked, because other programs make it longer.
"""

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


class Honest:
    """The honest client in a process of its own, which starts with the first attack and serves all of them."""

    def __init__(self) -> None:
        self._process: Popen[bytes] | None = None

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Start the process if it does not run. After an error in the block, the next attack starts another one."""
        if self._process is None:
            self._process = _start_honest()
            assert await self._hear() == b"ready\n"
        try:
            yield
        except BaseException:
            self.close()
            raise

    def begin(self, url: str, ca: Path | None) -> None:
        """Let a new client work. `ca`: the authority of the node's certificate."""
        self._say([HONEST, url, None if ca is None else str(ca)])

    async def end(self) -> Measured:
        """Let the client end; returns what it measured."""
        self._say("end")
        return msgspec.json.decode(await self._hear(), type=Measured)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _say(self, what: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")
        self._process.stdin.flush()

    async def _hear(self) -> bytes:
        """The next line of the process. A thread waits for it, because each test has an event loop of its own."""
        assert self._process is not None
        assert self._process.stdout is not None
        return await asyncio.to_thread(self._process.stdout.readline)


def _start_honest() -> "Popen[bytes]":
    return Popen([sys.executable, "-m", "tests.attack.honest"], stdin=PIPE, stdout=PIPE)


honest: Final = Honest()


class Cost(msgspec.Struct, frozen=True):
    """What an attack cost: bytes, shares of a core, and what the honest client measured beside it.

    `waited_share`: for how much of the time the node could have worked, and other programs had the cores. If that is
    much, delays say little. `stands`: the times for which the event loop of the node stood.
    """

    grown_bytes: int
    cpu_share: float
    waited_share: float
    stands: list[Stand]
    honest: Measured

    @property
    def longest_step_s(self) -> float:
        """The most processor time that the event loop took while it did nothing else."""
        return max((stand.work_s for stand in self.stands), default=0.0)

    def __str__(self) -> str:
        return (
            f"grew by {self.grown_bytes / 2**20:.0f} MiB, used {self.cpu_share:.2f} cores and waited for one for "
            f"{self.waited_share:.2f} of the time; its loop stood for at most "
            f"{max((stand.clock_s for stand in self.stands), default=0.0) * 1000:.0f} ms, with "
            f"{self.longest_step_s * 1000:.0f} ms of work; honest client: {len(self.honest.puts_s)} times "
            f"PUT {_percentiles(self.honest.puts_s)}, GET {_percentiles(self.honest.reads_s)}, "
            f"{self.honest.refused} refused"
        )


def _percentiles(delays_s: list[float]) -> str:
    cuts = quantiles(delays_s, n=100, method="inclusive")
    return f"p50 {cuts[49] * 1000:.0f} ms p99 {cuts[98] * 1000:.0f} ms max {max(delays_s) * 1000:.0f} ms"


def check(name: str, cost: Cost, growth_bytes_max: int = GROWTH_BYTES_MAX) -> None:
    """Print what the attack cost, and check the aims."""
    print(f"\n{name}: {cost}")  # noqa: T201 - what `make attack` shows
    assert cost.honest.refused == 0, "the honest client was refused"
    assert cost.grown_bytes < growth_bytes_max
    if IS_LONG:
        assert cost.longest_step_s < STAND_S_MAX, "the loop stood"
        assert quantiles(cost.honest.puts_s, n=100, method="inclusive")[98] < PUT_S_MAX


@contextmanager
def attacked(folder: Path, *flags: str) -> Iterator[LocalNode]:
    """A node to attack, as a process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each connection of an attacker is a file of ours
    program = (sys.executable, "-m", "tests.attack.timed_node", str(folder / STANDS))
    with running("attacked", folder / "data", *STRANGERS, *flags, program=program) as node:
        yield node


async def measure(node: LocalNode, *attacks: Attack, ca: Path | None = None) -> Cost:
    """Let the honest client work while these attacks run, and give what they cost. `ca`: the authority of the node's
    certificate.
    """
    process = psutil.Process(node.process.pid)
    async with asyncio.timeout(HANG_S + SECONDS), honest.ready():
        before_bytes, before_s, begun_s = memory_bytes(process), cpu_s(process), time.monotonic()
        waited_before_s = waited_s(process)
        async with _in_background(_carry_out(attack, node) for attack in attacks):
            honest.begin(node.url, ca)
            peak_bytes = before_bytes
            while time.monotonic() < begun_s + SECONDS:
                await pause(SAMPLE_EVERY_S)
                peak_bytes = max(peak_bytes, memory_bytes(process))
            elapsed_s = time.monotonic() - begun_s
            share, waited = (cpu_s(process) - before_s) / elapsed_s, (waited_s(process) - waited_before_s) / elapsed_s
            end_s = time.monotonic()
            measured = await honest.end()
    assert node.process.poll() is None, "the node has ended"
    stood = stands(node.data.with_name(STANDS), begun_s, end_s)
    return Cost(peak_bytes - before_bytes, share, waited, stood, measured)


async def _carry_out(attack: Attack, node: LocalNode) -> None:
    wires = Wires(node)
    try:
        await attack(wires)
    finally:
        wires.drop()


def memory_bytes(process: psutil.Process) -> int:
    """The memory of the process and of those that it started."""
    total = process.memory_info().rss
    for each in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may end between the list and the look
            total += each.memory_info().rss
    return total


def cpu_s(process: psutil.Process) -> float:
    times = [process.cpu_times()]
    for each in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times.append(each.cpu_times())
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
    await give(node, records, max(1, min(1_000, 4 * 2**20 // (padding_bytes + 400))))


async def give(node: LocalNode, records: Sequence[SignedRecord], batch_records: int = 1_000) -> None:
    """Put these records as the operator of the node, so many in a batch."""
    token = (node.data / "admin-token").read_text().strip()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for begin in range(0, len(records), batch_records):
            body = io.BytesIO(batch(records[begin : begin + batch_records]))
            async with session.put(f"{node.url}/claims", data=body) as answer:
                assert answer.status == 200
