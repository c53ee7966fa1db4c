"""Dialling: how this node opens a link to a peer that it lists by a `ws://` or `wss://` URL."""

import ssl
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol
from yarl import URL

from node.links.accepting import SUBPROTOCOL
from node.links.wire import CLOSE_S_MAX, MESSAGE_BYTES_MAX, DialledWire
from node.settings import Settings, SettingsError
from node.store.contract import Peer
from node.tls import client_context
from protocol.errors import Code, ProtocolError

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
