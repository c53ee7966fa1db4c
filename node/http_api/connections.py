"""Connections: a limit on how many are open, and a short answer to a connection past the limit.

A connection costs a file descriptor and some kilobytes before it has sent anything. So the limit applies where a
connection is made. A refused connection gets an answer in HTTP and a moment to read the answer: if the socket closed
while an unread request lay in it, the kernel would send a reset, and the client would lose the answer. The number of
these moments is limited too.
"""

import asyncio
from typing import Final

import msgspec

from node.metrics import Traffic
from protocol.errors import Code

LINGER_S: Final = 1.0
"""Seconds that a refused connection stays open to read the answer."""

LINGERING_MAX: Final = 64
"""Refused connections that may be open at once. Any further one is cut off without an answer."""

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


class ConnectionLimit:
    """Admits connections up to a limit."""

    def __init__(self, connections_max: int, traffic: Traffic, linger_s: float = LINGER_S) -> None:
        """`traffic` counts the connections. A refused one is closed `linger_s` seconds after its answer."""
        self._linger_s = linger_s
        self._connections_max = connections_max
        self._traffic = traffic
        self._lingering: set[asyncio.Transport] = set()
        self._is_closed = False

    def admit(self, transport: asyncio.Transport) -> bool:
        """Whether there is room for this connection. If not, the refusal is sent and the connection is closed here."""
        if self._is_closed:  # the kernel had accepted it before the server stopped, and nothing else closes it
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

    def release(self) -> None:
        """A connection that was admitted has closed."""
        self._traffic.connections -= 1

    def close(self) -> None:
        """Cut off all refused connections, and every connection that still comes."""
        self._is_closed = True
        for transport in list(self._lingering):
            transport.abort()


class _Refused(asyncio.Protocol):
    """A refused connection: it gets its answer, and what it sends is ignored until it closes."""

    def __init__(self, transport: asyncio.Transport, lingering: set[asyncio.Transport], linger_s: float) -> None:
        """`lingering` holds all refused connections that are open."""
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
