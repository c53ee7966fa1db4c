"""Accepting: who may open a link to this node, and how many may.

A socket that was accepted costs memory before anybody has shown a key, so both those who have not and all together are
counted: from one network address (loopback is exempt, as everywhere) and from all. Whoever comes past a limit is told
so in HTTP, before the connection becomes a WebSocket.
"""

import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol
from yarl import URL

from node.links.transport import CLOSE_S_MAX, MESSAGE_BYTES_MAX, AcceptedWire, DialledWire
from node.settings import Settings, SettingsError
from node.store.contract import Peer
from node.tls import client_context
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


_PATH: Final = "/gossip"
_SCHEMES: Final = ("ws://", "wss://")

_FRAMES_WAITING_MAX: Final = 4
"""Frames that `websockets` reads ahead of us: they are up to 1 MiB each, and more only costs memory."""

_DETAIL_CHARACTERS_MAX: Final = 200


def is_linked(peer: Peer) -> bool:
    """Whether this node dials it; peers with `http(s)://` are synced with."""
    return peer.url is not None and peer.url.lower().startswith(_SCHEMES)


def gossip_url(url: str) -> str:
    """Where a peer's links are: its URL, `/gossip` appended unless it ends so."""
    bare = url.rstrip("/")
    return bare if bare.endswith(_PATH) else bare + _PATH


async def dial(url: str, settings: Settings) -> DialledWire:
    """A WebSocket to the peer of this URL.

    Raises:
        ProtocolError: `unreachable`, with a reason that does not repeat the URL, which may hold a password.
    """
    try:
        connection = await connect(
            gossip_url(url),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression="deflate" if settings.link_compression else None,
            ssl=_context(url, settings),
            proxy=None,
            user_agent_header=None,
            max_size=MESSAGE_BYTES_MAX,
            max_queue=_FRAMES_WAITING_MAX,
            ping_interval=None,  # the link's own pings measure round trips over either library
            open_timeout=settings.peer_timeout,
            close_timeout=CLOSE_S_MAX,
        )
    except TimeoutError as error:
        raise _unreachable("it said nothing for too long") from error
    except InvalidStatus as error:
        raise _unreachable(f"it answered with HTTP status {error.response.status_code}") from error
    except (InvalidHandshake, InvalidURI, SettingsError, OSError, ValueError) as error:
        raise _unreachable(f"{type(error).__name__}: {error}") from error
    if connection.subprotocol != SUBPROTOCOL:
        connection.transport.abort()
        raise _unreachable(f"it does not speak {SUBPROTOCOL}")
    return DialledWire(connection)


def _context(url: str, settings: Settings) -> ssl.SSLContext | None:
    return client_context(settings.tls_ca) if URL(url).scheme == "wss" else None


def _unreachable(reason: str) -> ProtocolError:
    printable = "".join(each if each.isprintable() else "?" for each in reason[:_DETAIL_CHARACTERS_MAX])
    return ProtocolError(Code.UNREACHABLE, f"the peer could not be linked with: {printable}")
