"""The parts of a node that a sync run uses."""

from dataclasses import dataclass

from node.convergence import Convergence
from node.duplicate_keys import DuplicateKeys
from node.indexes import Indexes
from node.intake.ingest import Ingest
from node.peers import Peers
from node.settings.settings import Settings
from node.store.contract import Store
from node.world import World
from protocol.signing import SigningKey


@dataclass(frozen=True)
class SyncParts:
    """What runs read, and where their records go. `key` is the node's own: pushes are signed with it."""

    settings: Settings
    world: World
    key: SigningKey
    store: Store
    indexes: Indexes
    ingest: Ingest
    peers: Peers
    convergence: Convergence
    duplicate_keys: DuplicateKeys

    def keeps(self, domain: str) -> bool:
        """Whether this node keeps records of the domain."""
        kept = self.settings.domains
        return domain not in self.indexes.dropped and (kept is None or domain in kept)
