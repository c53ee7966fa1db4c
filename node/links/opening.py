"""Opening: how a WebSocket for a link comes to be, accepted from a peer or dialled to one.

An accepted socket costs memory before its peer has proved a key. So the node limits how many links it accepts in all,
how many without a proved key, and how many from one network address (loopback is exempt, as everywhere). A peer that
comes past a limit gets an answer over HTTP, before the connection becomes a WebSocket. Some places are for listed
peers: a link shows who it is only by its proof, so a handshake that waits gives way to the next one, and strangers
never get all places for links (see `node.fairness.places`). To open a link costs work, so strangers may open few in a
second, also if they close them at once.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol
from yarl import URL

from node.console.visible_text import clipped
from node.fairness.crowd import Crowd
from node.fairness.places import Places, Source
from node.fairness.prices import Price
from node.faults import Cause, of_network
from node.links.transport import CLOSE_S_MAX, MESSAGE_BYTES_MAX, AcceptedTransport, DialledTransport
from node.settings.loading import SettingsError
from node.settings.settings import Settings
from node.store.contract import Peer
from node.tls import client_context
from protocol.errors import Code, ProtocolError

SUBPROTOCOL: Final = "dnarc.v1"

TOO_MANY: Final = "this node has as many links as it takes"

OPENING_S: Final = 0.002
"""What it costs to open a link, up to the proof of a key. So one address may open 50 a second."""

_RETRY_AFTER_S: Final = 5
_PATH: Final = "/gossip"
_SCHEMES: Final = ("ws://", "wss://")

_FRAMES_WAITING_MAX: Final = 4
"""Frames that `websockets` reads ahead. A frame has up to 1 MiB, and more frames would only cost memory."""

_DETAIL_CHARACTERS_MAX: Final = 300


class Arrival:
    """An accepted link, as a guest of `Places`. Until its peer has proved its key it waits, and may have to go."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.transport: AcceptedTransport | None = None
        self.is_proved = False
        self._since_s = asyncio.get_running_loop().time()

    def waiting_since_s(self) -> float | None:
        return None if self.is_proved or self.transport is None else self._since_s

    def close_for_another(self) -> None:
        assert self.transport is not None, "only a guest that waits has to go"
        self.transport.abort()


class Entrance:
    """Counts the links that peers opened to this node, before and after the proofs of their keys."""

    def __init__(self, settings: Settings, crowd: Crowd) -> None:
        """`settings` gives `links_max`, `handshakes_max` and `links_per_address_max`."""
        self._settings = settings
        self._openings = Price(OPENING_S, crowd)
        self._handshakes = Places(settings.handshakes_max)
        self._links = Places(settings.links_max)
        self._by_network: Counter[str] = Counter()
        self._arrivals: set[Arrival] = set()

    @contextmanager
    def hold_place(self, source: Source) -> Iterator[Arrival]:
        """Count one more link for as long as the block runs. The block gives it its transport.

        Raises:
            ProtocolError: `overloaded`, or `rate_limited` if only this address has too many links.
        """
        arrival = Arrival(source)
        self._check(source)
        self._count_opening(source)
        if not self._handshakes.enter(arrival):
            raise _too_many()
        self._arrivals.add(arrival)
        self._by_network[source.network] += 1
        try:
            yield arrival
        finally:
            self._leave(arrival)

    def admit(self, transport: AcceptedTransport, *, is_listed: bool) -> bool:
        """Give the link a place for good, because its peer has proved its key. False if there is none.

        A listed peer finds a place even if strangers have all that they may have, and wherever it comes from.
        """
        arrival = next(each for each in self._arrivals if each.transport is transport)
        if not self._handshakes.leave(arrival):  # it had to go at this very moment
            return False
        arrival.is_proved = True
        is_stranger = arrival.source.is_stranger and not is_listed
        arrival.source = Source(arrival.source.network, is_stranger, has_share=False)
        return self._links.enter(arrival)

    def _leave(self, arrival: Arrival) -> None:
        self._arrivals.discard(arrival)
        self._handshakes.leave(arrival)
        self._links.leave(arrival)
        self._by_network[arrival.source.network] -= 1
        if not self._by_network[arrival.source.network]:
            del self._by_network[arrival.source.network]

    def _check(self, source: Source) -> None:
        settings = self._settings
        if self._links.taken >= settings.links_max:
            raise _too_many()
        if source.is_stranger and self._by_network[source.network] >= settings.links_per_address_max:
            detail = f"{settings.links_per_address_max} links from {source.network} are open already"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=_RETRY_AFTER_S)

    def _count_opening(self, source: Source) -> None:
        """Raises: ProtocolError: `rate_limited` if strangers open too many links a second."""
        if not self._openings.charge(source):
            detail = f"links are opened too often from {source.network}, or by strangers altogether"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=_RETRY_AFTER_S)


