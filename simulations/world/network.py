"""A network in memory: hosts with addresses, wires between them, and every fault that a wire and a host can have.

A context variable says on which host code runs. Tasks, timers and asyncio protocols inherit it. So the real node binds
its port and dials without knowing that there is no kernel. A node on the seventh host has the address 10.0.0.7.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from itertools import count
from random import Random
from typing import Any, Final

from simulations.world.connection import End
from simulations.world.pipe import Pipe
from simulations.world.trace import Trace
from simulations.world.wire import Weather, Wire

FIRST_FREE_PORT: Final = 49_152
CONNECT_TRIES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between two tries to connect to a host that does not answer, as in TCP. Real TCP makes one or two
tries more.
"""

_HERE: ContextVar["Host"] = ContextVar("host")


class Host:
    """A machine on the network. `ends`: its ends of open connections, in the order in which they were made."""

    def __init__(self, network: "InMemoryNetwork", name: str, address: str) -> None:
        """`address`: the IPv4 address."""
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
        """Run the code of the block, and the tasks and timers that it makes, on this host."""
        token = _HERE.set(self)
        try:
            yield
        finally:
            _HERE.reset(token)

    def listen(self, take: Callable[[End], object], port: int) -> "VirtualServer":
        """Give each end of an accepted connection to `take`. Raises: OSError: the port is in use."""
        port = port or next(self._free_ports)
        if port in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{self.name} listens on port {port} already")
        listener = self._listeners[port] = VirtualServer(self, take, port)
        return listener

    def listener(self, port: int) -> "VirtualServer | None":
        return self._listeners.get(port)

    def forget(self, listener: "VirtualServer") -> None:
        if self._listeners.get(listener.port) is listener:
            del self._listeners[listener.port]

    def free_port(self) -> int:
        return next(self._free_ports)

    def kill(self) -> None:
        """End the process on this host. Its kernel closes everything that the process had open."""
        self._listeners.clear()
        for end in list(self.ends):
            end.abort()

    def power_cut(self) -> None:
        """Turn the machine off. Nobody is told."""
        self.is_up = False
        self._listeners.clear()
        for end in list(self.ends):
            end.vanish()
        self.ends.clear()

    def power_on(self) -> None:
        """Turn the machine on. A peer that still writes to a connection from before gets a reset."""
        self.is_up = True
        self.network.wake(self)


class VirtualServer:
    """What `create_server` returns: the part of `asyncio.Server` that aiohttp and websockets use. It is its
    own socket.
    """

    def __init__(self, host: Host, take: Callable[[End], object], port: int) -> None:
        """`take`: called with this host's end of each connection."""
        self.port = port
        self.context: Context = copy_context()
        self._host = host
        self.accept = take

    @property
    def sockets(self) -> list["VirtualServer"]:
        return [self] if self.is_serving() else []

    def getsockname(self) -> tuple[str, int]:
        return (self._host.address, self.port)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._host.loop

    def is_serving(self) -> bool:
        return self._host.listener(self.port) is self

    def close(self) -> None:
        self._host.forget(self)

    async def start_serving(self) -> None:
        """Do nothing, because a server here accepts from its making on."""

    async def wait_closed(self) -> None:
        """Do nothing, because `close` takes effect at once."""


class AcceptedSocket:
    """Stands for a socket from its accepting until the virtual loop's `connect_accepted_socket`."""

    def __init__(self, end: End) -> None:
        self.end = end

    def setblocking(self, _flag: bool) -> None:
        """Do nothing, because no call on it blocks."""

    def close(self) -> None:
        self.end.abort()


