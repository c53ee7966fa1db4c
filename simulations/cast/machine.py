"""A machine with one node on it: started, stopped, killed, cut from power, with a clock and a disk of its own.

What runs is the real `Node`; what is made here is its world. A node that is killed or loses its power is a `Life` that
is over: whatever it had begun goes no further, and the next start finds the disk as it was at that moment.
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final

import msgspec

from node.node import Node
from node.settings import Settings
from node.store.contract import Peer
from node.world import World
from simulations.world.disk import VirtualDisk
from simulations.world.simulation import Simulation
from simulations.world.verification import InlineDecoder, InlineVerifier
from simulations.world.virtual_time import LIFE, Life

PORT: Final = 8080
FOLDER: Final = Path("/data")
START_S_MAX: Final = 600.0


class Clock:
    """A machine's wall clock: so many seconds beside the true one, and so many more with each second that passes."""

    def __init__(self, now_s: Callable[[], float], offset_s: float = 0.0, drift: float = 0.0) -> None:
        self.offset_s = offset_s
        self._begin_s = now_s()
        self._drift = drift
        self._true_s = now_s

    def now_s(self) -> float:
        true_s = self._true_s()
        return true_s + self.offset_s + self._drift * (true_s - self._begin_s)


class Machine:
    """One machine. `node` is None while none runs; `key` is the node's, once it ran.

    `watchers` are called with every node that starts, before it takes anything in.
    """

    def __init__(self, simulation: Simulation, name: str, settings: dict[str, Any], clock: Clock | None = None) -> None:
        self.name = name
        self.host = simulation.network.add_host(name)
        self.disk = VirtualDisk(simulation.stream(f"disk {name}"))
        self.clock = clock or Clock(simulation.now_s)
        self.node: Node | None = None
        self.key: str = ""
        self.lives = 0
        self.watchers: list[Callable[[Machine, Node], None]] = []
        self.settings = msgspec.convert(
            {"host": self.host.address, "port": PORT, "data": FOLDER, "verify_threads": 1} | settings, Settings
        )
        self._simulation = simulation
        self._life = Life()
        self._stop = asyncio.Event()
        self._is_decided = asyncio.Event()
        """Whether the start has come to an end, whatever it is."""
        self._serving: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether its node runs, or is being started."""
        return self._serving is not None

    @property
    def running(self) -> Node:
        assert self.node is not None, f"{self.name} is down"
        return self.node

    def url(self, scheme: str = "ws") -> str:
        return f"{scheme}://{self.host.address}:{PORT}"

    async def trust(self, key: str) -> None:
        """List this key as a peer that may push. Nothing happens if the node is down or its disk fails."""
        if self.node is not None and not self.disk.is_failing:
            await self.node.peers.put(Peer(key=key, accept=True))

    async def start(self) -> None:
        """Start the node, and wait until it answers, or is killed before that. Raises: whatever keeps it from it."""
        if self._serving is not None:
            await self._is_decided.wait()
            return
        if not self.host.is_up:
            self.host.power_on()
        self.lives += 1
        self._life, self._stop, self._is_decided = Life(), asyncio.Event(), asyncio.Event()
        started: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        with self.host.here():
            context = copy_context()
        context.run(LIFE.set, self._life)
        self._serving = asyncio.get_running_loop().create_task(self._serve(started), context=context)
        async with asyncio.timeout(START_S_MAX):
            await self._is_decided.wait()
        if started.done():
            self.node = started.result()
            self.key = self.node.key.public
            self._note("up", life=self.lives)

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        if self._serving is not None:
            self._stop.set()
            await self._serving

    async def kill(self) -> None:
        """End the process in no time; its kernel closes what it had open."""
        if self._serving is not None:
            self._note("killed")
            self.host.kill()
            await self._end()

    async def power_cut(self) -> None:
        """The machine is dark at once, and says nothing to anybody."""
        if self._serving is not None:
            self._note("power cut")
            self.host.power_cut()
            await self._end()

    async def _end(self) -> None:
        self.node = self._serving = None
        self.disk.power_cut()
        self._is_decided.set()
        await self._simulation.loop.end_life(self._life)

    async def _serve(self, started: "asyncio.Future[Node]") -> None:
        """What `dnarc serve` does."""
        try:
            async with Node(self.settings, self._world()) as node:
                for watch in self.watchers:
                    watch(self, node)
                started.set_result(node)
                self._is_decided.set()
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
            self._is_decided.set()
        self._note("down")
        self.node = self._serving = None

    def _world(self) -> World:
        stream = self._simulation.stream(f"node {self.name} life {self.lives}")
        verdicts = self._simulation.verdicts
        return World(
            now_s=self.clock.now_s,
            random=stream,
            token_bytes=self._simulation.stream(f"tokens {self.name} life {self.lives}").randbytes,
            disk=self.disk,
            open_verifier=lambda _threads: InlineVerifier(verdicts),
            open_decoder=InlineDecoder,
        )

    def _note(self, what: str, **facts: object) -> None:
        self._simulation.trace.note(self.name, what, **facts)
