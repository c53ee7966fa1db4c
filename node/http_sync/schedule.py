"""Sync: when this node exchanges records with its plain HTTP peers, and with how many at once.

Each peer has one worker that runs at the interval, for ever, and one lock, so that nothing is carried twice at once.
Whoever asks for a run that is going on already waits for that one; another one waits its turn in a short queue. A run
that ends in an error makes the next come later and later (exponential backoff with jitter: a network that comes back
must not be met by everybody in the same second). A run that succeeds ends the backoff, also one that somebody asked
for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from node.http_sync.parts import SyncParts
from node.http_sync.report import Job, Report, RunTotals
from node.http_sync.run import Acquaintance, sync_once
from node.peers import hidden
from node.store.contract import Peer
from protocol.errors import Code, ProtocolError
from protocol.link.terms import Flow
from protocol.records.record import is_domain

BACKOFF_S_MAX: Final = 3_600.0
PEERS_AT_ONCE: Final = 4
"""Peers that one call of `/sync/*` works with at the same time: past two, verification is what all of them wait for."""

QUEUE_MAX: Final = 16
"""Runs that wait for one peer."""

_JITTER = (0.5, 1.5)
_SCHEMES = ("http://", "https://")

RunLink = Callable[[Peer, Job], Awaitable[Report]]

log = structlog.get_logger()


class _Worker:
    """All that this node does with one peer, one run at a time."""

    def __init__(self, parts: SyncParts, peer: Peer) -> None:
        self._parts = parts
        self.peer = peer
        self.acquaintance = Acquaintance()
        self.totals = {direction: RunTotals() for direction in Flow}
        self.repeating: asyncio.Task[None] | None = None
        self._failures = 0
        self._succeeded = asyncio.Event()
        self._lock = asyncio.Lock()
        self._runs: dict[Job, asyncio.Task[Report]] = {}

    @property
    def directions(self) -> list[Flow]:
        return _directions(self.peer)

    async def run(self, job: Job) -> Report:
        """The report of such a run: of the one that is going on, or of one more. A caller that leaves does not end it.

        Raises:
            ProtocolError: `overloaded` where `QUEUE_MAX` others wait; `unknown_peer` where the peer went meanwhile.
        """
        run = self._runs.get(job)
        if run is None:
            if len(self._runs) > QUEUE_MAX:
                detail = f"{QUEUE_MAX} runs with this peer wait for their turn"
                raise ProtocolError(Code.OVERLOADED, detail, retry_after=1)
            run = self._runs[job] = asyncio.create_task(self._run(job))
            run.add_done_callback(lambda _: self._runs.pop(job))
        try:
            return await asyncio.shield(run)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not run.cancelled() or (caller is not None and caller.cancelling()):
                raise
            detail = "the peer was changed or removed while this run was going on"
            raise ProtocolError(Code.UNKNOWN_PEER, detail) from None

    async def repeat(self, interval_s: float) -> None:
        """Run in every direction of the peer, each interval, for ever."""
        while True:
            is_well = all([await self._is_carried(direction) for direction in self.directions])
            self._failures = 0 if is_well else self._failures + 1
            await self._pause(interval_s)

    async def _pause(self, interval_s: float) -> None:
        """Wait for the next run; a success meanwhile ends the backoff, and the interval begins anew."""
        loop = asyncio.get_running_loop()
        jitter = self._parts.world.random.uniform(*_JITTER)
        end_s = loop.time() + pause_s(interval_s, self._failures, jitter)
        while (left_s := end_s - loop.time()) > 0:
            self._succeeded.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._succeeded.wait()
                    end_s = min(end_s, loop.time() + pause_s(interval_s, self._failures, jitter))

    async def _is_carried(self, direction: Flow) -> bool:
        try:
            return (await self.run(Job(direction, is_asked=False))).error is None
        except ProtocolError:  # the queue is full: others carry, and this one comes again
            return False

    async def close(self) -> None:
        """End every run where it is."""
        tasks = [*([self.repeating] if self.repeating else []), *self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> Report:
        async with self._lock:
            report = await sync_once(self._parts, self.peer, job, self.acquaintance)
        self.totals[job.direction].count(report, self._parts.world.now_s())
        name = hidden(self.peer.name)
        if report.error is None and self._failures:
            self._failures = 0
            self._succeeded.set()
        if report.error is not None:
            log.warning("sync failed", peer=name, direction=job.direction, reason=report.error)
        elif report.accepted:
            log.info("synced", peer=name, direction=job.direction, accepted=report.accepted, repaired=report.repaired)
        return report


class Sync:
    """The workers of all `http(s)://` peers of a node."""

    def __init__(self, parts: SyncParts, run_link: RunLink, on_failure: Callable[[BaseException], None]) -> None:
        """`run_link` does a run with a peer that is linked. `on_failure` is called if this part can no longer work."""
        self.parts = parts
        self._run_link = run_link
        self._on_failure = on_failure
        self._workers: dict[str, _Worker] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to sync at the interval of the settings, if they have one, with whatever peers the table lists."""
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End all runs where they are; each goes on from its cursor next time."""
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
        """Sync now, with one peer or with all that the direction (`push` or `pull`) is set for, in one domain or in
        all. A peer that is linked is compared with, in all domains.

        Returns the report of each peer by its URL, the password hidden.

        Raises:
            ProtocolError: `unknown_peer`, `unknown_domain` or `malformed` where this cannot be asked for; `overloaded`.
        """
        job = Job(Flow(direction), self._checked_domain(domain))
        peers = await self._asked(job.direction, peer)
        gate = asyncio.Semaphore(PEERS_AT_ONCE)

        async def report_of(peer: Peer) -> Report:
            async with gate:
                return await ((await self._worker(peer)).run(job) if is_http(peer) else self._run_link(peer, job))

        reports = await asyncio.gather(*map(report_of, peers))
        names = [hidden(peer.name) for peer in peers]
        return {name: msgspec.to_builtins(report) for name, report in zip(names, reports, strict=True)}

    def steps(self, peer: Peer) -> dict[str, str]:
        """How far a peer is in step, by domain: `identical` or `differs` by its last answer, `unknown` where it never
        answered.
        """
        worker = self._workers.get(peer.name)
        theirs = worker.acquaintance.fingerprints if worker else None
        ours = self.parts.indexes.domains()
        if theirs is None:
            return dict.fromkeys(ours, "unknown")
        fingerprints = {domain: self.parts.indexes.summary(domain)["fingerprint"] for domain in ours}
        return {
            domain: "identical" if theirs.get(domain) == fingerprints.get(domain) else "differs"
            for domain in sorted({*theirs, *ours})
        }

    def totals(self) -> Iterator[tuple[str, Flow, RunTotals]]:
        """Totals over the runs so far, for each peer (by name) and each direction that the peer is set for."""
        for name, worker in self._workers.items():
            for direction in worker.directions:
                yield name, direction, worker.totals[direction]

    def _checked_domain(self, domain: str | None) -> str | None:
        kept = self.parts.settings.domains
        if domain is not None and not is_domain(domain):
            raise ProtocolError(Code.MALFORMED, "this cannot name a domain")
        if domain is not None and kept is not None and domain not in kept:
            raise ProtocolError(Code.UNKNOWN_DOMAIN, f"this node does not keep the domain {domain}")
        return domain

    async def _asked(self, direction: Flow, name: str | None) -> list[Peer]:
        """The peers asked for, by the table as it is now, that are to be synced with this way."""
        if name is None:
            peers = [peer for peer in await self.parts.peers.list() if peer.url is not None]
        else:
            peer = await self.parts.peers.find(name)
            if peer is None or peer.url is None:
                raise ProtocolError(Code.UNKNOWN_PEER, f"no peer with a URL is {hidden(name)[:200]}")
            peers = [peer]
        asked = [peer for peer in peers if direction in _directions(peer)]
        if name is not None and not asked:
            raise ProtocolError(
                Code.UNKNOWN_PEER, f"this peer is not one to {direction}: put it with `{direction}` set"
            )
        return asked

    async def _watch(self) -> None:
        try:
            async for peers in self.parts.peers.watch(self.parts.settings.peers_poll):
                await self._adopt([peer for peer in peers if is_http(peer)])
        except Exception as error:
            log.exception("the peers table is no longer followed")
            self._on_failure(error)

    async def _adopt(self, peers: Sequence[Peer]) -> None:
        """Make the workers those of these peers."""
        names = {peer.name for peer in peers}
        for name in [name for name in self._workers if name not in names]:
            await self._workers.pop(name).close()
            self.parts.convergence.forget(name)
        interval_s = self.parts.settings.sync_interval
        for worker in [await self._worker(peer) for peer in peers]:
            if interval_s is not None and worker.directions and worker.repeating is None:
                worker.repeating = asyncio.create_task(self._repeat(worker, interval_s))

    async def _worker(self, peer: Peer) -> _Worker:
        """The worker of this row. One whose key was only pinned stays; after any other change it starts anew."""
        worker = self._workers.get(peer.name)
        if worker is not None and worker.peer != peer:
            pinned = msgspec.structs.replace(worker.peer, key=peer.key)
            if worker.peer.key is None and pinned == peer:
                worker.peer = peer
            else:
                await self._workers.pop(peer.name).close()
                worker = None
        if worker is None:
            worker = self._workers.setdefault(peer.name, _Worker(self.parts, peer))
        return worker

    async def _repeat(self, worker: _Worker, interval_s: float) -> None:
        try:
            await worker.repeat(interval_s)
        except Exception as error:
            log.exception("syncing at the interval ended", peer=hidden(worker.peer.name))
            self._on_failure(error)


def pause_s(interval_s: float, failures: int, jitter: float = 1.0) -> float:
    """Seconds to the next run after so many failures in a row: doubled each time, an hour at most, jitter included."""
    doubled = interval_s * 2.0 ** min(failures, 32) * jitter
    return doubled if failures == 0 else min(doubled, max(interval_s, BACKOFF_S_MAX))


def _directions(peer: Peer) -> list[Flow]:
    asked = ((Flow.PULL, peer.pull), (Flow.PUSH, peer.push))
    return [direction for direction, is_wanted in asked if is_wanted]


def is_http(peer: Peer) -> bool:
    """Whether it is synced with here; peers with `ws(s)://` have links."""
    return peer.url is not None and peer.url.lower().startswith(_SCHEMES)
