"""A worker: all that this node does with one plain HTTP peer, one run at a time.

The worker runs at the interval, for ever. Its lock makes sure that no record is carried twice at once. A caller who
asks for a run that is going on waits for that run. Any other run waits in a short queue. After a run that ends in an
error, the next run at the interval comes later and later (exponential backoff with jitter), because a network that
comes back must not be met by all nodes in the same second. A run that succeeds ends the backoff, even if a caller
asked for it.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from node.http_sync.parts import SyncParts
from node.http_sync.report import Job, Report, RunTotals
from node.http_sync.run import PeerMemory, sync_once
from node.passwords import hidden
from node.store.contract import Peer
from protocol.errors import Code, ProtocolError
from protocol.link.terms import Flow

BACKOFF_S_MAX: Final = 3_600.0
"""The longest pause after failures, in seconds, unless the interval itself is longer."""

QUEUE_MAX: Final = 16
"""Runs that may wait for one peer."""

_JITTER: Final = (0.5, 1.5)
_DOUBLINGS_MAX: Final = 32

log = structlog.get_logger()


class SyncWorker:
    """Syncs with one peer. `memory` is kept between runs, `totals` are counted by direction."""

    def __init__(self, parts: SyncParts, peer: Peer) -> None:
        """`peer` is the row of the peers table."""
        self._parts = parts
        self.peer = peer
        self.memory = PeerMemory()
        self.totals = {direction: RunTotals() for direction in Flow}
        self.repeating: asyncio.Task[None] | None = None
        self._failures = 0
        self._succeeded = asyncio.Event()
        self._lock = asyncio.Lock()
        self._runs: dict[Job, asyncio.Task[Report]] = {}

    @property
    def directions(self) -> list[Flow]:
        return directions_of(self.peer)

    async def run(self, job: Job) -> Report:
        """The report of this run: of the same run if it is going on, otherwise of a new one. The run goes on if the
        caller leaves.

        Raises:
            ProtocolError: `overloaded` if `QUEUE_MAX` runs wait; `unknown_peer` if the peer was changed or removed.
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
        """Run in every direction of the peer, again at each interval, for ever."""
        while True:
            is_well = all([await self._run_at_interval(direction) for direction in self.directions])
            self._failures = 0 if is_well else self._failures + 1
            await self._pause(interval_s)

    async def _pause(self, interval_s: float) -> None:
        """Wait for the next run. A success meanwhile ends the backoff and begins the interval anew."""
        loop = asyncio.get_running_loop()
        jitter = self._parts.world.random.uniform(*_JITTER)
        end_s = loop.time() + pause_s(interval_s, self._failures, jitter)
        while (left_s := end_s - loop.time()) > 0:
            self._succeeded.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._succeeded.wait()
                    end_s = min(end_s, loop.time() + pause_s(interval_s, self._failures, jitter))

    async def _run_at_interval(self, direction: Flow) -> bool:
        """Whether the run ended without an error."""
        try:
            return (await self.run(Job(direction, is_asked=False))).error is None
        except ProtocolError:  # the queue is full: other runs carry the records, and the next interval comes
            return False

    async def close(self) -> None:
        """End every run where it is."""
        tasks = [*([self.repeating] if self.repeating else []), *self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> Report:
        async with self._lock:
            report = await sync_once(self._parts, self.peer, job, self.memory)
        totals, now_s = self.totals[job.direction], self._parts.world.now_s()
        has_failed = totals.error is not None
        totals.count(report, now_s)
        if report.error is None and self._failures:
            self._failures = 0
            self._succeeded.set()
        run = log.bind(peer=hidden(self.peer.name), direction=job.direction)
        if report.error is not None:
            if totals.outage.is_log_due(now_s):  # at the beginning of an outage, and then from time to time
                run.warning("sync failed", reason=report.error)
        elif report.accepted or has_failed:
            run.info("synced", accepted=report.accepted, repaired=report.repaired)
        return report


def pause_s(interval_s: float, failures: int, jitter: float = 1.0) -> float:
    """Seconds to the next run after this many failures in a row: doubled each time, at most an hour, jitter included.

    `jitter` is a factor.
    """
    doubled = interval_s * 2.0 ** min(failures, _DOUBLINGS_MAX) * jitter
    return doubled if failures == 0 else min(doubled, max(interval_s, BACKOFF_S_MAX))


def directions_of(peer: Peer) -> list[Flow]:
    """The directions in which this node syncs with a peer. It pulls first."""
    wanted = ((Flow.PULL, peer.pull), (Flow.PUSH, peer.push))
    return [direction for direction, is_wanted in wanted if is_wanted]
