"""Peers: the table of remote nodes that this one syncs with, and who notices when it changes.

The table belongs to the operator, who may write it over HTTP, by the CLI, or with the `sqlite3` shell while the node
runs. So whoever works with peers reads it again and again, and what stands in it is checked when it is used, not only
when it is written.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from yarl import URL

from node.store.contract import Peer, Store
from protocol.errors import Code, ProtocolError
from protocol.signing import is_key

PEERS_MAX: Final = 1_000
"""Rows. Each peer costs a connection and a task; a network needs a handful a node (Plumtree: five)."""

URL_CHARACTERS_MAX: Final = 2_000

_SCHEMES: Final = ("http", "https", "ws", "wss")
_PASSWORD = re.compile(r"//([^/?#@:]*):[^?#\s]*@")


class Peers:
    """The peers of one node. A change made here is noticed at once, one made elsewhere when the table is read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: dict[asyncio.Event, None] = {}  # told in the order in which they began to watch
        self._changing = asyncio.Lock()  # what is read before a change must still be so when it is made

    async def list(self) -> list[Peer]:
        """All peers, by name; rows past `PEERS_MAX` that another program wrote are left out."""
        return (await self._store.peers())[:PEERS_MAX]

    async def find(self, name: str) -> Peer | None:
        """The peer with this URL, in any spelling or with its password hidden, or with this key where it has no URL."""
        names = (name, _normal(name))
        return next((peer for peer in await self.list() if peer.name in names or hidden(peer.name) == name), None)

    async def put(self, peer: Peer) -> Peer:
        """Add a peer, or replace the one of the same name. Returns it as it is kept, its URL in the usual spelling.

        Raises:
            ProtocolError: `malformed` or `too_large`, with what a peer needs.
        """
        checked = _checked(peer)
        async with self._changing:
            others = {other.name for other in await self._store.peers()} - {checked.name}
            if len(others) >= PEERS_MAX:
                raise ProtocolError(Code.TOO_LARGE, f"{PEERS_MAX} peers at most: remove one first", limit=PEERS_MAX)
            await self._store.put_peer(checked)
        self._tell()
        return checked

    async def pin(self, name: str, key: str) -> None:
        """Remember the key that the peer of this name showed first. A peer that is gone, or has a key, stays so."""
        if await self._store.pin_peer(name, key):
            self._tell()

    async def remove(self, name: str) -> bool:
        """Forget the peer that `find` finds, and its cursors. Returns whether there was one."""
        async with self._changing:
            peer = await self.find(name)
            is_removed = peer is not None and await self._store.remove_peer(peer.name)
        self._tell()
        return is_removed

    async def watch(self, interval_s: float) -> AsyncGenerator[Sequence[Peer], None]:
        """The table as it is, and again after every change; read each `interval_s`, and at once after a change made
        here.
        """
        change = asyncio.Event()
        self._changes[change] = None
        last: Sequence[Peer] | None = None
        try:
            while True:
                # Two changes that undo each other are told too: in between, somebody may have gone by the first.
                is_told = change.is_set()
                change.clear()
                peers = await self.list()
                if is_told or peers != last:
                    last = peers
                    yield peers
                await _wait(change, interval_s)
        finally:
            self._changes.pop(change, None)

    def _tell(self) -> None:
        for change in self._changes:
            change.set()


def hidden(name: str) -> str:
    """A peer's name without the password that its URL may have: fit for answers and logs. Any string is."""
    return _PASSWORD.sub(r"//\1:***@", name)


async def _wait(change: asyncio.Event, seconds: float) -> None:
    # Not `wait_for`, which before Python 3.12 loses a cancellation that comes together with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await change.wait()


def _checked(peer: Peer) -> Peer:
    if peer.key is not None and not is_key(peer.key):
        raise ProtocolError(Code.MALFORMED, "a peer's key is 64 lower-case hex digits")
    if peer.url is not None:
        return msgspec.structs.replace(peer, url=checked_url(peer.url))
    if peer.key is None:
        raise ProtocolError(Code.MALFORMED, "a peer has a URL, or, where it only dials us, a key")
    if peer.push or peer.pull:
        detail = "push and pull need a URL: what a peer that only dials us may push is said by `accept`"
        raise ProtocolError(Code.MALFORMED, detail)
    return peer


def checked_url(text: str) -> str:
    """The URL of a peer in its usual spelling: no fragment, no slash at the end, the host in lower case.

    Raises:
        ProtocolError: `malformed`, without repeating the URL, which may hold a password.
    """
    url = _parsed(text)
    if url is None or url.scheme not in _SCHEMES or not url.host or not url.port or url.query_string:
        raise ProtocolError(Code.MALFORMED, "a peer's URL is like http://host:port or ws://host:port, without a query")
    return str(url).rstrip("/")


def _parsed(text: str) -> URL | None:
    if len(text) > URL_CHARACTERS_MAX:
        return None
    try:
        return URL(text).with_fragment(None)
    except ValueError:
        return None


def _normal(name: str) -> str:
    try:
        return checked_url(name)
    except ProtocolError:
        return name
