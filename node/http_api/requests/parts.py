"""The parts of a node that the HTTP API uses."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from node.convergence import Convergence
from node.duplicate_keys import DuplicateKeys
from node.fairness.crowd import Crowd
from node.fleet.following import Following
from node.fleet.relay import Relay
from node.fleet.standing import Standing
from node.heads import Heads
from node.http_api.requests.proxies import Proxies
from node.http_sync.schedule import Sync
from node.indexes import Indexes
from node.intake.commits import Commits
from node.intake.ingest import Ingest
from node.intake.witnessed_domains import WitnessedDomains
from node.links import Links
from node.metrics import Traffic
from node.monitoring.health import Health
from node.monitoring.peer_states import PeerStates
from node.peers import Peers
from node.removal.erased import Erased
from node.removal.work import RemovalWork
from node.settings.settings import Settings
from node.store.contract import Store
from node.streams import Streams
from node.witness.labels import LabelWalks
from node.witness.waiting import RaceWaiters
from node.witness.witnessing import Witnessing
from node.world import World
from protocol.signing import SigningKey


@dataclass(frozen=True)
class ApiParts:
    """What every handler gets beside its request.

    `started_s` is when the node started, in seconds since the Unix epoch. `key` is the node's own. `admin_token` is the
    secret that an operator sends. The API counts requests and connections in `traffic`, and the work of strangers in
    `crowd`. `proxies` are those that the operator trusts. `standing` is that of a process of a fleet. `following` and
    `relay` are those of a process that follows.
    """

    settings: Settings
    world: World
    started_s: float
    key: SigningKey
    admin_token: str
    store: Store
    indexes: Indexes
    heads: Heads
    witnessed: WitnessedDomains
    walks: LabelWalks
    waiting: RaceWaiters
    witnessing: Witnessing
    commits: Commits
    ingest: Ingest
    streams: Streams
    removals: RemovalWork
    erased: Erased
    peers: Peers
    links: Links
    sync: Sync
    peer_states: PeerStates
    convergence: Convergence
    duplicate_keys: DuplicateKeys
    traffic: Traffic
    health: Health
    registry: CollectorRegistry
    proxies: Proxies
    crowd: Crowd
    standing: Standing | None
    following: Following | None
    relay: Relay | None
