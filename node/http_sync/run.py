"""One sync run with one peer over plain HTTP, in one direction: first by the cursor, then by what is still missing.

A run asks the peer what it holds (`GET /node`) and leaves every domain alone whose fingerprint is the same here. The
others are passed through by timestamp, from the cursor on, oldest first; the cursor is stored after each batch is
committed, so a run that breaks off goes on where it was. What such a pass misses (a record that came late with an old
timestamp) shows in the fingerprints: then all ids are compared, and exactly the missing records are fetched or sent.
Whatever is wrong with the peer ends the run with `error` in its report.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import msgspec

from node.http_sync.parts import SyncParts
from node.http_sync.peer import HttpPeer, NodeAnswer, connect
from node.http_sync.report import Job, Report
from node.http_sync.transfer import DomainRefusedError, Pull, Push
from node.peers import checked_url
from node.store.contract import Cursor, Peer
from protocol.errors import Code, ProtocolError
from protocol.link.terms import Flow
from protocol.sets.index import EMPTY
from protocol.sets.walk import Pass

PASSES_MAX: Final = 3
"""Of one domain in one run, while the peer's fingerprint moves between them: new records are a pass's work, not a
comparison's."""

COMPARISON_SHARE: Final = 20
"""Runs at an interval compare ids again after this many times what the last comparison took: a twentieth of the time,
at most."""


class Acquaintance(msgspec.Struct):
    """What is remembered of a peer between runs: its fingerprint of each domain at the last answer (None: it never
    answered), and when ids of a domain may be compared again in a direction, in seconds of the loop's clock.
    """

    fingerprints: dict[str, str] | None = None
    compare_again: dict[tuple[Flow, str], float] = msgspec.field(default_factory=dict)


async def sync_once(parts: SyncParts, peer: Peer, job: Job, acquaintance: Acquaintance) -> Report:
    """One whole run. Only the machine's own errors (a disk's) are raised."""
    loop = asyncio.get_running_loop()
    report, begun = Report(), loop.time()
    try:
        assert peer.url is not None, "a peer that is synced with has a URL"
        async with connect(checked_url(peer.url), parts.settings.peer_timeout, parts.settings.tls_ca) as remote:
            await _Run(parts, peer, remote, job, acquaintance, report).run()
    except ProtocolError as error:
        report.error = error.detail
    report.seconds = round(loop.time() - begun, 6)
    return report


