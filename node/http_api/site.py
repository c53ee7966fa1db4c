"""The site: the listening sockets, and connections until they have a place.

`loop.create_server` has two faults. With TLS it tells of a connection only after its handshake, so connections that
send nothing would hold file descriptors that nobody counts. And uvloop accepts one connection in each turn of the loop:
while strangers keep the loop busy, hundreds of connections waited for seconds. So the site accepts connections itself,
`ACCEPTS_MAX` of them in a turn.

To accept a connection takes 0.02 ms, to begin with it 0.2 ms. Strangers that connect and reset at once fill the queue
of the kernel with connections that wait for their beginning. Packets of further clients are lost then, and are sent
again after 1 to 3 s. So the queue is emptied first, and a stranger's connection begins when it is its turn as input of
its address. At most `WAITING_MAX` connections wait, a quarter of them from one network. Further ones are closed.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import structlog
from aiohttp import web

from node.fairness.addresses import neighbours_of
from node.fairness.places import Source
from node.http_api.connections import ConnectionLimit, Refusing
from node.http_api.input_meter import Wait
from node.listening import OpenSockets

SHUTDOWN_S_MAX: Final = 5.0
"""Seconds that the end of TLS may take on a connection that this node closes."""

ACCEPTS_MAX: Final = 128
"""Connections that are accepted in one turn of the loop, in 3 ms."""

BEGINNINGS_MAX: Final = 32
"""Connections that begin at once in one turn of the loop. For those of strangers, a turn has less time."""

BEGINNING_REQUESTS: Final = 2
"""To begin with a connection counts as this many requests: 0.2 ms."""

WAITING_MAX: Final = 256
"""Connections of strangers that wait for their beginning. Each takes a file descriptor."""

_PAUSE_S: Final = 1.0
"""Seconds without accepting after the system refused, for example because the process has no file descriptor left."""

log = structlog.get_logger()


class Handshake:
    """A connection until the end of its handshake, as a guest that waits."""

    task: asyncio.Task[None]

    def __init__(self, source: Source) -> None:
        self.source = source
        self._since_s = asyncio.get_running_loop().time()

    def waiting_since_s(self) -> float | None:
        return self._since_s

    def close_for_another(self) -> None:
        self.task.cancel()

    def abort(self) -> None:
        self.task.cancel()


class Connector(Protocol):
    """Makes the protocol of a connection whose handshake has succeeded. The protocol takes over its place."""

    def __call__(self, handshake: Handshake | None = None) -> asyncio.Protocol: ...


class Site(web.BaseSite):
    """Where the application listens."""

    def __init__(
        self,
        runner: web.AppRunner,
        listener: "Listener",
        open_sockets: OpenSockets,
        address: tuple[str, int],
        given: Sequence[socket.socket] | None,
    ) -> None:
        """`address` is a host and a port. `given` are sockets that listen already, and stay open; None: `open_sockets`
        makes them.
        """
        super().__init__(runner)
        self._listener = listener
        self._open_sockets = open_sockets
        self._address = address
        self._given = given

    @property
    def name(self) -> str:
        return "{}:{}".format(*self._address)

    async def start(self) -> None:
        await super().start()
        given = self._given
        self._listener.listen(await self._open_sockets(*self._address) if given is None else [it.dup() for it in given])
        self._server = self._listener  # type: ignore[assignment]  # aiohttp asks for `sockets` and `close` alone


class Listener:
    """Listening sockets, and the connections that begin."""

    def __init__(
        self,
        context: ssl.SSLContext | None,
        limit: ConnectionLimit,
        connect: Connector,
        handshake_s: float,
    ) -> None:
        """`context`: None for connections without TLS. A handshake may take `handshake_s` seconds."""
        self.sockets: list[socket.socket] = []
        self._limit = limit
        self._connect = connect
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: dict[socket.socket, Wait] = {}
        self._waiting_by_network: Counter[str] = Counter()
        self._is_tls = context is not None
        self._take_over = partial(
            asyncio.get_running_loop().connect_accepted_socket,
            ssl=context,
            ssl_handshake_timeout=handshake_s if self._is_tls else None,
            ssl_shutdown_timeout=SHUTDOWN_S_MAX if self._is_tls else None,
        )

    def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections from these sockets, and close them in the end."""
        self.sockets += sockets
        for listening in self.sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accept no more connections."""
        for listening in self.sockets:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self.sockets.clear()
        for connection, wait in self._waiting.items():
            wait.cancel()
            connection.close()
        self._waiting.clear()

    def _accept(self, listening: socket.socket) -> None:
        begun = 0
        for _ in range(ACCEPTS_MAX):
            if begun == BEGINNINGS_MAX:
                return
            try:
                connection, peername = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connections are accepted for a moment", reason=str(error), seconds=_PAUSE_S)
                self._pause(listening)
                return
            connection.setblocking(False)
            begun += self._admit(connection, self._limit.source_of(peername))

    def _admit(self, connection: socket.socket, source: Source) -> bool:
        """Begin with a connection now or when it is its turn, or close it. Returns whether it has begun."""
        meter, payer = self._limit.input_meter, source.payer
        if payer is not None and (not meter.has_time or meter.is_over(payer)):
            self._let_wait(connection, source, payer)
            return False
        if payer is not None:
            meter.charge(payer, BEGINNING_REQUESTS)
        self._begin(connection, source)
        return True

    def _let_wait(self, connection: socket.socket, source: Source, payer: str) -> None:
        network = neighbours_of(payer)
        if len(self._waiting) >= WAITING_MAX or self._waiting_by_network[network] >= WAITING_MAX // 4:
            connection.close()
            self._limit.count_refused()
            return

        def begin() -> None:
            del self._waiting[connection]
            self._waiting_by_network[network] -= 1
            if not self._waiting_by_network[network]:
                del self._waiting_by_network[network]
            self._limit.input_meter.charge(payer, BEGINNING_REQUESTS)
            self._begin(connection, source)

        self._waiting[connection] = self._limit.input_meter.wait(payer, begin)
        self._waiting_by_network[network] += 1

    def _pause(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_PAUSE_S, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening in self.sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _begin(self, connection: socket.socket, source: Source) -> None:
        if self._is_tls:
            self._begin_tls(connection, source)
            return
        task = asyncio.get_running_loop().create_task(self._open(connection, self._connect))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _begin_tls(self, connection: socket.socket, source: Source) -> None:
        """Begin the handshake, also with a connection that got no place: its refusal needs one."""
        if not self._limit.may_shake_hands(source):
            connection.close()
            return
        handshake = Handshake(source)
        if self._limit.enter(handshake):
            make: Callable[[], asyncio.Protocol] = partial(self._connect, handshake)
        else:
            self._limit.linger(handshake)
            make = partial(Refusing, self._limit)
        handshake.task = asyncio.get_running_loop().create_task(self._open(connection, make))
        handshake.task.add_done_callback(partial(self._on_end, handshake, connection))

    async def _open(self, connection: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        with suppress(OSError):  # it broke off; with TLS also ssl.SSLError: this is no TLS, or it took too long
            await self._take_over(make, connection)

    def _on_end(self, handshake: Handshake, connection: socket.socket, task: asyncio.Task[None]) -> None:
        """The handshake has ended. If it has succeeded, another guest has its place by now."""
        if task.cancelled():
            connection.close()  # nobody else does if the task had not begun
        self._limit.forget(handshake)
        self._limit.leave(handshake)
