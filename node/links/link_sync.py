"""Running: what `POST /sync/*` asks of a peer that is linked: compare all that both hold now, and say what came of it.

A link carries every record by itself, so a run has nothing to carry: it waits for the link, where it is down has it
dialled at once, begins the comparison that would come at the interval anyway, and ends when nothing is left to do.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from node.http_sync.report import Job, Report
from node.store.contract import Peer
from protocol.link.status import LinkState, Step
from protocol.link.terms import Flow, Role

if TYPE_CHECKING:
    from node.links.registry import Links
    from node.links.running_link import Session

QUIET_S: Final = 3.0
"""An acceptor is not told when the dialler has finished: it has when nothing moved for longer than a repair settles."""


async def run(links: "Links", peer: Peer, job: Job) -> Report:
    """One whole run. A link compares all domains at once; `job.domain` says only of which one to report."""
    loop = asyncio.get_running_loop()
    report, begun_s = Report(), loop.time()
    session = await _linked(links, peer)
    if session is None:
        ending = links.ending_of(peer)
        report.error = "there is no link yet" if ending is None else ending.reason
    else:
        await _compared(links, session, job.direction, report)
        await session.store_cursors()
        report.through = await _through(links, peer, job)
    report.seconds = round(loop.time() - begun_s, 6)
    return report


async def _linked(links: "Links", peer: Peer) -> "Session | None":
    """The open link with this peer; None where it cannot be made, or takes longer than peers are waited for."""
    try:
        async with asyncio.timeout(links.node.settings.peer_timeout):
            return await links.dialled(peer)
    except TimeoutError:
        return None


async def _compared(links: "Links", session: "Session", direction: Flow, report: Report) -> None:
    """Compare, and count what went the way that was asked for until nothing was left to do."""
    before = session.carried(direction)
    repaired_before = session.counts.repaired
    session.compare()
    await _until_settled(links, session)
    report.records, report.known, report.refused = (
        now - then for now, then in zip(session.carried(direction), before, strict=True)
    )
    report.accepted = report.records - report.known - report.refused
    report.repaired = session.counts.repaired - repaired_before
    report.error = session.reason


async def _until_settled(links: "Links", session: "Session") -> None:
    if session.link.role is Role.DIALLER:
        await links.until(lambda: session.link.is_settled or session.reason is not None)
        return
    while session.reason is None and not _is_identical(session):
        frames = session.counts.frames_in
        try:
            async with asyncio.timeout(QUIET_S):
                await links.until(lambda: session.counts.frames_in > frames)  # noqa: B023  (awaited here)
        except TimeoutError:
            if session.link.state is LinkState.LIVE:
                return


def _is_identical(session: "Session") -> bool:
    status = session.link.status()
    return status.state is LinkState.LIVE and all(each.step is Step.IDENTICAL for each in status.domains.values())


async def _through(links: "Links", peer: Peer, job: Job) -> dict[str, int]:
    stored = await links.node.store.cursors()
    return {
        it.domain: it.timestamp
        for it in stored
        if (it.peer, it.direction) == (peer.name, job.direction) and job.domain in (None, it.domain)
    }
