"""Node: makes the parts, hands them to each other, and ends them in the opposite order.

    async with Node(Settings()) as node: ...

Each part gets what it needs here and nowhere else. No part imports `Node`, so no part can find another by itself.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Final, Self

import structlog

from node import explorer, http_api
from node.convergence import Convergence
from node.disk import CannotStartError
from node.duplicate_keys import DuplicateKeys
from node.fairness.crowd import STRANGERS_BURST_S, Crowd
from node.fairness.turns import Turns
from node.fleet.following import Followed, Following
from node.fleet.membership import Membership
from node.fleet.relay import Relay
from node.heads import Heads
from node.http_sync.parts import SyncParts
from node.http_sync.schedule import Sync
from node.indexes import Indexes
from node.intake.commits import Commits
from node.intake.decider import Stored
from node.intake.ingest import Ingest
from node.intake.witnessed_domains import WitnessedDomains, records_max_of
from node.links import LinkParts, Links
from node.links.link_sync import LinkSync
from node.metrics import Traffic
from node.monitoring.exposition import Sources, registry_of
from node.monitoring.health import Health, Looked, Watch
from node.monitoring.peer_states import PeerStates
from node.peers import Peers
from node.removal.completion import complete_all
from node.removal.erased import Erased
from node.removal.work import RemovalWork
from node.settings.settings import Settings
from node.store.contract import Store
from node.streams import Streams
from node.tasks import Tasks
from node.tls import Certificate, certificate_of, client_context
from node.version import VERSION
from node.witness.labels import LabelWalks
from node.witness.own import OwnWitness, Records
from node.witness.waiting import RaceWaiters
from node.witness.watched import WatchedDomains
from node.witness.witnessing import Witnessing
from node.world import World
from node.write_plugin.plugin import WritePlugin
from protocol.signing import SEED_BYTES, SigningKey, differing_edges

TOKEN_BYTES: Final = 32
"""Random bytes of the admin token."""

INSTANCE_BYTES: Final = 16
"""Random bytes of the instance, by which a process is told apart from a copy with the same key."""

ROUTES: Final = (*http_api.ROUTES, *explorer.ROUTES)
"""All requests that a node answers."""

log = structlog.get_logger()


class Node:
    """One node, to be entered with `async with`; its parts exist while it is entered.

    `started_s` is when it was entered, in seconds since the Unix epoch. `key` identifies the node to its peers. An
    operator sends `admin_token`. `certificate` is None if the node serves plain HTTP. `url` is where the node answers.
    """

    settings: Settings
    world: World
    membership: Membership | None
    started_s: float
    key: SigningKey
    admin_token: str
    certificate: Certificate | None
    store: Store
    indexes: Indexes
    duplicate_keys: DuplicateKeys
    witnessed: WitnessedDomains
    waiting: RaceWaiters
    turns: Turns
    witnessing: Witnessing
    watched: WatchedDomains
    heads: Heads
    commits: Commits
    plugin: WritePlugin | None
    ingest: Ingest
    streams: Streams
    removals: RemovalWork
    erased: Erased
    peers: Peers
    links: Links
    sync: Sync
    api: http_api.ApiParts
    url: str

    def __init__(self, settings: Settings, world: World | None = None, membership: Membership | None = None) -> None:
        """`world`: the clock, randomness and disk that the node uses; None: those of this machine. `membership`: None
        for a node by itself.
        """
        self.settings = settings
        self.world = world or World()
        self.membership = membership
        self._is_follower = membership is not None and membership.is_follower
        self._following: Following | None = None
        self._relay: Relay | None = None
        self.traffic = Traffic()
        self.convergence = Convergence()
        self._endings = AsyncExitStack()

    async def __aenter__(self) -> Self:
        check_signatures()
        self.started_s = self.world.now_s()
        try:
            await self._start()
        except BaseException:
            await self._endings.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._endings.aclose()
        log.info("stopped", node=self.key.public)

    @property
    def failed(self) -> "asyncio.Future[None]":
        """Raises the error because of which the node has to stop, for example that of a failing disk."""
        return self.commits.failed

    def fail(self, error: BaseException) -> None:
        """Report that a part which has to work all the time has ended with this error. The first report counts.

        Whoever runs the node stops it then, because a node without this part would look healthy and would not be.
        """
        if not self.failed.done():
            self.failed.set_exception(error)

    def health(self) -> list[str]:
        """Why the node cannot do its work, in words. Empty if it is healthy."""
        return self._health.problems()

    def warnings(self) -> list[str]:
        """What an operator should look at although the node works, in words."""
        return self._health.warnings()

    def reload(self) -> None:
        """Read the certificate again, because it may be renewed while the node runs."""
        log.info("reloading", node=self.key.public)
        if self.certificate is not None:
            self.certificate.look()

    async def _start(self) -> None:
        if self.membership is not None:
            self._endings.push_async_callback(self.membership.store.close)
        self.certificate = certificate_of(self.settings)
        client_context(self.settings.tls_ca)  # report an unreadable file now, not when the node dials a peer
        await self._open_data()
        await self._make_pipeline()
        self._make_peers()
        await self._serve()
        self._watch()
        log.info("started", node=self.key.public, url=self.url, domains=len(self.indexes))

    async def _open_data(self) -> None:
        """Take the data folder, and load what is in it. A process of a fleet has done the first part already."""
        token_bytes = self.world.token_bytes
        if self.membership is None:
            await self._open_folder()
        else:
            self.key, self.admin_token = self.membership.key, self.membership.admin_token
            self.store = self.membership.store
        if not self._is_follower and (unfinished := await self.store.removals.unfinished()):
            log.info("finishing removals", count=len(unfinished))
            await complete_all(self.store)
        self.indexes = await Indexes.load(self.store)
        self.duplicate_keys = DuplicateKeys(token_bytes(INSTANCE_BYTES).hex())
        self.witnessed = await WitnessedDomains.load(self.store, self.indexes, records_max_of(self.settings))

    async def _open_folder(self) -> None:
        data, disk, token_bytes = self.settings.data, self.world.disk, self.world.token_bytes
        self._endings.enter_context(disk.held(data))
        self.key = SigningKey(bytes.fromhex(disk.secret(data / "node.key", SEED_BYTES, token_bytes)))
        self.admin_token = disk.secret(data / "admin-token", TOKEN_BYTES, token_bytes)
        self.store = await disk.open_store(data, token_bytes, self.settings.store)
        self._endings.push_async_callback(self.store.close)

    async def _make_pipeline(self) -> None:
        """Make the intake, which brings records to the disk, and the parts that follow its commits."""
        self.turns = Turns()
        self.heads = Heads(self.store, self.settings.heads_cached_bytes_max)
        self.commits = Commits(self.store, self.indexes, self.settings.commit_records_max)
        self._endings.push_async_callback(self.commits.close)
        self.commits.watchers.append(lambda committed: self.heads.on_commit(committed.events))
        stored = Stored(self.store, self.indexes, self.witnessed, await self.store.domain_usage())
        self.plugin = await self._start_plugin()
        self.ingest = Ingest(self.settings, self.world, stored, self.commits, self.turns, self.plugin)
        self._endings.callback(self.ingest.close)
        self.walks = LabelWalks(self.store)
        self.waiting = RaceWaiters(self.witnessed, self.walks)
        self.commits.watchers.append(self.waiting.on_commit)
        self.witnessing = Witnessing([self._witness(name) for name in self.settings.witness or ()], self.fail)
        self.commits.watchers.append(self.witnessing.on_commit)
        clock = asyncio.get_running_loop().time
        self.watched = WatchedDomains(self.settings, self.witnessed, self.witnessing, clock)
        if not self._is_follower:  # a process that follows sees no race end
            await self.watched.load(self.store)
        self.commits.watchers.append(self.watched.on_commit)
        self.streams = await Streams.load(self.settings, self.store, self.world.processor_s)
        self.commits.watchers.append(self.streams.on_commit)
        self.removals = RemovalWork(self.store, self.indexes.dropped, self.world.now_s, self.fail)
        self._endings.push_async_callback(self.removals.close)
        self.erased = await Erased.load(self.store, self.removals)
        self.removals.erasings += [
            lambda step: self.heads.forget(step.labels),
            lambda step: self.commits.recent.remove(step.ids),
            lambda _: self.streams.forget(),
            lambda step: self.ingest.usage.forget_keys() if step.is_last else None,
        ]
        self.removals.droppings += [
            self.indexes.drop,
            self.heads.forget_domain,
            self.ingest.usage.forget_domain,
            self.witnessed.drop,
        ]

    async def _start_plugin(self) -> WritePlugin | None:
        """The operator's program that decides about records. Raises: CannotStartError: it cannot be started."""
        command = self.settings.write_plugin
        if command is None or self._is_follower:
            return None
        plugin = WritePlugin(command, self.settings.write_plugin_timeout, self.world)
        self._endings.push_async_callback(plugin.close)
        try:
            await plugin.start()
        except OSError as error:
            reason = f"the program of write_plugin, {command[0]}, cannot be started: {error.strerror}"
            raise CannotStartError(reason, "correct the setting write_plugin, or take it out") from error
        return plugin

    def _witness(self, name: str) -> OwnWitness:
        """This node as a witness of the domain of this name."""
        records = Records(self.ingest, self.store)
        return OwnWitness(self.witnessed.open(name), self.key, self.world, self.settings.data, records)

    def _make_peers(self) -> None:
        """Make the parts that work with other nodes. They start to work in `_serve`."""
        self.peers = Peers(self.store)
        self.crowd = Crowd(self.settings.strangers_share_max, STRANGERS_BURST_S, self._is_listed, is_strict=True)
        self.ingest.count_work(
            lambda address, seconds: self.crowd.spend(address, seconds, asyncio.get_running_loop().time())
        )
        self.links = Links(self._link_parts(), self.fail)
        link_sync = LinkSync(self.links, self.store, self.settings.peer_timeout)
        self.sync = Sync(self._sync_parts(), link_sync.run, self.fail)
        self._peer_states = PeerStates(self.peers, self.links, self.sync)
        looked = Looked(
            world=self.world,
            room=self.ingest.room,
            commits=self.commits,
            traffic=self.traffic,
            sync=self.sync,
            links=self.links,
            peers=self._peer_states,
            duplicate_keys=self.duplicate_keys,
            outages=self.store.outages,
            watched=self.watched,
            plugin=self.plugin,
            certificate=self.certificate,
            removals=self.removals,
            standing=None if self.membership is None else self.membership.standing,
        )
        self._health = Health(self.settings, looked)

    async def _serve(self) -> None:
        """Answer requests, then turn to the peers."""
        if self._is_follower:
            await self._follow()
        self.api = self._api_parts()
        context = None if self.certificate is None else self.certificate.context
        sockets = None if self.membership is None else self.membership.sockets
        runner = await http_api.start(self.api, ROUTES, context, sockets)
        self._endings.push_async_callback(runner.cleanup)
        self._endings.callback(self.streams.close)
        if self._relay is not None:
            self._endings.push_async_callback(self._relay.close)
        self.url = http_api.url_of(runner, self.settings)
        if not self._is_follower:
            await self._begin_work()
        # Listening ends before links do, so that peers whose links end do not dial a node that is stopping.
        self._endings.push_async_callback(http_api.stop_listening, runner)

    async def _follow(self) -> None:
        """Keep in step with the process that writes, and pass on to it what it has to do."""
        assert self.membership is not None, "only a process of a fleet follows"
        standing = self.membership.standing
        self._relay = Relay(self.settings, self.world, standing, self.crowd)
        parts = Followed(self.membership.store, self.indexes, self.witnessed, self.heads, self.streams, self.erased)
        self._following = Following(parts, standing, self.membership.open_lookout, self._relay.errands.on_writer)
        tasks = Tasks(self.fail)
        self._endings.push_async_callback(tasks.close)
        tasks.start(self._following.run(), "following")
        await self._following.begin()

    async def _begin_work(self) -> None:
        """Turn to the peers, and to the work of an operator."""
        self.ingest.start()
        self._endings.push_async_callback(self.sync.close)
        await self.sync.start()
        self._endings.push_async_callback(self.links.close)
        await self.links.start()
        self._endings.push_async_callback(self.witnessing.close)
        self.witnessing.start()
        self.removals.start()
        if self.plugin is not None:  # early, so that no request waits for its answer while the node ends
            self._endings.push_async_callback(self.plugin.close)

    def _watch(self) -> None:
        """Look at the node's health and at its certificate again and again."""
        tasks = Tasks(self.fail)
        self._endings.push_async_callback(tasks.close)
        tasks.start(Watch(self.health).run(), "health")
        if self.certificate is not None:
            tasks.start(self.certificate.watch(), "certificate")

    def _is_listed(self, network: str) -> bool:
        """Whether a listed peer calls from this network."""
        return self.links.is_listed_network(network)

    def _link_parts(self) -> LinkParts:
        return LinkParts(
            settings=self.settings,
            world=self.world,
            key=self.key,
            agent=f"dnarc/{VERSION}",
            store=self.store,
            indexes=self.indexes,
            ingest=self.ingest,
            commits=self.commits,
            peers=self.peers,
            convergence=self.convergence,
            duplicate_keys=self.duplicate_keys,
            turns=self.turns,
            crowd=self.crowd,
        )

    def _sync_parts(self) -> SyncParts:
        return SyncParts(
            settings=self.settings,
            world=self.world,
            key=self.key,
            store=self.store,
            indexes=self.indexes,
            ingest=self.ingest,
            peers=self.peers,
            convergence=self.convergence,
            duplicate_keys=self.duplicate_keys,
        )

    def _sources(self) -> Sources:
        return Sources(
            key=self.key.public,
            settings=self.settings,
            world=self.world,
            indexes=self.indexes,
            ingest=self.ingest,
            commits=self.commits,
            streams=self.streams,
            links=self.links,
            sync=self.sync,
            peer_states=self._peer_states,
            convergence=self.convergence,
            duplicate_keys=self.duplicate_keys,
            watched=self.watched,
            removals=self.removals,
            erased=self.erased,
            plugin=self.plugin,
            traffic=self.traffic,
            crowd=self.crowd,
            health=self._health,
            standing=None if self.membership is None else self.membership.standing,
            relay=self._relay,
        )

    def _api_parts(self) -> http_api.ApiParts:
        return http_api.ApiParts(
            settings=self.settings,
            world=self.world,
            started_s=self.started_s,
            key=self.key,
            admin_token=self.admin_token,
            store=self.store,
            indexes=self.indexes,
            heads=self.heads,
            witnessed=self.witnessed,
            walks=self.walks,
            waiting=self.waiting,
            witnessing=self.witnessing,
            commits=self.commits,
            ingest=self.ingest,
            streams=self.streams,
            removals=self.removals,
            erased=self.erased,
            peers=self.peers,
            links=self.links,
            sync=self.sync,
            peer_states=self._peer_states,
            convergence=self.convergence,
            duplicate_keys=self.duplicate_keys,
            traffic=self.traffic,
            health=self._health,
            registry=registry_of(self._sources()),
            proxies=http_api.Proxies(self.settings.trusted_proxies or ()),
            crowd=self.crowd,
            standing=None if self.membership is None else self.membership.standing,
            following=self._following,
            relay=self._relay,
        )


def check_signatures() -> None:
    """Check that this machine's libsodium decides about signatures as all other nodes do.

    Raises:
        CannotStartError: it does not, so this node would accept other records than its peers.
    """
    differing = differing_edges()
    if differing:
        words = "; ".join(differing)
        raise CannotStartError(
            f"this libsodium decides otherwise than the network: {words}", "reinstall PyNaCl from its wheel"
        )
