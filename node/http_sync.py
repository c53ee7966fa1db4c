"""One sync run with one peer over plain HTTP, in one direction: first by the cursor, then by what is still missing.

A run asks the peer what it holds (`GET /node`) and leaves every domain alone whose fingerprint is the same here. The
others are passed through by timestamp, from the cursor on, oldest first; the cursor is stored after each batch is
committed, so a run that breaks off goes on where it was. What such a pass misses (a record that came late with an old
timestamp) shows in the fingerprints: then all ids are compared, and exactly the missing records are fetched or sent.
Whatever is wrong with the peer ends the run with `error` in its report.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from node.arrivals import Origin, Status, Submission
from node.http_peer import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    IDS_PER_REQUEST_MAX,
    HttpPeer,
    NodeAnswer,
    PutAnswer,
    connect,
)
from node.peers import checked_url
from node.store import Cursor, Peer
from protocol.admission import Trust
from protocol.catch_up import FIRST, INVALID, Pass, after, before, lacking, walk
from protocol.errors import TRANSIENT, Code, ProtocolError
from protocol.index import Index, key_id
from protocol.push import PUSH_HEADER, sign_push
from protocol.record import SignedRecord

if TYPE_CHECKING:
    from node.node import Node

PASSES_MAX: Final = 3
"""Of one domain in one run, while the peer's fingerprint moves between them: new records are a pass's work, not a
comparison's."""

COMPARISON_SHARE: Final = 20
"""Runs at an interval compare ids again after this many times what the last comparison took: a twentieth of the time,
at most."""

_STORE_READ_RECORDS = 128
"""Records read from the store at once: 8 MiB at most."""

_LINE_OVERHEAD_BYTES = 128 + len('"":,')
_EMPTY = Index()


class Direction(StrEnum):
    """Which way records go, seen from this node."""

    PUSH = "push"
    PULL = "pull"


class Report(msgspec.Struct):
    """What one run did. `records` went through the wire, `repaired` are those of `accepted` that the cursor had missed;
    `through` is the cursor of each domain that was looked at; `error` says why it ended early, None where it did not.
    """

    records: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    repaired: int = 0
    through: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    def count(self, status: str) -> None:
        """One record more of this status."""
        if status == Status.ACCEPTED:
            self.accepted += 1
        elif status == Status.KNOWN:
            self.known += 1
        else:
            self.refused += 1


class Acquaintance(msgspec.Struct):
    """What is remembered of a peer between runs: its fingerprint of each domain at the last answer (None: it never
    answered), and when ids of a domain may be compared again in a direction, in seconds of the loop's clock.
    """

    fingerprints: dict[str, str] | None = None
    compare_again: dict[tuple[Direction, str], float] = msgspec.field(default_factory=dict)


class Job(msgspec.Struct, frozen=True):
    """What a run is to do. `domain` None: every domain. `is_asked`: somebody waits for it, so nothing is put off."""

    direction: Direction
    domain: str | None = None
    is_asked: bool = True


async def sync_once(node: "Node", peer: Peer, job: Job, acquaintance: Acquaintance) -> Report:
    """One whole run. Only the machine's own errors (a disk's) are raised."""
    loop = asyncio.get_running_loop()
    report, begun = Report(), loop.time()
    try:
        assert peer.url is not None, "a peer that is synced with has a URL"
        async with connect(checked_url(peer.url), node.settings.peer_timeout) as remote:
            await _Run(node, peer, remote, job, acquaintance, report).run()
    except ProtocolError as error:
        report.error = error.detail
    report.seconds = round(loop.time() - begun, 6)
    return report


