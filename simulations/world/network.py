"""A network in memory: hosts with addresses, wires between them, and every fault that a wire and a host can have.

On which host code runs is known by a context variable (`on`), which tasks, timers and protocols inherit: so the real
node binds its port, and dials, without being told that there is no kernel. A node on host 7 is at 10.0.0.7.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from itertools import count
from random import Random
from typing import Final

from simulations.world.connection import End
from simulations.world.pipe import Pipe
from simulations.world.trace import Trace
from simulations.world.wire import Weather, Wire

FIRST_FREE_PORT: Final = 49_152
CONNECT_TRIES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Waits between two tries to connect to a host that does not answer: TCP's, though it goes on for longer."""

_HERE: ContextVar["Host"] = ContextVar("host")


class Host:
    """A machine on the network. `ends` are its open connections, in the order in which they were made."""

    def __init__(self, network: "InMemoryNetwork", name: str, address: str) -> None:
        self.network = network
        self.loop = network.loop
        self.name = name
        self.address = address
        self.is_up = True
        self.ends: dict[End, None] = {}
        self._listeners: dict[int, VirtualServer] = {}
        self._free_ports = count(FIRST_FREE_PORT)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Whatever is begun within is begun on this host."""
        token = _HERE.set(self)
        try:
            yield
        finally:
            _HERE.reset(token)

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], port: int) -> "VirtualServer":
        port = port or next(self._free_ports)
        if port in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{self.name} listens on port {port} already")
        listener = self._listeners[port] = VirtualServer(self, factory, port)
        return listener

    def listener(self, port: int) -> "VirtualServer | None":
        return self._listeners.get(port)

    def forget(self, listener: "VirtualServer") -> None:
        if self._listeners.get(listener.port) is listener:
            del self._listeners[listener.port]

    def free_port(self) -> int:
        return next(self._free_ports)

    def kill(self) -> None:
        """The process ends: its kernel closes all that it had open."""
        self._listeners.clear()
        for end in list(self.ends):
            end.abort()

    def power_cut(self) -> None:
        """The machine is gone, and nobody is told."""
        self.is_up = False
        self._listeners.clear()
        for end in list(self.ends):
            end.vanish()
        self.ends.clear()

    def power_on(self) -> None:
        """It answers again: whoever still writes to a connection that it forgot is told so."""
        self.is_up = True
        self.network.wake(self)


class VirtualServer:
    """What `create_server` gives: as much of `asyncio.Server` as servers here ask for, and its own socket."""

    def __init__(self, host: Host, factory: Callable[[], asyncio.BaseProtocol], port: int) -> None:
        self.port = port
        self.context: Context = copy_context()
        self._host = host
        self._factory = factory

    @property
    def sockets(self) -> list["VirtualServer"]:
        return [self] if self.is_serving() else []

    def getsockname(self) -> tuple[str, int]:
        return (self._host.address, self.port)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._host.loop

    def is_serving(self) -> bool:
        return self._host.listener(self.port) is self

    def accept(self, end: End) -> None:
        end.attach(self._factory())

    def close(self) -> None:
        self._host.forget(self)

    async def start_serving(self) -> None:
        """It serves already."""

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""


class InMemoryNetwork:
    """Hosts and wires. Every wire has the default weather until it is given its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, trace: Trace, seed: object, weather: Weather) -> None:
        self.loop = loop
        self.trace = trace
        self.hosts: dict[str, Host] = {}
        self.weather = weather
        self._by_address: dict[str, Host] = {}
        self._wires: dict[tuple[Host, Host], Wire] = {}
        self._seed = seed

    def add_host(self, name: str) -> Host:
        number = len(self.hosts) + 1
        host = Host(self, name, f"10.0.{number // 256}.{number % 256}")
        self.hosts[name] = self._by_address[host.address] = host
        return host

    def wire(self, source: Host, target: Host) -> Wire:
        """The way from one to the other."""
        wire = self._wires.get((source, target))
        if wire is None:
            name = f"{source.name}>{target.name}"
            wire = Wire(name, self.weather, Random(f"{self._seed} wire {name}"), self.loop, self.trace)
            self._wires[source, target] = wire
        return wire

    def wires(self) -> Iterable[Wire]:
        """All that were ever used."""
        return self._wires.values()

    def reset(self, one: Host, other: Host) -> int:
        """Break every connection between the two; what is under way is lost. Returns how many there were."""
        ends = [end for end in one.ends if end.other.host is other]
        error = ConnectionResetError(errno.ECONNRESET, "the connection broke")
        for end in ends:
            end.other.end(error)
            end.end(error)
        return len(ends)

    def wake(self, host: Host) -> None:
        for (_, target), wire in list(self._wires.items()):
            if target is host and not wire.is_cut:
                wire.wake()

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], host: str | None, port: int) -> VirtualServer:  # noqa: ARG002
        return _HERE.get().listen(factory, port)

    def resolve(self, host: str) -> str:
        if host in self._by_address:
            return host
        if host in self.hosts:
            return self.hosts[host].address
        raise OSError(errno.EADDRNOTAVAIL, f"no host is called {host}")

    async def connect(self, host: str, port: int) -> End:
        """As TCP does: a round trip, and longer and longer waits where nobody answers.

        Raises:
            OSError: nobody listens there, or nothing answers.
        """
        source, target = _HERE.get(), self._by_address[self.resolve(host)]
        out, back = self.wire(source, target), self.wire(target, source)
        for pause_s in CONNECT_TRIES_S:
            await asyncio.sleep(out.delay_s(0))
            if not out.is_cut and not back.is_cut and target.is_up:
                break
            await asyncio.sleep(pause_s)
        else:
            raise TimeoutError(errno.ETIMEDOUT, f"{target.name} does not answer")
        return await self._connected(source, target, port, out, back)

    async def _connected(self, source: Host, target: Host, port: int, out: Wire, back: Wire) -> End:
        listener = target.listener(port)
        accepted: End | None = None
        here = End(source, (source.address, source.free_port()), (target.address, port))
        if listener is not None and not out.is_refusing:
            accepted = listener.context.copy().run(_joined, here, target, out, back)
            self.loop.call_soon(listener.accept, accepted, context=listener.context.copy())
        try:
            await asyncio.sleep(back.delay_s(0))
        except BaseException:
            if accepted is not None:
                here.abort()
            raise
        if accepted is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{target.name} refuses connections to port {port}")
        return here


def _joined(here: End, target: Host, out: Wire, back: Wire) -> End:
    """The other end, on the host that accepts."""
    there = End(target, here.get_extra_info("peername"), here.get_extra_info("sockname"))
    here.other, there.other = there, here
    here.host.ends[here] = there.host.ends[there] = None
    here.outgoing = there.incoming = Pipe(here, there, out, back)
    there.outgoing = here.incoming = Pipe(there, here, back, out)
    return there


def current_host() -> Host | None:
    """The host on which this code runs; None: outside of all."""
    return _HERE.get(None)
