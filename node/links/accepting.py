"""Accepting: who may open a link to this node, and how many may.

A socket that was accepted costs memory before anybody has shown a key, so both those who have not and all together are
counted: from one network address (loopback is exempt, as everywhere) and from all. Whoever comes past a limit is told
so in HTTP, before the connection becomes a WebSocket.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from node.links.wire import MESSAGE_BYTES_MAX, AcceptedWire
from node.settings import Settings
from protocol.errors import Code, ProtocolError

SUBPROTOCOL: Final = "dnarc.v1"

_RETRY_AFTER_S: Final = 5


class Entrance:
    """Counts the links that others opened to this node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_address: Counter[str | None] = Counter()
        self.accepted = 0

    @contextmanager
    def entered(self, address: str | None, proven: int) -> Iterator[None]:
        """Hold a place. `address` is what quotas count under, None where they do not; of those who are here, `proven`
        have shown a key.

        Raises:
            ProtocolError: `overloaded`, or `rate_limited` where it is this address alone that has too many.
        """
        self._check(address, proven)
        self.accepted += 1
        self._by_address[address] += 1
        try:
            yield
        finally:
            self.accepted -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _check(self, address: str | None, proven: int) -> None:
        settings = self._settings
        if self.accepted >= settings.links_max or self.accepted - proven >= settings.handshakes_max:
            detail = "this node has as many links as it takes"
            raise ProtocolError(Code.OVERLOADED, detail, retry_after=_RETRY_AFTER_S)
        if address is not None and self._by_address[address] >= settings.links_per_address_max:
            detail = f"{settings.links_per_address_max} links from {address} are open already"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=_RETRY_AFTER_S)


async def upgrade(request: web.Request, settings: Settings) -> tuple[web.WebSocketResponse, AcceptedWire]:
    """Make a WebSocket of the request.

    Raises:
        ProtocolError: `malformed`: it is not a request for one that speaks our subprotocol.
    """
    socket = make_socket(is_compressed=settings.link_compression)
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if SUBPROTOCOL not in [each.strip() for each in offered.split(",")] or request.method != "GET":
        raise ProtocolError(Code.MALFORMED, f"this is for links: a WebSocket of the subprotocol {SUBPROTOCOL}")
    if not socket.can_prepare(request):
        raise ProtocolError(Code.MALFORMED, "not the opening handshake of a WebSocket, version 13 (RFC 6455)")
    await socket.prepare(request)
    return socket, AcceptedWire(request, socket)


def make_socket(*, is_compressed: bool) -> web.WebSocketResponse:
    """One end of a link, by aiohttp; `AcceptedWire` answers its pings and closes."""
    return web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        autoping=False,
        autoclose=False,
        compress=is_compressed,
        max_msg_size=MESSAGE_BYTES_MAX,
    )