class _Run:
    """The run: which domains, how far each has come, when to compare. What goes over the wire is `_Pull`'s or
    `_Push`'s.
    """

    def __init__(
        self, node: "Node", peer: Peer, remote: HttpPeer, job: Job, acquaintance: Acquaintance, report: Report
    ) -> None:
        self._node = node
        self._peer = peer
        self._remote = remote
        self._job = job
        self._acquaintance = acquaintance
        self._report = report
        self._key = peer.key

    async def run(self) -> None:
        answer = await self._greet()
        stored = await self._node.store.cursors()
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

    async def _greet(self) -> NodeAnswer:
        """What the peer holds now; its key is pinned at the first answer.

        Raises:
            ProtocolError: `unauthorized` where it is not who it was, or is this node.
        """
        answer = await self._remote.node()
        if answer.node == self._node.key.public:
            raise ProtocolError(Code.UNAUTHORIZED, "this peer is the node itself: remove it")
        if self._key is None:
            await self._node.peers.pin(self._peer.name, answer.node)
            self._key = answer.node
        if answer.node != self._key:
            detail = f"the key changed: it was {self._key} and is {answer.node}. If that is right, put the peer anew"
            raise ProtocolError(Code.UNAUTHORIZED, detail)
        self._acquaintance.fingerprints = {name: held.fingerprint for name, held in answer.domains.items()}
        return answer

    def _domains(self, answer: NodeAnswer) -> list[str]:
        """Those that the giving side holds, and this one keeps."""
        is_pull = self._job.direction is Direction.PULL
        held = answer.domains if is_pull else self._node.indexes.domains()
        kept = self._node.settings.domains
        return sorted(d for d in held if self._job.domain in (None, d) and (kept is None or d in kept))

    def _differs(self, answer: NodeAnswer, domain: str) -> bool:
        theirs = answer.domains.get(domain)
        ours = self._node.indexes.get(domain) or _EMPTY
        return theirs is None or theirs.fingerprint != ours.fingerprint().hex()

    def _given(self, answer: NodeAnswer, domain: str) -> str:
        """The fingerprint of the side that gives."""
        theirs = answer.domains.get(domain)
        if self._job.direction is Direction.PULL and theirs is not None:
            return theirs.fingerprint
        return (self._node.indexes.get(domain) or _EMPTY).fingerprint().hex()

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
            async for results in batches:
                for timestamp, refusal in results:
                    course.step(timestamp, refusal)
                await self._put_cursor(domain, course.cursor(self._node.world.now_s()))
                if course.is_held and self._job.direction is Direction.PULL:
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
            index = self._node.indexes.get(domain)
            if index is not None and index.newest is not None and not self._differs(answer, domain):
                await self._put_cursor(domain, min(index.newest, int(self._node.world.now_s())))

    async def _put_cursor(self, domain: str, timestamp: int) -> None:
        if timestamp != self._report.through[domain]:
            self._report.through[domain] = timestamp
            await self._node.store.put_cursors([Cursor(self._peer.name, domain, self._job.direction, timestamp)])

    def _transfer(self, domain: str, key: str) -> "_Pull | _Push":
        if self._job.direction is Direction.PULL:
            return _Pull(self._node, self._remote, domain, self._report)
        return _Push(self._node, key, self._remote, domain, self._report)


class DomainRefusedError(ProtocolError):
    """The receiving side takes nothing of a domain; others may still go through."""


Result = tuple[int, Code | None]
"""A record's timestamp, and the code of its refusal; None: it was accepted or known."""


