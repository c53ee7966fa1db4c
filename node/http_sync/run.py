"""One sync run with one peer over plain HTTP, in one direction: first by the cursor, then by a comparison of ids.

A run asks the peer what it holds (`GET /node`) and skips every domain whose fingerprint is the same here. Of each other
domain, a pass carries the records by timestamp, from the cursor on, oldest first. The cursor is stored after each batch
is committed, so a run that breaks off continues there. A pass misses a record that came late with an old timestamp.
The fingerprints then still differ; so all ids are compared, and exactly the missing records are carried. Everything
that is wrong with the peer ends the run, with `error` in its report.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import msgspec

from node.clocks import ClockReading, least_ahead_s
from node.http_sync.answers import NodeAnswer
from node.http_sync.parts import SyncParts
from node.http_sync.peer import HttpPeer, connect
from node.http_sync.report import Job, Report
from node.http_sync.transfer import DomainRefusedError, Pull, Push
from node.peers import checked_url
from node.store.contract import Cursor, Peer
from protocol.errors import Code, ProtocolError
from protocol.link.features import is_shared
from protocol.link.handshake import own_key_error
from protocol.link.terms import Flow
from protocol.sets.erased import ErasedKeys
from protocol.sets.index import EMPTY
from protocol.sets.paging import Pass

PASSES_MAX: Final = 3
"""Passes of one domain in one run, while the giver's fingerprint changes between them. New records are work for a pass,
not for a comparison.
"""

COMPARISON_SHARE: Final = 20
"""A run at an interval compares ids again after this many times the duration of the last comparison. So comparisons
take at most a twentieth of the time.
"""


class PeerMemory(msgspec.Struct):
    """What is remembered of a peer between runs.

    `fingerprints` are those of the peer's last answer by domain, None if it never answered. `clock` is the peer's clock
    at its last answer, None if it did not tell its time. `features` are those that the peer named in its last answer,
    None if it never answered. `compare_again` is when ids of a domain may be compared again in a direction, in seconds
    of the loop's clock.
    """

    fingerprints: dict[str, str] | None = None
    clock: ClockReading | None = None
    features: tuple[str, ...] | None = None
    compare_again: dict[tuple[Flow, str], float] = msgspec.field(default_factory=dict)
    erased: ErasedKeys = msgspec.field(default_factory=ErasedKeys)
    """Records that one side cannot get from the other."""


async def sync_once(parts: SyncParts, peer: Peer, job: Job, memory: PeerMemory) -> Report:
    """One whole run. Raises nothing but errors of this machine, such as a disk's."""
    loop = asyncio.get_running_loop()
    report, begun_s = Report(), loop.time()
    try:
        assert peer.url is not None, "a peer that is synced with has a URL"
        url, timeout_s, decoding = checked_url(peer.url), parts.settings.peer_timeout, parts.ingest.decoding
        async with connect(url, timeout_s, decoding, parts.settings.tls_ca) as remote:
            await _Run(parts, peer, remote, job, memory, report).run()
    except ProtocolError as error:
        report.fail(error.code, error.detail)
    report.seconds = round(loop.time() - begun_s, 6)
    return report


