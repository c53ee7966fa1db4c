"""A machine with one node: it can start, stop, be killed and lose its power, and has a clock and a disk of its own.

The node is the real `Node`, in a world that is made here. Each process of the node is one `Life`. When the process is
killed or the power goes, the life is over: nothing that it began goes on, and the next start finds the disk as it was
at that moment.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final

import msgspec

from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from node.world import World
from simulations.world.disk import DiskError, VirtualDisk
from simulations.world.network import open_sockets
from simulations.world.simulation import Simulation
from simulations.world.verification import InlineDecoder, InlineVerifier
from simulations.world.virtual_time import LIFE, Life

PORT: Final = 8080
FOLDER: Final = Path("/data")
START_S_MAX: Final = 600.0
"""Virtual seconds that a start may take: a large database on a slow disk takes minutes."""


class Clock:
    """A wall clock that may be wrong, of a machine or a user."""

    def __init__(self, now_s: Callable[[], float], offset_s: float = 0.0, drift: float = 0.0) -> None:
        """`now_s`: the true wall clock. `offset_s`: how far this clock is ahead of it at first, in seconds. `drift`:
        how many seconds it gains in each second.
        """
        self.offset_s = offset_s
        self._begin_s = now_s()
        self._drift = drift
        self._true_s = now_s

    def now_s(self) -> float:
        true_s = self._true_s()
        return true_s + self.offset_s + self._drift * (true_s - self._begin_s)


class Machine:
    """One machine. `node`: None while no node runs. `key`: the node's public key, empty before the first start.

    `lives`: how often the node was started. `watchers`: called with every node that starts, before it takes records.
    """

    def __init__(self, simulation: Simulation, name: str, settings: dict[str, Any], clock: Clock | None = None) -> None:
        """`settings`: the node's, by name; the others have their defaults. `clock`: a right one if None."""
        self.name = name
        self.host = simulation.network.add_host(name)
        self.disk = VirtualDisk(simulation.stream(f"disk {name}"))
        self.clock = clock or Clock(simulation.now_s)
        self.node: Node | None = None
        self.key: str = ""
        self.lives = 0
        self.watchers: list[Callable[[Machine, Node], None]] = []
        self.trusted: set[str] = set()
        """Keys that were added as peers by `trust`, in any life."""
        # The time of the real processor, in which work of requests is measured, may decide nothing here.
        own = {
            "host": self.host.address,
            "port": PORT,
            "data": FOLDER,
            "verify_threads": 1,
            "strangers_share_max": None,
        }
        self.settings = msgspec.convert(own | settings, Settings)
        self._simulation = simulation
        self._life = Life()
        self._stop = asyncio.Event()
        self._start_is_over = asyncio.Event()
        """Set as soon as the start has succeeded, has failed, or was cut off."""
        self._serving: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether the node runs or is starting."""
        return self._serving is not None

    @property
    def running(self) -> Node:
        assert self.node is not None, f"{self.name} is down"
        return self.node

    def url(self, scheme: str = "ws") -> str:
        return f"{scheme}://{self.host.address}:{PORT}"

    async def trust(self, key: str) -> None:
        """Add a peer with this key that may push. The peer may not be added if the node is down or its disk fails."""
        if self.node is not None and not self.disk.is_failing:
            self.trusted.add(key)
            with suppress(DiskError):  # the disk may begin to fail before it writes the peer (seed 7783006)
                await self.node.peers.put(Peer(key=key, accept=True))

    async def start(self) -> None:
        """Start the node, and wait until it answers or is killed. Does not start a second node.

        Raises:
            Exception: the error that keeps the node from starting.
        """
        if self._serving is not None:
            await self._start_is_over.wait()
            return
        if not self.host.is_up:
            self.host.power_on()
        self.lives += 1
        self._life, self._stop, self._start_is_over = Life(), asyncio.Event(), asyncio.Event()
        started: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        with self.host.here():
            context = copy_context()
        context.run(LIFE.set, self._life)
        self._serving = asyncio.get_running_loop().create_task(self._serve(started), context=context)
        async with asyncio.timeout(START_S_MAX):
            await self._start_is_over.wait()
        if started.done():
            self.node = started.result()
            self.key = self.node.key.public
            self._note("up", life=self.lives)

    async def stop(self) -> None:
        """End the node as SIGTERM does."""
        if self._serving is not None:
            self._stop.set()
            await self._serving

    async def kill(self) -> None:
        """End the process at once. Its kernel closes its connections."""
        if self._serving is not None:
            self._note("killed")
            self.host.kill()
            await self._end()

    async def power_cut(self) -> None:
        """Cut the power. No peer is told."""
        if self._serving is not None:
            self._note("power cut")
            self.host.power_cut()
            await self._end()

    async def _end(self) -> None:
        self.node = self._serving = None
        self.disk.power_cut()
        self._start_is_over.set()
        await self._simulation.loop.end_life(self._life)

    async def _serve(self, started: "asyncio.Future[Node]") -> None:
        """Do what `dnarc serve` does."""
        try:
            async with Node(self.settings, self._world()) as node:
                for watch in self.watchers:
                    watch(self, node)
                started.set_result(node)
                self._start_is_over.set()
                stopping = asyncio.ensure_future(self._stop.wait())
                ends: list[asyncio.Future[Any]] = [stopping, node.failed]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                if node.failed.done():
                    self._note("failed", error=node.failed.exception())
        except Exception as error:
            self._note("did not start" if not started.done() else "ended", error=repr(error))
            if started.done():
                raise
            started.set_exception(error)
            self._start_is_over.set()
        self._note("down")
        self.node = self._serving = None

    def _world(self) -> World:
        stream = self._simulation.stream(f"node {self.name} life {self.lives}")
        verdicts = self._simulation.verdicts
        return World(
            now_s=self.clock.now_s,
            processor_s=lambda: 0.0,
            random=stream,
            token_bytes=self._simulation.stream(f"tokens {self.name} life {self.lives}").randbytes,
            disk=self.disk,
            open_verifier=lambda _threads: InlineVerifier(verdicts),
            open_decoder=InlineDecoder,
            open_sockets=open_sockets,
        )

    def _note(self, what: str, **facts: object) -> None:
        self._simulation.trace.note(self.name, what, **facts)