def _too_many() -> ProtocolError:
    return ProtocolError(Code.OVERLOADED, TOO_MANY, retry_after=_RETRY_AFTER_S)


async def accept(request: web.Request, settings: Settings) -> tuple[web.WebSocketResponse, AcceptedTransport]:
    """Turn the request into a WebSocket.

    Raises:
        ProtocolError: `malformed`: the request does not ask for a WebSocket with our subprotocol.
    """
    socket = make_socket(is_compressed=settings.link_compression)
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    if SUBPROTOCOL not in [each.strip() for each in offered.split(",")] or request.method != "GET":
        raise ProtocolError(Code.MALFORMED, f"this is for links: a WebSocket of the subprotocol {SUBPROTOCOL}")
    if not socket.can_prepare(request):
        raise ProtocolError(Code.MALFORMED, "not the opening handshake of a WebSocket, version 13 (RFC 6455)")
    await socket.prepare(request)
    return socket, AcceptedTransport(request, socket)


def make_socket(*, is_compressed: bool) -> web.WebSocketResponse:
    """One end of a link, by aiohttp. `AcceptedTransport` answers its pings and closes."""
    return web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        autoping=False,
        autoclose=False,
        compress=is_compressed,
        max_msg_size=MESSAGE_BYTES_MAX,
    )


def is_linked(peer: Peer) -> bool:
    """Whether this node keeps a link with the peer. Peers with an `http(s)://` URL are synced with instead."""
    return peer.url is not None and peer.url.lower().startswith(_SCHEMES)


def gossip_url(url: str) -> str:
    """Where a peer accepts links: its URL, with `/gossip` appended unless the URL ends so."""
    bare = url.rstrip("/")
    return bare if bare.endswith(_PATH) else bare + _PATH


async def dial(url: str, settings: Settings) -> DialledTransport:
    """Open a WebSocket to the peer with this URL.

    Raises:
        ProtocolError: `unreachable`. The reason does not repeat the URL, because it may hold a password.
    """
    try:
        connection = await connect(
            gossip_url(url),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression="deflate" if settings.link_compression else None,
            ssl=_tls_context(url, settings),
            proxy=None,
            user_agent_header=None,
            max_size=MESSAGE_BYTES_MAX,
            max_queue=_FRAMES_WAITING_MAX,
            ping_interval=None,  # because the link pings by itself, with either library
            open_timeout=settings.peer_timeout,
            close_timeout=CLOSE_S_MAX,
        )
    except InvalidStatus as error:
        raise _unreachable(_refused(error.response.status_code)) from error
    except InvalidMessage as error:
        is_closed = isinstance(error.__cause__, EOFError)
        fault = of_network(ConnectionResetError()) if is_closed else _NOT_HTTP
        raise _unreachable(str(fault)) from error
    except SettingsError as error:
        raise _unreachable(str(error)) from error
    except (InvalidHandshake, InvalidURI, OSError, ValueError) as error:
        raise _unreachable(str(of_network(error))) from error
    if connection.subprotocol != SUBPROTOCOL:
        connection.transport.abort()
        raise _unreachable(f"it does not speak {SUBPROTOCOL}")
    return DialledTransport(connection)


def _refused(status: int) -> str:
    """Why a server answers the opening handshake of a WebSocket with this HTTP status."""
    words = f"it answered with HTTP status {status}"
    match status:
        case 401:
            return f"{words}: a program in front of it asks for a password: list it as ws://NAME:WORD@HOST"
        case 404 | 405:
            return f"{words}: no dnarc node accepts links at this URL: check host, port and path"
        case 400 | 426:
            return f"{words}: a proxy in front of it may not pass WebSockets on"
        case 429:
            return f"{words}: it has as many links from this address as it takes"
        case 502 | 504:
            return f"{words}: a proxy answers, and the node behind it does not"
        case 503:
            return f"{words}: it has as many links as it takes, or a proxy answers for a node that does not run"
    return words


_NOT_HTTP: Final = Cause("the answer there is not HTTP", "check the URL: its port may speak TLS, or another protocol")


def _tls_context(url: str, settings: Settings) -> ssl.SSLContext | None:
    return client_context(settings.tls_ca) if URL(url).scheme == "wss" else None


def _unreachable(reason: str) -> ProtocolError:
    return ProtocolError(Code.UNREACHABLE, f"no link to the peer: {clipped(reason, _DETAIL_CHARACTERS_MAX)}")