class _Run:
    """One run: decides which domains are carried, from which cursor on, and when ids are compared. A `Pull` or a `Push`
    carries the records.
    """

    def __init__(
        self, parts: SyncParts, peer: Peer, remote: HttpPeer, job: Job, memory: PeerMemory, report: Report
    ) -> None:
        """`remote` is a session with `peer`. `report` is filled in while the run goes on."""
        self._parts = parts
        self._peer = peer
        self._remote = remote
        self._job = job
        self._memory = memory
        self._report = report
        self._key = peer.key
        self._complete: set[str] = set()
        """Domains in which a comparison of ids has found every missing record, and none was refused."""

    async def run(self) -> None:
        answer = await self._greet()
        domains = self._choose_domains(answer)
        await self._load_cursors(domains)
        answer, domains = await self._pass_all(answer, domains)
        for domain in domains:
            await self._or_note(self._compare, domain, answer)
        if domains:
            answer = await self._greet()
        await self._align(answer)
        now_s = asyncio.get_running_loop().time()
        self._parts.convergence.compared(self._peer.name, now_s, is_in_step=self._is_in_step(answer))

    async def _greet(self) -> NodeAnswer:
        """What the peer holds now. Its key is pinned at the first answer.

        Raises:
            ProtocolError: `unauthorized` if its key has changed, or if the peer is this node; `duplicate_key` if it is
                another process with this node's key.
        """
        asked_s = self._parts.world.now_s()
        answer = await self._remote.get_node()
        if answer.node == self._parts.key.public:
            raise self._own_key_error(answer)
        if self._key is None:
            await self._parts.peers.pin(self._peer.name, answer.node)
            self._key = answer.node
        if answer.node != self._key:
            remedy = "if its operator confirms the new key, remove the peer and add it again"
            detail = f"the key changed: it was {self._key} and is {answer.node}; {remedy}"
            raise ProtocolError(Code.UNAUTHORIZED, detail)
        self._parts.duplicate_keys.see(answer.node, answer.instance, self._peer.name)
        self._read_clock(answer, asked_s)
        self._memory.features = answer.features
        self._memory.erased.meet(answer.instance)
        self._memory.fingerprints = {name: held.fingerprint for name, held in answer.domains.items()}
        return answer

    def _own_key_error(self, answer: NodeAnswer) -> ProtocolError:
        """The peer shows this node's own key."""
        error = own_key_error(answer.instance, self._parts.duplicate_keys.instance)
        if error.code is Code.DUPLICATE_KEY:
            self._parts.duplicate_keys.on_told(self._peer.name)
        return error

    def _read_clock(self, answer: NodeAnswer, asked_s: float) -> None:
        """Note how far the peer's clock is ahead. `asked_s` is when the request left, by this node's clock."""
        if answer.time is not None:
            now_s = self._parts.world.now_s()
            ahead_s = least_ahead_s(answer.time, asked_s, now_s)
            self._memory.clock = ClockReading(ahead_s, zero_s=now_s - asyncio.get_running_loop().time())
            self._report.clock_ahead_s = ahead_s

    def _choose_domains(self, answer: NodeAnswer) -> list[str]:
        """The domains of the job that the giving side holds and that this node keeps."""
        is_pull = self._job.direction is Flow.PULL
        held = answer.shared if is_pull else self._ours(answer)
        return sorted(d for d in held if self._job.domain in (None, d) and self._parts.keeps(d))

    def _ours(self, answer: NodeAnswer) -> list[str]:
        """The domains that this node holds and the peer can share."""
        return [domain for domain in self._parts.indexes.domains() if is_shared(domain, answer.features)]

    async def _load_cursors(self, domains: list[str]) -> None:
        place = (self._peer.name, self._job.direction)
        cursors = {c.domain: c.timestamp for c in await self._parts.store.cursors() if (c.peer, c.direction) == place}
        for domain in domains:
            self._report.through[domain] = cursors.get(domain, 0)

    async def _pass_all(self, answer: NodeAnswer, domains: list[str]) -> tuple[NodeAnswer, list[str]]:
        """Pass the domains that differ, again while the giver has new records. Returns the peer's last answer and the
        domains that differ still.
        """
        for _ in range(PASSES_MAX):
            differing = [d for d in domains if self._differs(answer, d)]
            given = {d: self._given_fingerprint(answer, d) for d in differing}
            for domain in differing:
                await self._or_note(self._pass, domain, answer)
            answer = await self._greet() if differing else answer
            domains = [d for d in differing if self._differs(answer, d)]
            if all(given[d] == self._given_fingerprint(answer, d) for d in domains):
                break
        return answer, domains

    def _differs(self, answer: NodeAnswer, domain: str) -> bool:
        theirs = answer.domains.get(domain)
        ours = self._parts.indexes.get(domain) or EMPTY
        return theirs is None or not self._memory.erased.is_same(domain, ours, theirs.fingerprint)

    def _is_in_step(self, answer: NodeAnswer) -> bool:
        """Whether neither side lacks a record that should flow to it. If records flow one way, the receiver may hold
        more.
        """
        peer = self._peer
        theirs = answer.shared if peer.pull else ()
        ours = self._ours(answer) if peer.push else ()
        complete = frozenset() if peer.pull and peer.push else self._complete
        flowing = set(filter(self._parts.keeps, (*theirs, *ours)))
        return not any(self._differs(answer, domain) for domain in flowing - complete)

    def _given_fingerprint(self, answer: NodeAnswer, domain: str) -> str:
        """The fingerprint of the giving side."""
        theirs = answer.domains.get(domain)
        if self._job.direction is Flow.PULL and theirs is not None:
            return theirs.fingerprint
        return (self._parts.indexes.get(domain) or EMPTY).fingerprint().hex()

    async def _or_note(self, work: Callable[[str, str], Awaitable[None]], domain: str, answer: NodeAnswer) -> None:
        """Do the work on a domain. If one side does not keep the domain, the report says so and the run goes on."""
        try:
            await work(domain, answer.node)
        except ProtocolError as error:
            if error.code is not Code.UNKNOWN_DOMAIN and not isinstance(error, DomainRefusedError):
                raise
            self._report.fail(error.code, f"{domain}: {error.detail}")

    async def _pass(self, domain: str, key: str) -> None:
        """Carry the records from the cursor on. `key` is the peer's."""
        course = Pass(self._report.through[domain])
        async with aclosing(self._transfer(domain, key).carry_since(course.through)) as batches:
            async for outcomes in batches:
                for outcome in outcomes:
                    assert outcome.record is not None, "a sync carries records that were decoded before"
                    course.step(outcome.record.timestamp, outcome.code)
                await self._put_cursor(domain, course.cursor(self._parts.world.now_s()))
                if course.is_held and self._job.direction is Flow.PULL:
                    return  # this record is too new, and so are all records behind it

    async def _compare(self, domain: str, key: str) -> None:
        """Carry the records that the passes missed. A run at an interval does so for a limited share of its time."""
        loop, place = asyncio.get_running_loop(), (self._job.direction, domain)
        begun = loop.time()
        if not self._job.is_asked and begun < self._memory.compare_again.get(place, begun):
            return
        accepted_before, refused_before = self._report.accepted, self._report.refused
        try:
            is_any_left = await self._transfer(domain, key).carry_missing()
        finally:
            self._report.repaired += self._report.accepted - accepted_before
        if not is_any_left and self._report.refused == refused_before:
            self._complete.add(domain)
        self._memory.compare_again[place] = loop.time() + COMPARISON_SHARE * (loop.time() - begun)

    async def _align(self, answer: NodeAnswer) -> None:
        """Move the cursor of each domain in which both hold the same to its newest record: nothing before is missing,
        even if the records came some other way.
        """
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
            return Pull(self._parts, self._remote, domain, self._report, self._memory.erased)
        return Push(self._parts, key, self._remote, domain, self._report, self._memory.erased)