class ListeningSocket:
    """A socket that listens at a port of the current host. `port` 0: at any free port."""

    def __init__(self, port: int) -> None:
        self._waiting: deque[End] = deque()
        self._tell: Callable[[], object] | None = None
        self._server = _HERE.get().listen(self._put, port)

    def getsockname(self) -> tuple[str, int]:
        return self._server.getsockname()

    def accept(self) -> tuple[AcceptedSocket, tuple[str, int]]:
        """The next connection, and the address of its other end. Raises: BlockingIOError: none waits."""
        if not self._waiting:
            raise BlockingIOError
        end = self._waiting.popleft()
        return AcceptedSocket(end), end.get_extra_info("peername")

    def tell(self, callback: Callable[[], object] | None) -> None:
        """Call this whenever a connection waits; None: no longer."""
        self._tell = callback
        if callback is not None and self._waiting:
            self._server.get_loop().call_soon(callback)

    def close(self) -> None:
        self._server.close()
        while self._waiting:
            self._waiting.popleft().abort()

    def _put(self, end: End) -> None:
        self._waiting.append(end)
        if self._tell is not None:
            self._tell()


async def open_sockets(_host: str, port: int) -> list[Any]:
    """Stands for `node.listening.open_sockets`. A host has one address."""
    return [ListeningSocket(port)]


class InMemoryNetwork:
    """Hosts and the wires between them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, trace: Trace, seed: object, weather: Weather) -> None:
        """`trace`: gets every delivery. `seed`: decides what each wire draws. `weather`: the weather of every wire that
        is not given its own.
        """
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
        """The wire from one host to the other. The first call for a pair makes it."""
        wire = self._wires.get((source, target))
        if wire is None:
            name = f"{source.name}>{target.name}"
            wire = Wire(name, self.weather, Random(f"{self._seed} wire {name}"), self.loop, self.trace)
            self._wires[source, target] = wire
        return wire

    def wires(self) -> Iterable[Wire]:
        """All wires that were ever used."""
        return self._wires.values()

    def reset(self, one: Host, other: Host) -> int:
        """Break every connection between the two hosts. Bytes on their way are lost. Returns the number of
        connections.
        """
        ends = [end for end in one.ends if end.other.host is other]
        error = ConnectionResetError(errno.ECONNRESET, "the connection broke")
        for end in ends:
            end.other.end(error)
            end.end(error)
        return len(ends)

    def wake(self, host: Host) -> None:
        """Resend everything that waits for this host."""
        for (_, target), wire in list(self._wires.items()):
            if target is host and not wire.is_cut:
                wire.wake()

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], host: str | None, port: int) -> VirtualServer:  # noqa: ARG002
        return _HERE.get().listen(lambda end: end.attach(factory()), port)

    def resolve(self, host: str) -> str:
        if host in self._by_address:
            return host
        if host in self.hosts:
            return self.hosts[host].address
        raise OSError(errno.EADDRNOTAVAIL, f"no host is called {host}")

    async def connect(self, host: str, port: int) -> End:
        """Connect as TCP does: one round trip, and longer and longer waits if the host does not answer.

        Raises:
            OSError: no host has this name, no process listens on the port, or the host does not answer.
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
        return await self._shake_hands(source, target, port, out, back)

    async def _shake_hands(self, source: Host, target: Host, port: int, out: Wire, back: Wire) -> End:
        listener = target.listener(port)
        accepted: End | None = None
        here = End(source, (source.address, source.free_port()), (target.address, port))
        if listener is not None and not out.is_refusing:
            accepted = listener.context.copy().run(_join_ends, here, target, out, back)
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


def _join_ends(here: End, target: Host, out: Wire, back: Wire) -> End:
    """Make the other end, on the host that accepts, and the pipes between the two ends. Returns the other end."""
    there = End(target, here.get_extra_info("peername"), here.get_extra_info("sockname"))
    here.other, there.other = there, here
    here.host.ends[here] = there.host.ends[there] = None
    here.outgoing = there.incoming = Pipe(here, there, out, back)
    there.outgoing = here.incoming = Pipe(there, here, back, out)
    return there


def current_host() -> Host | None:
    """The host on which this code runs, or None if it runs on no host."""
    return _HERE.get(None)
