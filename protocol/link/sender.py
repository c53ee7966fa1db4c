"""What goes out over one link: live records at once, everything else as fast as the peer takes it in.

A live record leaves in the call that brought it, as long as the window has room. When the window is full, ids wait in
a queue and leave together as acknowledgements come. When too many ids wait, the queue is dropped, and the link is
*behind*: the sender remembers only the oldest dropped timestamp of each domain. When the peer reads again, passes from
there on send everything, from the store and not from memory.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from protocol.errors import TRANSIENT, Code, ProtocolError, refusal_code
from protocol.link.course import Course, DomainEvent
from protocol.link.cursors import Cursors
from protocol.link.in_flight import CATCH_UP_SHARE, InFlight, Sent, SentLine
from protocol.link.messages import (
    FRAME_BYTES_MAX,
    ITEM_OVERHEAD_BYTES,
    RECORDS_MAX,
    Ack,
    CaughtUp,
    Erased,
    encode_records,
)
from protocol.link.orders import Load, Outbox, Send
from protocol.link.recent_ids import Exchanged
from protocol.link.send_queues import IdQueue, PassQueue, QueuedBatch, SendQueues
from protocol.link.terms import Holdings, LinkLimits
from protocol.records.outcome import Outcome
from protocol.records.record import Record, SignedRecord
from protocol.sets.index import EMPTY
from protocol.sets.paging import after, before, fingerprint_of_second

_HEAD_BYTES: Final = 512
"""Bytes of a frame beside its records: a domain and some numbers."""

_ROOM_BYTES: Final = FRAME_BYTES_MAX - _HEAD_BYTES
_LOAD_BYTES_MAX: Final = _ROOM_BYTES - RECORDS_MAX * ITEM_OVERHEAD_BYTES
"""Canonical bytes that fit in one frame, even if the frame has as many records as it may have."""

_FIRST_LOAD_RECORDS: Final = 128


class Sender:
    """The sending half of one link."""

    def __init__(
        self,
        holdings: Holdings,
        limits: LinkLimits,
        cursors: Cursors,
        exchanged: Exchanged,
        outbox: Outbox,
        course: Course,
    ) -> None:
        """`holdings`: what this node has committed. `cursors`: of the outbound direction. `exchanged`: shared with the
        receiver. `outbox`: takes the orders. `course`: is told of each pass that is over.
        """
        self.cursors = cursors
        self.in_flight = InFlight(limits)
        self.sent = 0
        """Records, from the beginning of the link."""
        self.withheld = 0
        """Records that the peer lacks and was not sent, because they are erased here."""
        self.refusals: Counter[Code] = Counter()
        """Records that the peer refused, by code."""
        self._holdings = holdings
        self._limits = limits
        self._exchanged = exchanged
        self._outbox = outbox
        self._course = course
        self._queues = SendQueues(holdings.get, self._needed)
        self._loader = _Loader(outbox)
        self._dropped: set[str] = set()
        """Domains of which live records were dropped; their passes send these records."""
        self._stopped: set[str] = set()

    @property
    def queued(self) -> int:
        """Live records that wait."""
        return len(self._queues.live)

    @property
    def owed(self) -> int:
        """Records that the peer is owed and that were not sent yet."""
        return len(self._queues.owed)

    @property
    def is_behind(self) -> bool:
        """Whether live records were dropped and not sent by a pass yet."""
        return bool(self._dropped)

    @property
    def has_passes(self) -> bool:
        """Whether any pass is under way or not acknowledged yet."""
        return not self._queues.passes.is_over

    def is_stopped(self, domain: str) -> bool:
        """Whether the peer has said that it does not keep this domain."""
        return domain in self._stopped

    def push(self, records: Sequence[SignedRecord], hops: int, *, is_held: bool = False) -> None:
        """Send live records at once, or queue them. `is_held`: queue them in any case."""
        needed = set(self._needed([signed.record.id for signed in records]))
        fresh = [it for it in records if it.record.id in needed and it.record.domain not in self._stopped]
        for group in _frames(fresh):
            if self.in_flight.has_room() and not self._queues.live and not is_held:
                self._send(group, QueuedBatch((), hops))
            else:
                self._queue(group, hops)
        self._pump()

    def give(self, ids: Sequence[str], hops: int) -> None:
        """Send these records when their turn comes: the peer is owed them.

        Raises:
            ProtocolError: `rate_limited` if the peer asks for more than it takes in.
        """
        owed = self._queues.owed
        for record_id in ids:
            owed.add(record_id, hops)
        if len(owed) > self._limits.wanted_max:
            detail = f"{len(owed)} records asked for and not yet taken in: {self._limits.wanted_max} at most"
            raise ProtocolError(Code.RATE_LIMITED, detail)
        self._pump()

    def begin_pass(self, domain: str, timestamp: int, held: str | None = None, *, is_answer: bool) -> None:
        """Send everything of the domain from this timestamp on, in seconds, then say `caught_up`.

        `held`: the fingerprint of what the peer holds with exactly this timestamp; None: not known. A peer that asks
        for the pass gets all of it, also records that went over this link before, because the peer may have lost them
        since.
        """
        index = self._holdings.get(domain)
        if index is None:  # a peer can make up names without end, so no such name is queued
            self._say_caught_up(domain)
            return
        if is_answer:
            self._exchanged.sent.clear()
        is_second_held = held is not None and held == fingerprint_of_second(index, timestamp)
        position = after(timestamp) if is_second_held else before(timestamp)
        self._queues.passes.begin(domain, position, is_answer=is_answer)
        self._pump()

    def skip_pass(self, domain: str) -> None:
        """Say `caught_up` at once, and leave what is missing to a reconciliation."""
        self._end_pass(domain)

    def on_loaded(self, ticket: int, records: Sequence[SignedRecord]) -> None:
        """Send the records that were read, without the erased ones. What did not fit stays in its queue."""
        batch = self._loader.end(ticket, records)
        whole = [signed for signed in records if not signed.record.is_erased]
        if whole:
            self._send(whole, batch)
        if len(whole) < len(records):
            self._say_erased([signed.record for signed in records if signed.record.is_erased])
        self._pump()

    def on_ack(self, ack: Ack) -> None:
        """The peer has taken in, or refused, what it was sent.

        Raises:
            ProtocolError: `malformed` if the frame or a refused record does not wait for an acknowledgement.
        """
        refusals = dict(ack.refused)
        for frame in self.in_flight.take_acked(ack.seq):
            self._settle(frame, refusals)
        if refusals:
            raise ProtocolError(Code.MALFORMED, "the ack refuses records that were not in the frames it acknowledges")
        for domain in self._queues.passes.take_acked(ack.seq):
            self._report_sent(domain)
        self._pump()

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """The peer has sent these records, so they need not be sent to the peer."""
        live = self._queues.live
        for outcome in outcomes if live else ():
            if outcome.record is not None:
                live.remove(outcome.record.id)

    def _say_erased(self, records: Sequence[Record]) -> None:
        """Tell the peer that it cannot get these records here."""
        by_domain: dict[str, list[Record]] = {}
        for record in records:
            by_domain.setdefault(record.domain, []).append(record)
        for domain, erased in by_domain.items():
            message = Erased(domain, tuple(record.order_key for record in erased))
            self._exchanged.erased.note_here(domain, message.packed)
            self._outbox.send(message)
            self.withheld += len(erased)

    def _needed(self, ids: Sequence[str]) -> list[str]:
        """Those of these ids whose records the peer does not have, did not refuse, and does not get anyway."""
        exchanged, live = self._exchanged, self._queues.live
        needed = exchanged.refused.without(exchanged.sent.without(exchanged.received.without(ids)))
        return [each for each in needed if each not in live] if live else needed

    def _queue(self, records: Sequence[SignedRecord], hops: int) -> None:
        live = self._queues.live
        for signed in records:
            live.add(signed.record.id, hops, signed.record.domain, signed.record.timestamp)
        if len(live) > self._limits.queued_max:
            self._drop()

    def _drop(self) -> None:
        """Fall behind: empty the queue of live records, and send them by passes from the oldest record on.

        The window is full, so the passes begin when the peer acknowledges frames again.
        """
        for domain, timestamp in self._queues.live.clear().items():
            self._dropped.add(domain)
            self._queues.passes.reach_back(domain, before(timestamp))

    def _settle(self, frame: Sent, refusals: dict[str, str]) -> None:
        if not (refusals or self.cursors.is_stored):
            return
        touched = {}
        for line in frame.lines:
            code = refusals.pop(line.id, None)
            refusal = None if code is None else refusal_code(code)
            if refusal is not None:
                self._on_refused(line, refusal)
            if frame.pass_domain is not None or line.domain not in self._queues.passes:
                self.cursors.step(line.domain, line.timestamp, refusal)
                touched[line.domain] = True
        for domain in touched:
            self.cursors.store(domain)

    def _on_refused(self, line: SentLine, refusal: Code) -> None:
        self.refusals[refusal] += 1
        if refusal in TRANSIENT:
            self._exchanged.sent.remove(line.id)
            self._exchanged.postponed.add(line.id)
        elif refusal is Code.UNKNOWN_DOMAIN:
            self._stop(line.domain)
        else:
            self._exchanged.refused.add(line.id)

    def _stop(self, domain: str) -> None:
        """Send nothing more of this domain, because the peer does not keep it."""
        if domain not in self._stopped:
            self._stopped.add(domain)
            self._queues.live.remove_domain(domain)
            self._end_at_once(domain)

    def _pump(self) -> None:
        """Order the next load, if the window has room for what it brings."""
        while not self._loader.is_busy:
            chosen = self._next()
            if chosen is None:
                return
            self._loader.begin(*chosen)

    def _next(self) -> tuple[IdQueue | PassQueue, QueuedBatch] | None:
        for queue in self._queues.in_turn():
            share = 1.0 if queue is self._queues.live else CATCH_UP_SHARE
            batch = self._batch(queue) if self.in_flight.has_room(share) else None
            if batch is not None:
                self._queues.had_turn(queue)
                return queue, batch
        return None

    def _batch(self, queue: IdQueue | PassQueue) -> QueuedBatch | None:
        if isinstance(queue, IdQueue):
            return queue.batch(self._loader.records_max)
        while (domain := queue.first) is not None:
            batch = queue.batch(self._loader.records_max)
            if batch is not None:
                return batch
            self._end_pass(domain)
        return None

    def _end_pass(self, domain: str) -> None:
        """All of the domain is sent: say so, with what this node holds now."""
        self._say_caught_up(domain)
        if self.in_flight.acked == self.in_flight.seq:
            self._end_at_once(domain)
        else:
            self._queues.passes.wait_for_ack(domain, self.in_flight.seq)

    def _say_caught_up(self, domain: str) -> None:
        index = self._holdings.get(domain) or EMPTY
        self._outbox.send(CaughtUp(domain, len(index), index.fingerprint().hex()))

    def _end_at_once(self, domain: str) -> None:
        self._queues.passes.stop(domain)
        self._report_sent(domain)

    def _report_sent(self, domain: str) -> None:
        self._dropped.discard(domain)
        self._course.report(domain, DomainEvent.SENT)

    def _send(self, records: Sequence[SignedRecord], batch: QueuedBatch) -> None:
        lines = tuple(SentLine(it.record.id, it.record.domain, it.record.timestamp) for it in records)
        self._exchanged.sent.update([line.id for line in lines])
        self.in_flight.add(lines, sum(map(_cost, records)), batch.pass_domain)
        self.sent += len(lines)
        domain = batch.pass_domain if batch.is_answer else None
        self._outbox.put(Send(encode_records(self.in_flight.seq, records, domain, batch.hops)))


class _Loader:
    """Orders one load at a time.

    A load that is answered with all its records lets the next one ask for twice as many. A load whose records did not
    fit in one frame makes the next one ask for as many as did fit.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.records_max = _FIRST_LOAD_RECORDS
        self._outbox = outbox
        self._ticket = 0
        self._loading: tuple[IdQueue | PassQueue, QueuedBatch] | None = None

    @property
    def is_busy(self) -> bool:
        return self._loading is not None

    def begin(self, queue: IdQueue | PassQueue, batch: QueuedBatch) -> None:
        self._ticket += 1
        self._loading = (queue, batch)
        self._outbox.put(Load(self._ticket, batch.ids, _LOAD_BYTES_MAX))

    def end(self, ticket: int, records: Sequence[SignedRecord]) -> QueuedBatch:
        """The load has brought these records. Returns its batch, of which they are a part."""
        assert self._loading is not None, "a load is answered once"
        assert ticket == self._ticket, "loads are answered one by one"
        queue, batch = self._loading
        self._loading = None
        done = _count_done(batch.ids, records)
        self.records_max = min(RECORDS_MAX, 2 * done) if done == len(batch.ids) else max(1, done)
        queue.settle(batch, done)
        return batch


def _frames(records: Sequence[SignedRecord]) -> Iterator[list[SignedRecord]]:
    """The records in their order, in as few frames as hold them."""
    frame: list[SignedRecord] = []
    room = _ROOM_BYTES
    for signed in records:
        if frame and (_cost(signed) > room or len(frame) == RECORDS_MAX):
            yield frame
            frame, room = [], _ROOM_BYTES
        frame.append(signed)
        room -= _cost(signed)
    if frame:
        yield frame


def _cost(signed: SignedRecord) -> int:
    """The bytes of a record in a frame."""
    return len(signed.record.canonical) + ITEM_OVERHEAD_BYTES


def _count_done(ids: Sequence[str], records: Sequence[SignedRecord]) -> int:
    """How many of the ids are done: up to the last record of the answer; all of them if the answer is empty, because
    then none of the records is held.
    """
    return ids.index(records[-1].record.id) + 1 if records else len(ids)
