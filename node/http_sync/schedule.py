"""Schedule: when this node syncs with its plain HTTP peers, and with how many at once.

Each `http(s)://` peer of the peers table has one worker, which runs at the interval. A caller of `POST /sync/*` asks
the same workers for a run now.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import msgspec
import structlog

from node.http_sync.parts import SyncParts
from node.http_sync.report import Job, Report, RunTotals
from node.http_sync.worker import SyncWorker, directions_of
from node.passwords import hidden
from node.peer_state import Facts
from node.store.contract import Peer
from protocol.errors import Code, ProtocolError
from protocol.link.terms import Flow
from protocol.records.record import is_domain
from protocol.sets.index import EMPTY

PEERS_AT_ONCE: Final = 4
"""Peers that one call of `/sync/*` works with at once. More would not be faster: verification is the limit from two on.
"""

_NAME_CHARACTERS_MAX: Final = 200
_SCHEMES: Final = ("http://", "https://")

RunLink = Callable[[Peer, Job], Awaitable[Report]]
"""Does one run with a peer that is linked."""

log = structlog.get_logger()


class Sync:
    """The workers of all `http(s)://` peers of a node."""

    def __init__(self, parts: SyncParts, run_link: RunLink, on_failure: Callable[[BaseException], None]) -> None:
        """`run_link` does a run with a linked peer. `on_failure` gets the error that ends this part's work for good."""
        self.parts = parts
        self._run_link = run_link
        self._on_failure = on_failure
        self._workers: dict[str, SyncWorker] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow the peers table, and to sync at the interval of the settings if they have one."""
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End all runs where they are. Each goes on from its cursor next time."""
        tasks = [self._watching] if self._watching else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in list(self._workers.values()):
            await worker.close()
        self._workers.clear()

    async def run(
        self, direction: str, peer: str | None = None, domain: str | None = None
    ) -> dict[str, dict[str, object]]:
        """Sync now in this direction (`push` or `pull`): with one peer or with all, in one domain or in all.

        A peer that is linked compares all domains instead. Returns the report of each peer by its URL, with the
        password hidden.

        Raises:
            ProtocolError: `unknown_peer`, `unknown_domain` or `malformed` for a wrong request; `overloaded`.
        """
        self._check_domain(domain)
        job = Job(Flow(direction), domain)
        peers = await self._choose_peers(job.direction, peer)
        gate = asyncio.Semaphore(PEERS_AT_ONCE)

        async def run(peer: Peer) -> Report:
            async with gate:
                return await ((await self._worker_of(peer)).run(job) if is_http(peer) else self._run_link(peer, job))

        reports = await asyncio.gather(*map(run, peers))
        names = [hidden(peer.name) for peer in peers]
        return {name: msgspec.to_builtins(report) for name, report in zip(names, reports, strict=True)}

    def steps(self, peer: Peer) -> dict[str, str]:
        """Whether a peer holds the same, by domain: `identical` or `differs` according to its last answer, `unknown` if
        it never answered.
        """
        worker = self._workers.get(peer.name)
        theirs = worker.memory.fingerprints if worker else None
        ours = self.parts.indexes.domains()
        if worker is None or theirs is None:
            return dict.fromkeys(ours, "unknown")
        is_same = worker.memory.erased.is_same
        return {
            domain: "identical"
            if is_same(domain, self.parts.indexes.get(domain) or EMPTY, theirs.get(domain, ""))
            else "differs"
            for domain in sorted({*theirs, *ours})
        }

    def totals(self) -> Iterator[tuple[str, Flow, RunTotals]]:
        """Totals over the runs so far, for each peer (by name) and each direction that the peer is set for."""
        for name, worker in self._workers.items():
            for direction in worker.directions:
                yield name, direction, worker.totals[direction]

    def facts(self, peer: Peer) -> Facts:
        """What the state of this peer is decided from. If both directions fail, the outage that began first counts."""
        worker = self._workers.get(peer.name)
        totals = [(flow, worker.totals[flow]) for flow in worker.directions] if worker else []
        failures = [
            msgspec.structs.replace(failure, reason=f"{flow}: {failure.reason}")
            for flow, each in totals
            if (failure := each.outage.failure) is not None
        ]
        return Facts(
            failure=min(failures, key=lambda failure: failure.since_s, default=None),
            is_synced=any(each.succeeded_s is not None for _, each in totals),
            is_tried=self.parts.settings.sync_interval is not None and bool(directions_of(peer)),
        )

    def refusals(self, peer: Peer) -> dict[str, dict[str, int]]:
        """How many records were refused since the node started, by direction and then by code. `pull` counts refusals
        by this node, `push` refusals by the peer.
        """
        worker = self._workers.get(peer.name)
        return {flow.value: dict(worker.totals[flow].refusals) if worker else {} for flow in Flow}

    def clock_ahead_s(self, peer: Peer) -> float | None:
        """Seconds that the peer's clock was ahead of this node's at its last answer. None if it is not known."""
        worker = self._workers.get(peer.name)
        clock = worker.memory.clock if worker else None
        zero_s = self.parts.world.now_s() - asyncio.get_running_loop().time()
        return None if clock is None else clock.ahead_now_s(zero_s)

    def features(self, peer: Peer) -> tuple[str, ...] | None:
        """The features that the peer named in its last answer. None if it never answered."""
        worker = self._workers.get(peer.name)
        return worker.memory.features if worker else None

    def _check_domain(self, domain: str | None) -> None:
        """Raises: ProtocolError: `malformed` or `unknown_domain`."""
        if domain is not None and not is_domain(domain):
            raise ProtocolError(Code.MALFORMED, "this is not a name that a domain can have")
        if domain is not None and not self.parts.keeps(domain):
            raise ProtocolError(Code.UNKNOWN_DOMAIN, f"this node does not keep the domain {domain}")

    async def _choose_peers(self, direction: Flow, name: str | None) -> list[Peer]:
        """The peer of this name, or all peers, if they are set for this direction.

        Raises:
            ProtocolError: `unknown_peer`.
        """
        if name is None:
            peers = [peer for peer in await self.parts.peers.list() if peer.url is not None]
        else:
            peer = await self.parts.peers.find(name)
            if peer is None or peer.url is None:
                raise ProtocolError(Code.UNKNOWN_PEER, f"no peer with a URL is {hidden(name)[:_NAME_CHARACTERS_MAX]}")
            peers = [peer]
        chosen = [peer for peer in peers if direction in directions_of(peer)]
        if name is not None and not chosen:
            raise ProtocolError(
                Code.UNKNOWN_PEER, f"this peer is not one to {direction}: put it with `{direction}` set"
            )
        return chosen

    async def _watch(self) -> None:
        try:
            async for peers in self.parts.peers.watch(self.parts.settings.peers_poll):
                await self._adopt([peer for peer in peers if is_http(peer)])
        except Exception as error:
            log.exception("the peers table is no longer followed")
            self._on_failure(error)

    async def _adopt(self, peers: Sequence[Peer]) -> None:
        """Keep one worker for each of these peers, and end all others."""
        names = {peer.name for peer in peers}
        for name in [name for name in self._workers if name not in names]:
            await self._workers.pop(name).close()
            self.parts.convergence.forget(name)
        interval_s = self.parts.settings.sync_interval
        for worker in [await self._worker_of(peer) for peer in peers]:
            if interval_s is not None and worker.directions and worker.repeating is None:
                worker.repeating = asyncio.create_task(self._repeat(worker, interval_s))

    async def _worker_of(self, peer: Peer) -> SyncWorker:
        """The worker of this row. It starts anew after any change of the row, except that a key was pinned."""
        worker = self._workers.get(peer.name)
        if worker is not None and worker.peer != peer:
            pinned = msgspec.structs.replace(worker.peer, key=peer.key)
            if worker.peer.key is None and pinned == peer:
                worker.peer = peer
            else:
                await self._workers.pop(peer.name).close()
                worker = None
        if worker is None:
            worker = self._workers.setdefault(peer.name, SyncWorker(self.parts, peer))
        return worker

    async def _repeat(self, worker: SyncWorker, interval_s: float) -> None:
        try:
            await worker.repeat(interval_s)
        except Exception as error:
            log.exception("syncing at the interval ended", peer=hidden(worker.peer.name))
            self._on_failure(error)


def is_http(peer: Peer) -> bool:
    """Whether this peer is synced with over plain HTTP. Peers with `ws(s)://` have links."""
    return peer.url is not None and peer.url.lower().startswith(_SCHEMES)
