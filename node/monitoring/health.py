"""Health: what keeps a node from its work, and what somebody should look at before that happens.

A *problem* makes `GET /health` fail. So only a fault that a restart of this node, or less load on it, could mend is a
problem. A *warning* leaves the node healthy, because a peer that is down must not make an orchestrator restart all
other nodes. Each is a sentence that says what is wrong and what to do. Problems are also logged, once when they begin
and once when they end.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import structlog

from node.clocks import REMEDY, differs, in_words, moment
from node.disk import store_bytes
from node.duplicate_keys import DuplicateKeys
from node.fleet.standing import STALE_S, Standing
from node.http_sync.schedule import Sync, is_http
from node.intake.commits import STALLED_S, Commits
from node.intake.room import Room
from node.links.registry import Links
from node.metrics import Traffic
from node.monitoring.peer_states import PeerStates
from node.monitoring.witness_warnings import warnings_of, warnings_of_peers
from node.passwords import hidden
from node.peer_state import PeerState
from node.removal.work import RemovalWork
from node.settings.settings import Settings
from node.store.outage import Outages
from node.tls import Certificate
from node.witness.watched import WatchedDomains
from node.world import World
from node.write_plugin.plugin import WritePlugin

LOOK_EVERY_S: Final = 5.0

LOG_BYTES_WARNED: Final = 1_073_741_824
"""Bytes of the write-ahead log. SQLite empties it at 64 MB unless a program reads the database without an end."""

TURNED_AWAY_WARNED_S: Final = 60.0
"""Seconds that a warning stays after somebody was last turned away."""

_HIDDEN_WARNINGS: Final = "{} about peers: only callers on the node's machine see them, and those with the admin token"

PROXY_WARNED_S: Final = 3_600.0
"""Seconds that a warning about a proxy stays after its last request."""

log = structlog.get_logger()


class Looked(msgspec.Struct, frozen=True):
    """The parts that health looks at.

    `room` knows whether the disk is full, `commits` whether the store failed or is slow, `traffic` how many connections
    are open, `sync` and `links` the clocks of peers, `peers` which peers fail, `duplicate_keys` the keys with which two
    nodes run, `outages` whether the database is away (None: it cannot be), `watched` how witnesses are, `plugin`
    whether the operator's program works (None: there is no program), `certificate` when it ends (None: plain HTTP).
    `removals` knows which dropped domains are not gone yet. `standing` is that of a process of a fleet.
    """

    world: World
    room: Room
    commits: Commits
    traffic: Traffic
    sync: Sync
    links: Links
    peers: PeerStates
    duplicate_keys: DuplicateKeys
    outages: Outages | None
    watched: WatchedDomains
    plugin: WritePlugin | None
    certificate: Certificate | None
    removals: RemovalWork
    standing: Standing | None


class Health:
    """Looks at the parts of a node that can keep it from its work."""

    def __init__(self, settings: Settings, parts: Looked) -> None:
        self._settings = settings
        self._world = parts.world
        self._room = parts.room
        self._commits = parts.commits
        self._traffic = parts.traffic
        self._sync = parts.sync
        self._links = parts.links
        self._peers = parts.peers
        self._duplicate_keys = parts.duplicate_keys
        self._outages = parts.outages
        self._watched = parts.watched
        self._plugin = parts.plugin
        self._certificate = parts.certificate
        self._removals = parts.removals
        self._standing = parts.standing

    def problems(self) -> list[str]:
        """Why the node cannot do its work, one sentence each. Empty if all is well."""
        found = []
        if self._commits.failed.done():
            why = self._commits.failed.exception()
            found.append(f"the node has failed ({why}): it takes nothing more, and has to be started again")
        if self._outages is not None and self._outages.reading.trouble is not None:
            found.append("the database is away: requests that need it get 503 until it is back")
        elif self._outages is not None and self._outages.writing.trouble is not None:
            found.append("the database takes no writes: writes get 503 until it does")
        if self._standing is not None and self._standing.is_stale:
            found.append(
                f"this process may be over {STALE_S:.0f} s behind its fleet, because it cannot follow the database"
            )
        if self._room.is_disk_full():
            needed = self._settings.disk_free_bytes_min
            found.append(f"less than {needed} bytes are free on the disk: writes get 507 until somebody frees space")
        return found

    def warnings(self) -> list[str]:
        """What somebody should look at although the node works, one sentence each."""
        of_witnesses = warnings_of(self._watched, self._world.now_s())
        return [*self._outage_warnings(), *self._load_warnings(), *self._warnings_about_peers(), *of_witnesses]

    def _outage_warnings(self) -> Iterator[str]:
        """Why the database is away. Only operators see that, because it names the server."""
        if self._outages is not None:
            troubles = (self._outages.reading.trouble, self._outages.writing.trouble)
            for failure in dict.fromkeys(trouble.failure for trouble in troubles if trouble is not None):
                yield f"the database: {failure.reason}; {failure.remedy}"

    def public_warnings(self) -> list[str]:
        """The same for anybody: what concerns peers is only counted, because who they are is the operator's affair."""
        hidden_count = len(self._warnings_about_peers())
        return [*self._load_warnings(), *([_HIDDEN_WARNINGS.format(hidden_count)] if hidden_count else [])]

    def _load_warnings(self) -> Iterator[str]:
        now_s, connections_max = self._world.now_s(), self._settings.connections_max
        if self._traffic.connections >= connections_max:
            yield f"all {connections_max} connections are taken: others are turned away"
        elif _is_recent(self._traffic.turned_away_s, now_s, TURNED_AWAY_WARNED_S):
            yield (
                f"connections were turned away in the last {TURNED_AWAY_WARNED_S:.0f} s, and "
                f"{self._traffic.connections} of {connections_max} are open: one address gets a quarter of them, and "
                "all strangers three quarters; see trusted_proxies if a proxy brings them"
            )
        if _is_recent(self._links.turned_away_s, now_s, TURNED_AWAY_WARNED_S):
            yield (
                f"links were turned away in the last {TURNED_AWAY_WARNED_S:.0f} s: strangers get three quarters of "
                "links_max, and one address gets links_per_address_max"
            )
        if self._certificate is not None:
            yield from self._certificate.warnings(now_s)
        if self._removals.dropped_since_start:
            yield (
                f"{len(self._removals.dropped_since_start)} dropped domains have skeletons in the store, which go when "
                "the node starts again"
            )
        if _is_recent(self._traffic.proxied_s, now_s, PROXY_WARNED_S):
            yield (
                "requests come through a proxy that is not trusted, so all its callers share quotas: name it in "
                "trusted_proxies; if it is on this machine and adds no header, set loopback_trusted to false"
            )
        if self._plugin is not None:
            yield from self._plugin.warnings()
        if self._commits.is_stalled:
            whom = "`fuser` names it" if self._outages is None else "pg_stat_activity names it"
            yield (
                f"a commit has waited for over {STALLED_S:.0f} s: another program holds the database ({whom}), or the "
                "disk is slow; clients get 503 until that ends"
            )
        yield from self._storage_warnings()

    def _storage_warnings(self) -> Iterator[str]:
        """What to do long before writes get 507."""
        settings, sizes = self._settings, store_bytes(self._settings.data)
        total, soft = sum(sizes.values()), settings.store_bytes_soft
        if soft is not None and total > soft:
            yield (
                f"the store has more than {soft} bytes (store_bytes_soft): `dnarc domains --sizes` shows what "
                "fills it; make room, or set quotas (domain_bytes_max, key_bytes_max)"
            )
        free = self._room.disk_free_bytes()
        if settings.disk_free_bytes_min <= free < settings.disk_free_bytes_soft:
            yield (
                f"less than {settings.disk_free_bytes_soft} bytes are free on the disk: make room before less than "
                f"{settings.disk_free_bytes_min} are left, because writes get 507 then"
            )
        log_bytes = sizes.get("dnarc.db-wal", 0)
        if log_bytes > LOG_BYTES_WARNED:
            yield f"the write-ahead log has {log_bytes} bytes: some program reads the database and does not end"

    def _warnings_about_peers(self) -> list[str]:
        return [*self._peer_warnings(), *self._clock_warnings(), *self._feature_warnings()]

    def _peer_warnings(self) -> Iterator[str]:
        for peer, state in self._peers.all():
            if state.is_trouble:
                yield _in_words(hidden(peer.name), state)
        yield from self._duplicate_keys.warnings([peer for peer, _ in self._peers.all()])

    def _clock_warnings(self) -> Iterator[str]:
        """Clocks of peers that differ from this node's. If all differ in one way, this node's own clock is wrong."""
        known = {
            hidden(peer.name): ahead_s
            for peer in self._links.peers
            if (ahead_s := (self._sync if is_http(peer) else self._links).clock_ahead_s(peer)) is not None
        }
        differing = {name: ahead_s for name, ahead_s in known.items() if differs(ahead_s)}
        for name, ahead_s in differing.items():
            words = in_words(ahead_s, "this node's")
            yield f"the clock of {name} is {words}: records may be refused as too_new or too_old; {REMEDY}"
        if len(known) > 1 and len(differing) == len(known) and len({it > 0 for it in differing.values()}) == 1:
            yield f"the clocks of all {len(known)} peers differ from this node's in the same way: set this node's clock"

    def _feature_warnings(self) -> Iterator[str]:
        """Listed peers of an older version, with which witnessed domains are not synced."""
        features = {
            hidden(peer.name): (self._sync if is_http(peer) else self._links).features(peer)
            for peer in self._links.peers
        }
        yield from warnings_of_peers(features, sum(1 for _ in self._watched.all_domains))


def _in_words(name: str, state: PeerState) -> str:
    """One sentence. It does not change while the outage lasts, unless the reason does."""
    assert state.since_s is not None, "a peer that fails has failed since some time"
    return f"the peer {name} is {state.state} since {moment(state.since_s)}: {state.error}; {state.remedy}"


def _is_recent(when_s: float | None, now_s: float, within_s: float) -> bool:
    return when_s is not None and now_s - when_s < within_s


class Watch:
    """Logs each problem when it appears and when it has gone."""

    def __init__(self, find: Callable[[], Iterable[str]]) -> None:
        """`find` returns the present problems."""
        self._find = find
        self._known: set[str] = set()

    def look(self) -> None:
        """Log what has changed since the last look."""
        now = set(self._find())
        for problem in sorted(now - self._known):
            log.error("not well", problem=problem)
        for problem in sorted(self._known - now):
            log.info("well again", problem=problem)
        self._known = now

    async def run(self) -> None:
        """Look every `LOOK_EVERY_S` seconds, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)
