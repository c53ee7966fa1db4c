"""The records of one domain on their way, from a peer (`Pull`) or to a peer (`Push`).

Both have the same two methods: `carry_since` for a pass by timestamp, and `carry_missing` for a comparison of ids. Both
hold one batch in memory at a time. The outcome of each record, which the receiving side decides, is counted in the
report, and moves the cursor of a pass.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from node.http_sync.answers import PutAnswer, cut_off
from node.http_sync.body import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from node.http_sync.parts import SyncParts
from node.http_sync.peer import IDS_PER_REQUEST_MAX, PULLED, HttpPeer
from node.http_sync.refusals import counts_in_words, remedy_of
from node.http_sync.report import Report
from node.intake.arrivals import Delivery
from protocol.errors import TRANSIENT, Code, ProtocolError, refusal_code
from protocol.link.terms import Flow
from protocol.records.outcome import Outcome, Status
from protocol.records.push import PUSH_HEADER, sign_push
from protocol.records.record import SignedRecord
from protocol.sets.erased import ErasedKeys
from protocol.sets.index import EMPTY, key_id
from protocol.sets.paging import FIRST, after, before, lacking, pages_of

_STORE_READ_RECORDS: Final = 128
"""Records that are read from the store at once: 8 MiB at most."""

_LINE_OVERHEAD_BYTES: Final = 128 + len('"":,')
"""Bytes of a record's entry in a batch beside the record: its signature, and what stands around both."""

_CATCH_UP: Final = Delivery(waits=True, is_live=False)


class DomainRefusedError(ProtocolError):
    """The receiving side accepts nothing of a domain. Other domains may still go through."""


class Pull:
    """Records of one domain from the peer to this node."""

    def __init__(self, parts: SyncParts, remote: HttpPeer, domain: str, report: Report, erased: ErasedKeys) -> None:
        """`report` counts the records. `erased` remembers what the peer erased."""
        self._parts = parts
        self._erased = erased
        self._remote = remote
        self._domain = domain
        self._report = report

    async def carry_since(self, timestamp: int) -> AsyncGenerator[list[Outcome], None]:
        """Carry all records from this timestamp on, in seconds, oldest first. Yields the outcomes of each batch."""
        page_records = self._parts.settings.sync_page
        async with aclosing(self._remote.list_records(self._domain, timestamp, page_records)) as batches:
            async for records in batches:
                yield await self._take(records)

    async def carry_missing(self) -> bool:
        """Fetch the records that the peer lists and this node lacks. Returns whether there were any that are too new: a
        later run brings them.
        """
        is_any_too_new = False
        known = self._erased.there(self._domain)
        skew = self._parts.settings.max_skew
        newest = None if skew is None else after(int(self._parts.world.now_s()) + skew)
        async with aclosing(self._remote.list_keys(self._domain)) as pages:
            async for page in pages:
                keys = lacking(page, self._parts.indexes.get(self._domain) or EMPTY)
                keys = [key for key in keys if key_id(key).hex() not in known] if known else keys
                is_any_too_new |= newest is not None and bool(keys) and keys[-1] > newest
                for begin in range(0, len(keys), IDS_PER_REQUEST_MAX):
                    wanted = keys[begin : begin + IDS_PER_REQUEST_MAX]
                    await self._fetch([key for key in wanted if newest is None or key <= newest])
        return is_any_too_new

    async def _fetch(self, keys: Sequence[bytes]) -> None:
        if not keys:
            return
        records, erased = await self._remote.get_records([key_id(key).hex() for key in keys])
        if len(records) + len(erased) < len(keys):
            raise cut_off("it lists records that it does not give")
        self._erased.note_there(self._domain, [key for key in keys if key_id(key).hex() in erased])
        self._report.erased += len(erased)
        await self._take(records)

    async def _take(self, records: Sequence[SignedRecord]) -> list[Outcome]:
        """Hand the records to the intake. An invalid record ends the run, after the valid ones are in."""
        outcomes = await self._parts.ingest.take_records(records, PULLED, _CATCH_UP)
        self._report.records += len(records)
        for outcome in outcomes:
            self._report.count(outcome)
            if outcome.is_invalid:
                raise cut_off(f"it gave an invalid record ({outcome.code}: {outcome.detail})")
            if outcome.code is Code.UNKNOWN_DOMAIN:
                raise ProtocolError(Code.UNKNOWN_DOMAIN, outcome.detail or "this node does not keep the domain")
        return outcomes