class _Pull:
    """Records of one domain from the peer to this node."""

    def __init__(self, node: "Node", remote: HttpPeer, domain: str, report: Report) -> None:
        self._node = node
        # No address, so no quota: this node asks for what it gets, as fast as it takes it in.
        self._origin = Origin(Trust.PEER, waits=True)
        self._remote = remote
        self._domain = domain
        self._report = report

    async def since(self, timestamp: int) -> AsyncGenerator[list[Result], None]:
        async with aclosing(
            self._remote.records_since(self._domain, timestamp, self._node.settings.sync_page)
        ) as batches:
            async for records in batches:
                yield await self._take(records)

    async def missing(self) -> None:
        """Fetch what the peer lists and this node lacks. What is still too new is left for later."""
        skew = self._node.settings.max_skew
        newest = None if skew is None else after(int(self._node.world.now_s()) + skew)
        async with aclosing(self._remote.keys(self._domain)) as pages:
            async for page in pages:
                keys = lacking(page, self._node.indexes.get(self._domain) or _EMPTY)
                for begin in range(0, len(keys), IDS_PER_REQUEST_MAX):
                    wanted = keys[begin : begin + IDS_PER_REQUEST_MAX]
                    await self._fetch([key_id(key).hex() for key in wanted if newest is None or key <= newest])

    async def _fetch(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        records = await self._remote.records(ids)
        if len(records) < len(ids):
            raise ProtocolError(Code.MALFORMED, "the peer is cut off: it lists records that it does not give")
        await self._take(records)

    async def _take(self, records: Sequence[SignedRecord]) -> list[Result]:
        """Through the one way in. A record that is not valid ends the run, after the good ones are in."""
        submissions = [Submission(signed.signature, signed.record.canonical) for signed in records]
        outcomes = await self._node.ingest.take(submissions, self._origin)
        self._report.records += len(records)
        for signed, outcome in zip(records, outcomes, strict=True):
            self._report.count(outcome.status)
            if outcome.code in INVALID and not signed.record.is_reserved:
                detail = f"the peer is cut off: it gave an invalid record ({outcome.code}: {outcome.detail})"
                raise ProtocolError(Code.MALFORMED, detail)
            if outcome.code is Code.UNKNOWN_DOMAIN:
                raise ProtocolError(Code.UNKNOWN_DOMAIN, outcome.detail or "this node does not keep the domain")
        return [(signed.record.timestamp, outcome.code) for signed, outcome in zip(records, outcomes, strict=True)]


class _Push:
    """Records of one domain from this node to the peer."""

    def __init__(self, node: "Node", key: str, remote: HttpPeer, domain: str, report: Report) -> None:
        self._node = node
        self._key = key
        self._remote = remote
        self._domain = domain
        self._report = report
        self._index = node.indexes.get(domain) or _EMPTY

    async def since(self, timestamp: int) -> AsyncGenerator[list[Result], None]:
        for page in walk(self._index, before(timestamp), None, self._node.settings.sync_page):
            async with aclosing(self._batches(page)) as batches:
                async for records in batches:
                    results = await self._send(records)
                    if {refusal for _, refusal in results} == {Code.UNKNOWN_DOMAIN}:
                        raise DomainRefusedError(Code.UNKNOWN_DOMAIN, "the peer does not keep this domain")
                    yield results
                    _check_not_busy(results)

    async def missing(self) -> None:
        """Send what this node holds and the peer does not list."""
        last = FIRST
        async with aclosing(self._their_keys()) as pages:
            async for page in pages:
                await self._send_lacking(last, page[-1], page)
                last = page[-1]
        await self._send_lacking(last, None, [])

    async def _their_keys(self) -> AsyncGenerator[list[bytes], None]:
        """What the peer lists; nothing where it holds nothing of the domain."""
        try:
            async with aclosing(self._remote.keys(self._domain)) as pages:
                async for page in pages:
                    yield page
        except ProtocolError as error:
            if error.code is not Code.UNKNOWN_DOMAIN:
                raise

    async def _send_lacking(self, begin: bytes, end: bytes | None, theirs: Sequence[bytes]) -> None:
        held = frozenset(theirs)
        for page in walk(self._index, begin, end, self._node.settings.sync_page):
            async with aclosing(self._batches(lacking(page, held))) as batches:
                async for records in batches:
                    _check_welcome(await self._send(records))

    async def _batches(self, keys: Sequence[bytes]) -> AsyncGenerator[list[SignedRecord], None]:
        """Their records in the same order, in batches that one request may hold; never an empty one."""
        batch: list[SignedRecord] = []
        size = 0
        for begin in range(0, len(keys), _STORE_READ_RECORDS):
            ids = [key_id(key).hex() for key in keys[begin : begin + _STORE_READ_RECORDS]]
            stored = await self._node.store.records(ids)
            for signed in (stored[record_id].signed for record_id in ids):
                cost = len(signed.record.canonical) + _LINE_OVERHEAD_BYTES
                if size + cost > BATCH_BYTES_MAX - len("{}") or len(batch) == BATCH_RECORDS_MAX:
                    yield batch
                    batch, size = [], 0
                batch.append(signed)
                size += cost
        if batch:
            yield batch

    async def _send(self, records: Sequence[SignedRecord]) -> list[Result]:
        """Offer them, signed as a push."""
        body = b"{" + b",".join(b'"%b":%b' % (s.signature.encode(), s.record.canonical) for s in records) + b"}"
        header = sign_push(self._node.key, self._key, body, self._node.world.now_s())
        answers = await self._remote.put(body, (PUSH_HEADER, header))
        if answers.keys() != {signed.signature for signed in records}:
            raise ProtocolError(Code.MALFORMED, "the peer is cut off: its answer is not about the records sent")
        self._report.records += len(records)
        for answer in answers.values():
            self._report.count(answer.status)
        return [(signed.record.timestamp, _refusal(answers[signed.signature])) for signed in records]


def _refusal(answer: PutAnswer) -> Code | None:
    """The code of a refusal; one that this version does not know counts as `stale`, a refusal for good."""
    if answer.status != Status.REFUSED:
        return None
    return Code(answer.code) if answer.code in frozenset(Code) else Code.STALE


def _check_welcome(results: Sequence[Result]) -> None:
    """Sending on is useless where everything is refused for good: the peer does not accept this node, say.

    Raises:
        ProtocolError: with the codes; or that the peer is busy.
    """
    _check_not_busy(results)
    refusals = sorted({refusal for _, refusal in results if refusal is not None})
    is_any_taken = any(refusal is None or refusal in TRANSIENT for _, refusal in results)
    if not is_any_taken:
        codes = ", ".join(refusals)
        detail = f"the peer refuses all {len(results)} records that it lacks ({codes}): does it accept this node's key?"
        raise DomainRefusedError(refusals[0], detail)


def _check_not_busy(results: Sequence[Result]) -> None:
    """Raises: ProtocolError: the peer takes no more for now; a record that is too new says nothing about that."""
    busy = sorted({refusal for _, refusal in results if refusal in TRANSIENT - {Code.TOO_NEW}} - {None})
    if busy:
        raise ProtocolError(busy[0], f"the peer takes no more for now ({busy[0]}): the next run goes on from here")