class _Run:
    """The run: which domains, how far each has come, when to compare. What goes over the wire is `_Pull`'s or
    `_Push`'s.
    """

    def __init__(
        self, parts: SyncParts, peer: Peer, remote: HttpPeer, job: Job, acquaintance: Acquaintance, report: Report
    ) -> None:
        self._parts = parts
        self._peer = peer
        self._remote = remote
        self._job = job
        self._acquaintance = acquaintance
        self._report = report
        self._key = peer.key

    async def run(self) -> None:
        answer = await self._greet()
        stored = await self._parts.store.cursors()
        cursors = {
            c.domain: c.timestamp for c in stored if (c.peer, c.direction) == (self._peer.name, self._job.direction)
        }
        domains = self._domains(answer)
        for domain in domains:
            self._report.through[domain] = cursors.get(domain, 0)
        for _ in range(PASSES_MAX):
            differing = [d for d in domains if self._differs(answer, d)]
            given = {d: self._given(answer, d) for d in differing}
            for domain in differing:
                await self._or_note(self._pass, domain, answer)
            answer = await self._greet() if differing else answer
            domains = [d for d in differing if self._differs(answer, d)]
            if all(given[d] == self._given(answer, d) for d in domains):
                break
        for domain in domains:
            await self._or_note(self._compare, domain, answer)
        if domains:
            answer = await self._greet()
        await self._align(answer)
        now_s = asyncio.get_running_loop().time()
        self._parts.convergence.compared(self._peer.name, now_s, is_identical=self._is_in_step(answer))

    async def _greet(self) -> NodeAnswer:
        """What the peer holds now; its key is pinned at the first answer.

        Raises:
            ProtocolError: `unauthorized` where it is not who it was, or is this node.
        """
        answer = await self._remote.node()
        if answer.node == self._parts.key.public:
            raise ProtocolError(Code.UNAUTHORIZED, "this peer is the node itself: remove it")
        if self._key is None:
            await self._parts.peers.pin(self._peer.name, answer.node)
            self._key = answer.node
        if answer.node != self._key:
            detail = f"the key changed: it was {self._key} and is {answer.node}. If that is right, put the peer anew"
            raise ProtocolError(Code.UNAUTHORIZED, detail)
        self._acquaintance.fingerprints = {name: held.fingerprint for name, held in answer.domains.items()}
        return answer

    def _domains(self, answer: NodeAnswer) -> list[str]:
        """Those that the giving side holds, and this one keeps."""
        is_pull = self._job.direction is Flow.PULL
        held = answer.domains if is_pull else self._parts.indexes.domains()
        kept = self._parts.settings.domains
        return sorted(d for d in held if self._job.domain in (None, d) and (kept is None or d in kept))

    def _differs(self, answer: NodeAnswer, domain: str) -> bool:
        theirs = answer.domains.get(domain)
        ours = self._parts.indexes.get(domain) or EMPTY
        return theirs is None or theirs.fingerprint != ours.fingerprint().hex()

    def _is_in_step(self, answer: NodeAnswer) -> bool:
        """Whether nothing differs in all that the two exchange, in both directions."""
        theirs = answer.domains if self._peer.pull else ()
        ours = self._parts.indexes.domains() if self._peer.push else ()
        kept = self._parts.settings.domains
        return not any(self._differs(answer, d) for d in {*theirs, *ours} if kept is None or d in kept)

    def _given(self, answer: NodeAnswer, domain: str) -> str:
        """The fingerprint of the side that gives."""
        theirs = answer.domains.get(domain)
        if self._job.direction is Flow.PULL and theirs is not None:
            return theirs.fingerprint
        return (self._parts.indexes.get(domain) or EMPTY).fingerprint().hex()

    async def _or_note(self, work: Callable[[str, str], Awaitable[None]], domain: str, answer: NodeAnswer) -> None:
        """Do it; that one of the two does not take a domain is noted, and ends no more than the work on that domain."""
        try:
            await work(domain, answer.node)
        except ProtocolError as error:
            if error.code is not Code.UNKNOWN_DOMAIN and not isinstance(error, DomainRefusedError):
                raise
            self._report.error = f"{domain}: {error.detail}"

    async def _pass(self, domain: str, key: str) -> None:
        """Carry what is newer than the cursor."""
        course = Pass(self._report.through[domain])
        async with aclosing(self._transfer(domain, key).since(course.through)) as batches:
            async for outcomes in batches:
                for outcome in outcomes:
                    assert outcome.record is not None, "a sync carries records that were decoded before"
                    course.step(outcome.record.timestamp, outcome.code)
                await self._put_cursor(domain, course.cursor(self._parts.world.now_s()))
                if course.is_held and self._job.direction is Flow.PULL:
                    return  # too new, and so is all that follows

    async def _compare(self, domain: str, key: str) -> None:
        """Carry whatever the passes missed. Runs at an interval spend a share of their time on it, and no more."""
        loop, place = asyncio.get_running_loop(), (self._job.direction, domain)
        begun = loop.time()
        if not self._job.is_asked and begun < self._acquaintance.compare_again.get(place, begun):
            return
        accepted_before = self._report.accepted
        try:
            await self._transfer(domain, key).missing()
        finally:
            self._report.repaired += self._report.accepted - accepted_before
        self._acquaintance.compare_again[place] = loop.time() + COMPARISON_SHARE * (loop.time() - begun)

    async def _align(self, answer: NodeAnswer) -> None:
        """Where both hold the same, everything went through, whichever way it came: the cursor says so."""
        for domain in self._report.through:
            index = self._parts.indexes.get(domain)
            if index is not None and index.newest is not None and not self._differs(answer, domain):
                await self._put_cursor(domain, min(index.newest, int(self._parts.world.now_s())))

    async def _put_cursor(self, domain: str, timestamp: int) -> None:
        if timestamp != self._report.through[domain]:
            self._report.through[domain] = timestamp
            await self._parts.store.put_cursors([Cursor(self._peer.name, domain, self._job.direction, timestamp)])

    def _transfer(self, domain: str, key: str) -> "Pull | Push":
        if self._job.direction is Flow.PULL:
            return Pull(self._parts, self._remote, domain, self._report)
        return Push(self._parts, key, self._remote, domain, self._report)
