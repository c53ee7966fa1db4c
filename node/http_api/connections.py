"""Connections: how many others may have open here at once, and a word to whoever comes past that.

A connection costs a file descriptor and some kilobytes before it has said anything, so their number has a limit, which
is kept where a connection is made. Who is turned away is told so in HTTP and may read it in peace: a socket that is
closed while the request lies in it unread would be answered by the kernel with a reset, and the words be lost. That
peace has its limits too.
"""

import asyncio
from typing import Final

import msgspec

from node.monitoring.metrics import Traffic
from protocol.errors import Code

LINGER_S: Final = 1.0
LINGERING_MAX: Final = 64
"""Connections turned away that may still read why; past it they are cut off."""

RETRY_AFTER_S: Final = 5

_BODY: Final = msgspec.json.encode(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": Code.OVERLOADED,
        "detail": "as many connections are open here as may be: close some, or come back",
        "retry_after": RETRY_AFTER_S,
    }
)
REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n"
    b"Retry-After: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_BODY), RETRY_AFTER_S, _BODY)
)


class Doors:
    """Counts who comes and goes, in `traffic`."""

    def __init__(self, connections_max: int, traffic: Traffic, linger_s: float = LINGER_S) -> None:
        self._linger_s = linger_s
        self._connections_max = connections_max
        self._traffic = traffic
        self._lingering: set[asyncio.Transport] = set()
        self._is_closed = False

    def enter(self, transport: asyncio.Transport) -> bool:
        """Whether there is room for this connection. Where there is none, it is told so and taken care of."""
        if self._is_closed:  # the kernel had accepted it when the server stopped, and nobody else will end it
            transport.abort()
            return False
        if self._traffic.connections < self._connections_max:
            self._traffic.connections += 1
            return True
        self._traffic.connections_refused += 1
        if len(self._lingering) >= LINGERING_MAX:
            transport.abort()
        else:
            transport.set_protocol(_Refused(transport, self._lingering, self._linger_s))
        return False

    def leave(self) -> None:
        """One that had entered has gone."""
        self._traffic.connections -= 1

    def close(self) -> None:
        """Cut off whoever still reads that there is no room, and whoever comes."""
        self._is_closed = True
        for transport in list(self._lingering):
            transport.abort()


class _Refused(asyncio.Protocol):
    """A connection on its way out: it has been answered, and what it sends is read and left."""

    def __init__(self, transport: asyncio.Transport, lingering: set[asyncio.Transport], linger_s: float) -> None:
        self._transport = transport
        self._lingering = lingering
        lingering.add(transport)
        transport.write(REFUSAL)
        if transport.can_write_eof():
            transport.write_eof()
        self._end = asyncio.get_running_loop().call_later(linger_s, transport.abort)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._end.cancel()
        self._lingering.discard(self._transport)
