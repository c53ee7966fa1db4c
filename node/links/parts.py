"""The parts of a node that its links use."""

from dataclasses import dataclass

from node.convergence import Convergence
from node.duplicate_keys import DuplicateKeys
from node.fairness.crowd import Crowd
from node.fairness.turns import Turns
from node.indexes import Indexes
from node.intake.commits import Commits
from node.intake.ingest import Ingest
from node.peers import Peers
from node.settings.settings import Settings
from node.store.contract import Store
from node.world import World
from protocol.signing import SigningKey


@dataclass(frozen=True)
class LinkParts:
    """What links read, where their records go, and where they say how well they do.

    `key` is the node's own: the node proves it to each peer. `agent` is what peers are told that this node runs, for
    example `dnarc/1.0`. `crowd` counts the work of strangers.
    """

    settings: Settings
    world: World
    key: SigningKey
    agent: str
    store: Store
    indexes: Indexes
    ingest: Ingest
    commits: Commits
    peers: Peers
    convergence: Convergence
    duplicate_keys: DuplicateKeys
    turns: Turns
    crowd: Crowd
