"""The state of each peer of a node, for health, metrics and `GET /peers`. `node.peer_state` says what the states mean.

The state of a peer with an `http(s)://` URL is that of its syncs. The state of any other peer is that of its link.
"""

from collections.abc import Iterator

from node.http_sync.schedule import Sync, is_http
from node.links.registry import Links
from node.peer_state import PeerState, decide
from node.peers import Peers
from node.store.contract import Peer


class PeerStates:
    """Asks the links and the sync of a node for facts, and decides."""

    def __init__(self, peers: Peers, links: Links, sync: Sync) -> None:
        self._peers = peers
        self._links = links
        self._sync = sync

    def of(self, peer: Peer) -> PeerState:
        """The state of this peer now."""
        is_synced = is_http(peer) and (peer.push or peer.pull)
        return decide(peer, (self._sync if is_synced else self._links).facts(peer))

    def all(self) -> Iterator[tuple[Peer, PeerState]]:
        """Each peer of the table, as it was when the node last read it, with its state now."""
        return ((peer, self.of(peer)) for peer in self._peers.last)
