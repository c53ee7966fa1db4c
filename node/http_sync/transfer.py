"""What goes over the wire in a sync: records of one domain, fetched from a peer or sent to it.

Both ways have the same two strokes, `since` for a pass by timestamp and `missing` for what a comparison of ids finds,
and hold one batch in memory at a time. What the other side says of a record, or what the pipeline here does, becomes a
count in the report and a result that moves the cursor.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from node.http_sync.parts import SyncParts
from node.http_sync.peer import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, IDS_PER_REQUEST_MAX, HttpPeer, PutAnswer
from node.http_sync.report import Report
from node.intake.arrivals import Delivery, Origin
from protocol.errors import TRANSIENT, Code, ProtocolError, refusal_code
from protocol.records.admission import Trust
from protocol.records.outcome import Outcome, Status
from protocol.records.push import PUSH_HEADER, sign_push
from protocol.records.record import SignedRecord
from protocol.sets.index import EMPTY, key_id
from protocol.sets.walk import FIRST, after, before, lacking, walk

_STORE_READ_RECORDS: Final = 128
"""Records read from the store at once: 8 MiB at most."""

_LINE_OVERHEAD_BYTES: Final = 128 + len('"":,')


class DomainRefusedError(ProtocolError):
    """The receiving side takes nothing of a domain; others may still go through."""


_CATCH_UP: Final = Delivery(waits=True, is_news=False)


class Pull:
    """Records of one domain from the peer to this node."""

    def __init__(self, parts: SyncParts, remote: HttpPeer, domain: str, report: Report) -> None:
        self._parts = parts
        # No address, so no quota: this node asks for what it gets, as fast as it takes it in.
        self._origin = Origin(Trust.PEER)
        self._remote = remote
        self._domain = domain
        self._report = report

    async def since(self, timestamp: int) -> AsyncGenerator[list[Outcome], None]:
        """Carry everything from this timestamp on, in seconds, oldest first; gives the outcomes of each batch."""
        async with aclosing(
            self._remote.records_since(self._domain, timestamp, self._parts.settings.sync_page)
        ) as batches:
            async for records in batches:
                yield await self._take(records)

    async def missing(self) -> None:
        """Fetch what the peer lists and this node lacks. What is still too new is left for later."""
        skew = self._parts.settings.max_skew
        newest = None if skew is None else after(int(self._parts.world.now_s()) + skew)
        async with aclosing(self._remote.keys(self._domain)) as pages:
            async for page in pages:
                keys = lacking(page, self._parts.indexes.get(self._domain) or EMPTY)
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

    async def _take(self, records: Sequence[SignedRecord]) -> list[Outcome]:
        """Through the one way in. A record that is not valid ends the run, after the good ones are in."""
        outcomes = await self._parts.ingest.take_records(records, self._origin, _CATCH_UP)
        self._report.records += len(records)
        for outcome in outcomes:
            self._report.count(outcome.status)
            if outcome.is_invalid:
                detail = f"the peer is cut off: it gave an invalid record ({outcome.code}: {outcome.detail})"
                raise ProtocolError(Code.MALFORMED, detail)
            if outcome.code is Code.UNKNOWN_DOMAIN:
                raise ProtocolError(Code.UNKNOWN_DOMAIN, outcome.detail or "this node does not keep the domain")
        return outcomes


class Push:
    """Records of one domain from this node to the peer."""

    def __init__(self, parts: SyncParts, key: str, remote: HttpPeer, domain: str, report: Report) -> None:
        self._parts = parts
        self._key = key
        self._remote = remote
        self._domain = domain
        self._report = report
        self._index = parts.indexes.get(domain) or EMPTY

    async def since(self, timestamp: int) -> AsyncGenerator[list[Outcome], None]:
        """Carry everything from this timestamp on, in seconds, oldest first; gives the outcomes of each batch."""
        for page in walk(self._index, before(timestamp), None, self._parts.settings.sync_page):
            async with aclosing(self._batches(page)) as batches:
                async for records in batches:
                    outcomes = await self._send(records)
                    if {outcome.code for outcome in outcomes} == {Code.UNKNOWN_DOMAIN}:
                        raise DomainRefusedError(Code.UNKNOWN_DOMAIN, "the peer does not keep this domain")
                    yield outcomes
                    _check_not_busy(outcomes)

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
        for page in walk(self._index, begin, end, self._parts.settings.sync_page):
            async with aclosing(self._batches(lacking(page, held))) as batches:
                async for records in batches:
                    _check_welcome(await self._send(records))

    async def _batches(self, keys: Sequence[bytes]) -> AsyncGenerator[list[SignedRecord], None]:
        """Their records in the same order, in batches that one request may hold; never an empty one."""
        batch: list[SignedRecord] = []
        size = 0
        for begin in range(0, len(keys), _STORE_READ_RECORDS):
            ids = [key_id(key).hex() for key in keys[begin : begin + _STORE_READ_RECORDS]]
            stored = await self._parts.store.records(ids)
            for signed in (stored[record_id].signed for record_id in ids):
                cost = len(signed.record.canonical) + _LINE_OVERHEAD_BYTES
                if size + cost > BATCH_BYTES_MAX - len("{}") or len(batch) == BATCH_RECORDS_MAX:
                    yield batch
                    batch, size = [], 0
                batch.append(signed)
                size += cost
        if batch:
            yield batch

    async def _send(self, records: Sequence[SignedRecord]) -> list[Outcome]:
        """Offer them, signed as a push."""
        body = b"{" + b",".join(b'"%b":%b' % (s.signature.encode(), s.record.canonical) for s in records) + b"}"
        header = sign_push(self._parts.key, self._key, body, self._parts.world.now_s())
        answers = await self._remote.put(body, (PUSH_HEADER, header))
        if answers.keys() != {signed.signature for signed in records}:
            raise ProtocolError(Code.MALFORMED, "the peer is cut off: its answer is not about the records sent")
        self._report.records += len(records)
        outcomes = [_outcome(signed, answers[signed.signature]) for signed in records]
        for outcome in outcomes:
            self._report.count(outcome.status)
        return outcomes


def _outcome(signed: SignedRecord, answer: PutAnswer) -> Outcome:
    status = Status(answer.status)
    code = refusal_code(answer.code) if status is Status.REFUSED else None
    return Outcome(signed.signature, status, signed.record, code=code)


def _check_welcome(outcomes: Sequence[Outcome]) -> None:
    """Sending on is useless where everything is refused for good: the peer does not accept this node, say.

    Raises:
        ProtocolError: with the codes; or that the peer is busy.
    """
    _check_not_busy(outcomes)
    refusals = sorted({outcome.code for outcome in outcomes if outcome.code is not None})
    is_any_taken = any(outcome.code is None or outcome.code in TRANSIENT for outcome in outcomes)
    if not is_any_taken:
        codes = ", ".join(refusals)
        detail = (
            f"the peer refuses all {len(outcomes)} records that it lacks ({codes}): does it accept this node's key?"
        )
        raise DomainRefusedError(refusals[0], detail)


def _check_not_busy(outcomes: Sequence[Outcome]) -> None:
    """Raises: ProtocolError: the peer takes no more for now; a record that is too new says nothing about that."""
    busy = sorted(outcome.code for outcome in outcomes if outcome.code in TRANSIENT - {Code.TOO_NEW})
    if busy:
        raise ProtocolError(busy[0], f"the peer takes no more for now ({busy[0]}): the next run goes on from here")
