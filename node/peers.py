"""Peers: the table of the remote nodes that this node works with, and how parts of the node notice its changes.

The table belongs to the operator, who may write it over HTTP, with the CLI, or with the `sqlite3` shell while the node
runs. So the parts that work with peers read the table again and again, and check a row when they use it, too.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from yarl import URL

from node.passwords import hidden
from node.store.contract import Peer, Store
from protocol.errors import Code, ProtocolError
from protocol.signing import is_key

PEERS_MAX: Final = 1_000
"""Rows of the table. Each peer costs a connection and a task. A node needs few peers; Plumtree works with five."""

URL_CHARACTERS_MAX: Final = 2_000

_SCHEMES: Final = ("http", "https", "ws", "wss")


class Peers:
    """The peers of one node. Watchers see a change made here at once, and any other when they read the table again.

    `last` is the table as it was when anybody last read it.
    """

    def __init__(self, store: Store) -> None:
        """`store` keeps the table."""
        self.last: Sequence[Peer] = ()
        self._store = store
        self._changes: dict[asyncio.Event, None] = {}  # one for each watcher, in the order in which they began
        self._changing = asyncio.Lock()  # keeps what a change has read from being changed before it writes

    async def list(self) -> list[Peer]:
        """All peers, sorted by name. Rows past `PEERS_MAX`, which only another program can write, are left out."""
        peers = (await self._store.peers())[:PEERS_MAX]
        self.last = peers
        return peers

    async def find(self, name: str) -> Peer | None:
        """The peer with this name: its URL in any spelling or without its password, or its key if it has no URL."""
        names = (name, _normal(name))
        return next((peer for peer in await self.list() if peer.name in names or hidden(peer.name) == name), None)

    async def put(self, peer: Peer) -> Peer:
        """Add a peer, or replace the peer with the same name. Returns the row as it is stored, with its URL normalised.

        Raises:
            ProtocolError: `malformed`: the row lacks something or has a bad value. `too_large`: the table is full.
        """
        checked = _checked(peer)
        async with self._changing:
            others = {other.name for other in await self._store.peers()} - {checked.name}
            if len(others) >= PEERS_MAX:
                raise ProtocolError(Code.TOO_LARGE, f"{PEERS_MAX} peers at most: remove one first", limit=PEERS_MAX)
            await self._store.put_peer(checked)
        self._wake_watchers()
        return checked

    async def pin(self, name: str, key: str) -> None:
        """Store the key that the peer with this name showed first. Does nothing if the peer is gone or has a key."""
        if await self._store.pin_peer(name, key):
            self._wake_watchers()

    async def remove(self, name: str) -> bool:
        """Remove the peer that `find` finds, and its cursors. Returns whether there was one."""
        async with self._changing:
            peer = await self.find(name)
            is_removed = peer is not None and await self._store.remove_peer(peer.name)
        self._wake_watchers()
        return is_removed

    async def watch(self, interval_s: float) -> AsyncGenerator[Sequence[Peer], None]:
        """Yield the table now and after each change of it.

        The table is read every `interval_s` seconds, and at once after a change made here.
        """
        change = asyncio.Event()
        self._changes[change] = None
        last: Sequence[Peer] | None = None
        try:
            while True:
                # Two changes that undo each other count too, because a part may have acted on the first one.
                is_changed = change.is_set()
                change.clear()
                peers = await self.list()
                if is_changed or peers != last:
                    last = peers
                    yield peers
                await _wait(change, interval_s)
        finally:
            self._changes.pop(change, None)

    def _wake_watchers(self) -> None:
        for change in self._changes:
            change.set()


async def _wait(change: asyncio.Event, seconds: float) -> None:
    # `asyncio.wait_for` before Python 3.12 loses a cancellation that comes together with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await change.wait()


def _checked(peer: Peer) -> Peer:
    if peer.key is not None and not is_key(peer.key):
        raise ProtocolError(Code.MALFORMED, "a peer's key is 64 lower-case hex digits")
    if peer.url is not None:
        return msgspec.structs.replace(peer, url=checked_url(peer.url))
    if peer.key is None:
        raise ProtocolError(Code.MALFORMED, "a peer has a URL, or a key if it only dials this node")
    if peer.push or peer.pull:
        detail = "push and pull need a URL: `accept` lets a peer that only dials this node push"
        raise ProtocolError(Code.MALFORMED, detail)
    return peer


def checked_url(text: str) -> str:
    """Normalise the URL of a peer: no fragment, no slash at the end, the host in lower case.

    Raises:
        ProtocolError: `malformed`. The detail does not repeat the URL, because it may hold a password.
    """
    url = _parsed(text)
    if url is None or url.scheme not in _SCHEMES or not url.host or not url.port or url.query_string:
        raise ProtocolError(
            Code.MALFORMED,
            "a peer's URL begins with http://, https://, ws:// or wss://, names a host, and has no query",
        )
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
