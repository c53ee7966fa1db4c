"""Node: puts the parts together, and takes them apart again in the other order.

    async with Node(Settings()) as node: ...

What a part needs is handed to it here, and nowhere else; none finds another by itself.
"""

import asyncio
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Final, Self

import structlog

from node import explorer, http_api
from node.convergence import Convergence
from node.disk import CannotStartError
from node.heads import Heads
from node.http_sync.parts import SyncParts
from node.http_sync.schedule import Sync
from node.indexes import Indexes
from node.intake.commits import Commits
from node.intake.ingest import Ingest
from node.links import LinkParts, Links
from node.links.link_sync import LinkSync
from node.metrics import Traffic
from node.monitoring.exposition import Sources, registry_of
from node.monitoring.health import Health, Looked, Watch
from node.peers import Peers
from node.settings import Settings
from node.store.contract import Store
from node.streams import Streams
from node.tasks import Tasks
from node.tls import Certificate, certificate_of, client_context
from node.world import World
from protocol.signing import SEED_BYTES, SigningKey, differing_edges

ROUTES: Final = (*http_api.ROUTES, *explorer.ROUTES)
"""All requests that a node answers."""

log = structlog.get_logger()


class Node:
    """One node. Its parts are there from entering to leaving; `url` is where it answers, `key` who it is to others."""

    settings: Settings
    world: World
    started_s: float
    key: SigningKey
    admin_token: str
    certificate: Certificate | None
    store: Store
    indexes: Indexes
    heads: Heads
    commits: Commits
    ingest: Ingest
    streams: Streams
    peers: Peers
    links: Links
    sync: Sync
    api: http_api.ApiParts
    url: str

    def __init__(self, settings: Settings, world: World | None = None) -> None:
        self.settings = settings
        self.world = world or World()
        self.traffic = Traffic()
        self.convergence = Convergence()
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        check_signatures()
        self.started_s = self.world.now_s()
        try:
            await self._start()
        except BaseException:
            await self._parts.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._parts.aclose()
        log.info("stopped", node=self.key.public)

    @property
    def failed(self) -> "asyncio.Future[None]":
        """Ends with the store's error, when it has one: the node has to stop then."""
        return self.commits.failed

    def fail(self, error: BaseException) -> None:
        """Stop, because a part that works all the time has ended and would be missed: a node without it looks well and
        is not. The first error counts.
        """
        if not self.failed.done():
            self.failed.set_exception(error)

    def health(self) -> list[str]:
        """Why it cannot do its work, in words; empty where all is well."""
        return self._health.problems()

    def warnings(self) -> list[str]:
        """What somebody should look at, in words, though the node works."""
        return self._health.warnings()

    def reload(self) -> None:
        """Read anew what may be renewed while the node runs: the certificate."""
        log.info("reloading", node=self.key.public)
        if self.certificate is not None:
            self.certificate.look()

    async def _start(self) -> None:
        self.certificate = certificate_of(self.settings)
        client_context(self.settings.tls_ca)  # one that cannot be read is said now, not when a peer is dialled
        data, disk, token_bytes = self.settings.data, self.world.disk, self.world.token_bytes
        self._parts.enter_context(disk.held(data))
        self.key = SigningKey(bytes.fromhex(disk.secret(data / "node.key", SEED_BYTES, token_bytes)))
        self.admin_token = disk.secret(data / "admin-token", 32, token_bytes)
        self.store = await disk.open_store(data, token_bytes)
        self._parts.push_async_callback(self.store.close)
        self.indexes = await Indexes.load(self.store)
        self.heads = Heads(self.store, self.settings.heads_cached_max)
        self.commits = Commits(self.store, self.indexes, self.settings.commit_records_max)
        self._parts.push_async_callback(self.commits.close)
        self.commits.watchers.append(lambda committed: self.heads.on_commit(committed.events))
        self.ingest = Ingest(self.settings, self.world, self.store, self.indexes, self.commits)
        self._parts.callback(self.ingest.close)
        self.streams = await Streams.load(self.settings, self.store)
        self.commits.watchers.append(self.streams.on_commit)
        self.peers = Peers(self.store)
        self.links = Links(self._link_parts(), self.fail)
        link_sync = LinkSync(self.links, self.store, self.settings.peer_timeout)
        self.sync = Sync(self._sync_parts(), link_sync.run, self.fail)
        looked = Looked(self.world, self.ingest.room, self.commits, self.traffic, self.sync, self.certificate)
        self._health = Health(self.settings, looked)
        self.api = self._api_parts()
        context = None if self.certificate is None else self.certificate.context
        runner = await http_api.start(self.api, ROUTES, context)
        self._parts.push_async_callback(runner.cleanup)
        self._parts.callback(self.streams.close)
        self.url = http_api.url_of(runner, self.settings)
        self._parts.push_async_callback(self.sync.close)
        await self.sync.start()
        self._parts.push_async_callback(self.links.close)
        await self.links.start()
        # First of all, so that peers whose links end do not come back to a node that is stopping.
        self._parts.push_async_callback(http_api.stop_listening, runner)
        tasks = Tasks(self.fail)
        self._parts.push_async_callback(tasks.close)
        tasks.start(Watch(self.health).run(), "health")
        if self.certificate is not None:
            tasks.start(self.certificate.watch(), "certificate")
        log.info("started", node=self.key.public, url=self.url, domains=len(self.indexes))

    def _link_parts(self) -> LinkParts:
        return LinkParts(
            settings=self.settings,
            world=self.world,
            key=self.key,
            agent=f"dnarc/{version('dnarc')}",
            store=self.store,
            indexes=self.indexes,
            ingest=self.ingest,
            commits=self.commits,
            peers=self.peers,
            convergence=self.convergence,
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
        )

    def _sources(self) -> Sources:
        return Sources(
            key=self.key.public,
            settings=self.settings,
            disk=self.world.disk,
            indexes=self.indexes,
            ingest=self.ingest,
            commits=self.commits,
            streams=self.streams,
            links=self.links,
            sync=self.sync,
            convergence=self.convergence,
            traffic=self.traffic,
            health=self._health,
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
            ingest=self.ingest,
            streams=self.streams,
            peers=self.peers,
            links=self.links,
            sync=self.sync,
            convergence=self.convergence,
            traffic=self.traffic,
            health=self._health,
            registry=registry_of(self._sources()),
        )


def check_signatures() -> None:
    """Refuse to run on a libsodium that would split the network. Raises: CannotStartError: in words."""
    differing = differing_edges()
    if differing:
        words = "; ".join(differing)
        raise CannotStartError(f"this libsodium decides otherwise than the network: {words}. Reinstall PyNaCl's wheel.")