class Push:
    """Records of one domain from this node to the peer."""

    def __init__(
        self, parts: SyncParts, key: str, remote: HttpPeer, domain: str, report: Report, erased: ErasedKeys
    ) -> None:
        """`key` is the peer's: pushes are signed for it alone. `report` counts the records. `erased` remembers what the
        peer lacks because it is erased here.
        """
        self._parts = parts
        self._erased = erased
        self._key = key
        self._remote = remote
        self._domain = domain
        self._report = report
        self._index = parts.indexes.get(domain) or EMPTY

    async def carry_since(self, timestamp: int) -> AsyncGenerator[list[Outcome], None]:
        """Carry all records from this timestamp on, in seconds, oldest first. Yields the outcomes of each batch."""
        for page in pages_of(self._index, before(timestamp), None, self._parts.settings.sync_page):
            async with aclosing(self._batches(page)) as batches:
                async for records in batches:
                    outcomes = await self._send(records)
                    if {outcome.code for outcome in outcomes} == {Code.UNKNOWN_DOMAIN}:
                        raise DomainRefusedError(Code.UNKNOWN_DOMAIN, "the peer does not keep this domain")
                    yield outcomes
                    _check_not_busy(outcomes)

    async def carry_missing(self) -> bool:
        """Send the records that this node holds and the peer does not list. Returns False: it leaves out no record."""
        last = FIRST
        async with aclosing(self._their_keys()) as pages:
            async for page in pages:
                await self._send_lacking(last, page[-1], page)
                last = page[-1]
        await self._send_lacking(last, None, [])
        return False

    async def _their_keys(self) -> AsyncGenerator[list[bytes], None]:
        """The keys that the peer lists. None at all if it does not know the domain."""
        try:
            async with aclosing(self._remote.list_keys(self._domain)) as pages:
                async for page in pages:
                    yield page
        except ProtocolError as error:
            if error.code is not Code.UNKNOWN_DOMAIN:
                raise

    async def _send_lacking(self, begin: bytes, end: bytes | None, theirs: Sequence[bytes]) -> None:
        """Send the records between these keys that are not in `theirs`."""
        held = frozenset(theirs)
        for page in pages_of(self._index, begin, end, self._parts.settings.sync_page):
            async with aclosing(self._batches(lacking(page, held))) as batches:
                async for records in batches:
                    _check_welcome(await self._send(records))

    async def _batches(self, keys: Sequence[bytes]) -> AsyncGenerator[list[SignedRecord], None]:
        """The records of these keys, in their order, in batches that fit into one request. No batch is empty."""
        batch: list[SignedRecord] = []
        size = 0
        for begin in range(0, len(keys), _STORE_READ_RECORDS):
            ids = [key_id(key).hex() for key in keys[begin : begin + _STORE_READ_RECORDS]]
            stored = await self._parts.store.records(ids)
            held = [stored[record_id].signed for record_id in ids if record_id in stored]
            self._erased.note_here(self._domain, [it.record.index_key for it in held if it.record.is_erased])
            for signed in (it for it in held if not it.record.is_erased):
                cost = len(signed.record.canonical) + _LINE_OVERHEAD_BYTES
                if size + cost > BATCH_BYTES_MAX - len("{}") or len(batch) == BATCH_RECORDS_MAX:
                    yield batch
                    batch, size = [], 0
                batch.append(signed)
                size += cost
        if batch:
            yield batch

    async def _send(self, records: Sequence[SignedRecord]) -> list[Outcome]:
        """Offer the records to the peer, signed as a push."""
        body = b"{" + b",".join(b'"%b":%b' % (s.signature.encode(), s.record.canonical) for s in records) + b"}"
        header = sign_push(self._parts.key, self._key, body, self._parts.world.now_s())
        answers = await self._remote.put(body, (PUSH_HEADER, header))
        if answers.keys() != {signed.signature for signed in records}:
            raise cut_off("its answer is not about the records sent")
        self._report.records += len(records)
        outcomes = [_outcome(signed, answers[signed.signature]) for signed in records]
        for outcome in outcomes:
            self._report.count(outcome)
        return outcomes


def _outcome(signed: SignedRecord, answer: PutAnswer) -> Outcome:
    status = Status(answer.status)
    code = refusal_code(answer.code) if status is Status.REFUSED else None
    return Outcome(signed.signature, status, signed.record, code=code)


def _check_welcome(outcomes: Sequence[Outcome]) -> None:
    """End the work on a domain if the peer refuses all records for good, for example because it does not accept this
    node.

    Raises:
        ProtocolError: with the codes of the refusals; or because the peer is busy.
    """
    _check_not_busy(outcomes)
    refusals = Counter(outcome.code for outcome in outcomes if outcome.code is not None)
    if refusals.total() == len(outcomes) and TRANSIENT.isdisjoint(refusals):
        code = refusals.most_common(1)[0][0]
        counts, remedy = counts_in_words(refusals), remedy_of(Flow.PUSH, code)
        raise DomainRefusedError(code, f"the peer refuses all {len(outcomes)} records offered ({counts}): {remedy}")


def _check_not_busy(outcomes: Sequence[Outcome]) -> None:
    """Raises: ProtocolError: the peer takes no more for now. A record that is too new does not show that."""
    busy = sorted(outcome.code for outcome in outcomes if outcome.code in TRANSIENT - {Code.TOO_NEW})
    if busy:
        raise ProtocolError(busy[0], f"the peer takes no more for now ({busy[0]}): the next run goes on from here")
