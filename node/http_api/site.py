"""The site: the listening sockets, and connections until they have a place.

`loop.create_server` has two faults. With TLS it tells of a connection only after its handshake, so connections that
send nothing would hold file descriptors that nobody counts. And uvloop accepts one connection in each turn of the loop:
while strangers keep the loop busy, hundreds of connections waited for seconds. So the site accepts connections itself,
`ACCEPTS_MAX` of them in a turn.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import structlog
from aiohttp import web

from node.fairness.places import Source
from node.http_api.connections import ConnectionLimit, Refusing
from node.listening import OpenSockets

SHUTDOWN_S_MAX: Final = 5.0
"""Seconds that the end of TLS may take on a connection that this node closes."""

ACCEPTS_MAX: Final = 32
"""Connections that are accepted in one turn of the loop. To begin with one takes 0.2 ms."""

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

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                connection, peername = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connections are accepted for a moment", reason=str(error), seconds=_PAUSE_S)
                self._pause(listening)
                return
            connection.setblocking(False)
            self._begin(connection, peername)

    def _pause(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_PAUSE_S, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening in self.sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _begin(self, connection: socket.socket, peername: object) -> None:
        if self._is_tls:
            self._begin_tls(connection, self._limit.source_of(peername))
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
