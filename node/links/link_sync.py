"""Link sync: what `POST /sync/*` does with a peer that is linked. Both nodes compare all that they hold, and report.

A link carries every record by itself, so a sync has no records to move. It waits for the link, and has the peer dialled
at once if the link is down. Then it starts the comparison that would otherwise come at `repair_interval`, and ends when
nothing is left to do.
"""

import asyncio
from typing import Final

from node.http_sync.report import Job, Report
from node.links.registry import Links
from node.links.running_link import RunningLink
from node.store.contract import Peer, Store
from protocol.link.status import LinkState, Step
from protocol.link.terms import Flow, Role

QUIET_S: Final = 3.0
"""Seconds without a frame after which an acceptor takes a comparison to be over, because the dialler does not say when
it has finished. This is longer than the pauses of a repair."""


class LinkSync:
    """Runs syncs over the links of one node."""

    def __init__(self, links: Links, store: Store, peer_timeout_s: float) -> None:
        """`store` keeps the cursors. `peer_timeout_s`: how long to wait for a link, in seconds."""
        self._links = links
        self._store = store
        self._peer_timeout_s = peer_timeout_s

    async def run(self, peer: Peer, job: Job) -> Report:
        """Run one whole sync. A link always compares all domains; `job.domain` only selects the cursor to report."""
        loop = asyncio.get_running_loop()
        report, began_s = Report(), loop.time()
        link = await self._reach(peer)
        if link is None:
            ending = self._links.ending_of(peer)
            if ending is None:
                report.fail(None, "there is no link yet")
            else:
                report.fail(ending.code, ending.reason)
        else:
            report.clock_ahead_s = link.clock_ahead_s
            await self._compare(link, job.direction, report)
            await link.save_cursors()
            report.through = await self._read_cursors(peer, job)
        report.seconds = round(loop.time() - began_s, 6)
        return report

    async def _reach(self, peer: Peer) -> RunningLink | None:
        """The open link with this peer. None if it cannot be made, or not within `peer_timeout_s`."""
        try:
            async with asyncio.timeout(self._peer_timeout_s):
                return await self._links.reach(peer)
        except TimeoutError:
            return None

    async def _compare(self, link: RunningLink, direction: Flow, report: Report) -> None:
        """Compare, and report the records that went in the direction until nothing was left to do."""
        before = link.carried(direction)
        repaired_before = link.counts.repaired
        link.compare()
        await self._wait_until_settled(link)
        after = link.carried(direction)
        report.records, report.known = after.records - before.records, after.known - before.known
        report.refused = after.refusals.total() - before.refusals.total()
        report.refusals = dict(after.refusals)
        report.accepted = report.records - report.known - report.refused
        report.repaired = link.counts.repaired - repaired_before
        if link.ending is not None:
            report.fail(link.ending.code, link.ending.reason)

    async def _wait_until_settled(self, link: RunningLink) -> None:
        """Wait until nothing is left to do on the link, or the link has ended."""
        if link.machine.role is Role.DIALLER:
            await self._links.wait_until(lambda: link.machine.is_settled or link.ending is not None)
            return
        while link.ending is None and not _is_identical(link):
            frames = link.counts.frames_in
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._links.wait_until(lambda: link.counts.frames_in > frames)  # noqa: B023  (awaited here)
            except TimeoutError:
                if link.machine.state is LinkState.LIVE:
                    return

    async def _read_cursors(self, peer: Peer, job: Job) -> dict[str, int]:
        """How far the direction has come, by domain: timestamps in seconds."""
        return {
            it.domain: it.timestamp
            for it in await self._store.cursors()
            if (it.peer, it.direction) == (peer.name, job.direction) and job.domain in (None, it.domain)
        }


def _is_identical(link: RunningLink) -> bool:
    status = link.machine.status()
    return status.state is LinkState.LIVE and all(each.step is Step.IDENTICAL for each in status.domains.values())
