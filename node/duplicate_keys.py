"""Duplicate keys: whether another node runs with this node's key, or with that of a peer, and what to say about it.

This happens if somebody copies a data folder and starts the copy beside the original. `protocol.link.copies` says how a
third node notices it. That node then keeps one link, refuses the other process, and tells both. A node that meets its
own key under another instance, or that is told so by a peer, warns of itself.
"""

import asyncio
from collections.abc import Iterator, Sequence

import structlog

from node.passwords import hidden
from node.store.contract import Peer
from protocol.link.copies import COPIED_S, IS_COPIED, REMEDY, Copies

log = structlog.get_logger()


class DuplicateKeys:
    """What this node knows of keys with which two processes run. `instance` is this node's own."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._copies = Copies()
        self._told: tuple[str, float] | None = None
        """The peer that last said that this node has a copy, and when, in seconds of the loop's clock."""

    def see(self, key: str, instance: str, name: str) -> None:
        """A process has shown that it runs now and holds this key. `name` is for the log."""
        was_copied = self.is_copied(key)
        self._copies.see(key, instance, _now())
        if self.is_copied(key) and not was_copied:
            log.warning("two nodes run with one key", peer=hidden(name), key=key, remedy=REMEDY)

    def is_copied(self, key: str) -> bool:
        """Whether two processes run with this key, as far as this node has seen."""
        return self._copies.is_copied(key, _now())

    def on_told(self, name: str) -> None:
        """The peer with this name has shown or said that another node runs with this node's key."""
        if self.teller is None:
            log.warning("another node runs with this node's key", peer=hidden(name), remedy=REMEDY)
        self._told = name, _now()

    @property
    def teller(self) -> str | None:
        """The peer because of which this node knows that it has a copy. None if it knows of no copy."""
        return self._told[0] if self._told is not None and _now() - self._told[1] < COPIED_S else None

    def warnings(self, peers: Sequence[Peer]) -> Iterator[str]:
        """One sentence for each key with which two nodes run, of this node and of these peers."""
        if self.teller is not None:
            yield f"{IS_COPIED} (seen at the peer {hidden(self.teller)})"
        for key, name in {peer.key: peer.name for peer in peers if peer.key is not None}.items():
            if self.is_copied(key):
                yield f"two nodes run with the key of the peer {hidden(name)}, one of them on a copied folder: {REMEDY}"


def _now() -> float:
    return asyncio.get_running_loop().time()
