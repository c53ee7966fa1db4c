"""What goes out over one link: live records at once, the rest as fast as the peer takes it in, nothing without end.

A live record leaves in the call that brought it, while the window has room. When it has none, ids wait, and leave
together as acknowledgements come. When too many wait, the line is dropped, not the node: what is remembered is the
oldest timestamp dropped of each domain. The link is *behind*, and once the peer reads again, passes from there on bring
everything, from the store and not from memory.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from protocol.errors import TRANSIENT, Code, ProtocolError, refusal_code
from protocol.link.cursors import Cursors
from protocol.link.in_flight import CATCH_UP_SHARE, InFlight, Line, Sent
from protocol.link.messages import FRAME_BYTES_MAX, ITEM_OVERHEAD_BYTES, RECORDS_MAX, Ack, CaughtUp, encode_records
from protocol.link.orders import Load, Outbox, Send
from protocol.link.recent_ids import RecentIds
from protocol.link.send_queues import Batch, Queue, Walks
from protocol.link.terms import Holdings, LinkLimits
from protocol.records.record import SignedRecord
from protocol.sets.index import EMPTY
from protocol.sets.walk import before

_HEAD_BYTES: Final = 512
"""Of a frame, beside its records: a domain and some numbers."""

_ROOM_BYTES: Final = FRAME_BYTES_MAX - _HEAD_BYTES
_LOAD_BYTES_MAX: Final = _ROOM_BYTES - RECORDS_MAX * ITEM_OVERHEAD_BYTES
"""Canonical bytes that fit in one frame, however many records they are."""

_FIRST_LOAD_RECORDS: Final = 128


class _Loading(msgspec.Struct, frozen=True):
    """The one load that is under way."""

    ticket: int
    line: Queue | Walks
    batch: Batch


class Sender:
    """The sending half of one link."""

    def __init__(
        self, holdings: Holdings, limits: LinkLimits, cursors: Cursors, familiar: RecentIds, outbox: Outbox
    ) -> None:
        """`familiar`: ids that the peer has sent: no record goes back where it came from."""
        self._holdings = holdings
        self._limits = limits
        self._cursors = cursors
        self._familiar = familiar
        self._outbox = outbox
        self._window = InFlight(limits)
        self._live = Queue()
        self._owed = Queue()
        self._walks = Walks(holdings.get, self._is_needless)
        self._turn: list[Queue | Walks] = [self._live, self._owed, self._walks]
        self._loading: _Loading | None = None
        self._tickets = 0
        self._load_records = _FIRST_LOAD_RECORDS
        self._returning: set[str] = set()
        self._stopped: set[str] = set()
        self._given = RecentIds(limits.recent_ids_max)
        self._unwelcome = RecentIds(limits.recent_ids_max)
        self._put_off = RecentIds(limits.recent_ids_max)
        self._ends: dict[str, int] = {}
        self.passed: list[str] = []
        """Domains whose pass has gone through, all of it acknowledged: for the link to read and clear."""
        self.sent = 0
        self.refused = 0

    @property
    def in_flight(self) -> InFlight:
        return self._window

    @property
    def queued(self) -> int:
        return len(self._live)

    @property
    def owed(self) -> int:
        return len(self._owed)

    @property
    def is_behind(self) -> bool:
        """Whether live records were dropped that have still to be sent by a pass."""
        return bool(self._returning)

    def is_stopped(self, domain: str) -> bool:
        """Whether the peer does not keep this domain."""
        return domain in self._stopped

    def is_unwelcome(self, record_id: str) -> bool:
        """Whether the peer has refused this record for good."""
        return record_id in self._unwelcome

    def is_put_off(self, record_id: str) -> bool:
        """Whether the peer has refused this record for now."""
        return record_id in self._put_off

    @property
    def has_passes(self) -> bool:
        """Whether any pass is under way, or not yet acknowledged."""
        return bool(self._walks or self._ends)

    def is_passing(self, domain: str) -> bool:
        """Whether a pass through the domain is under way, or not yet acknowledged."""
        return domain in self._walks or domain in self._ends

    def push(self, records: Sequence[SignedRecord], hops: int) -> None:
        """News: out at once, or into the line."""
        fresh = [signed for signed in records if self._is_news(signed)]
        for batch in _frames(fresh):
            if self._window.has_room() and not self._live:
                self._send(batch, Batch((), hops))
            else:
                self._queue(batch, hops)
        self._pump()

    def give(self, ids: Sequence[str], hops: int) -> None:
        """These are owed to the peer.

        Raises:
            ProtocolError: `rate_limited`: it asks for more than it takes in.
        """
        for record_id in ids:
            self._owed.add(record_id, hops)
        if len(self._owed) > self._limits.wanted_max:
            detail = f"{len(self._owed)} records asked for and not yet taken in: {self._limits.wanted_max} at most"
            raise ProtocolError(Code.RATE_LIMITED, detail)
        self._pump()

    def begin_pass(self, domain: str, timestamp: int, *, is_answer: bool) -> None:
        """Send everything of the domain from this timestamp on, in seconds, then say `caught_up`.

        Who asks gets all of it, also what went over this link before: it may have lost it meanwhile.
        """
        if self._holdings.get(domain) is None:  # whatever names a peer makes up, none waits for room in the window
            self._say_caught_up(domain)
            return
        if is_answer:
            self._given.clear()
        self._walks.begin(domain, before(timestamp), is_answer=is_answer)
        self._ends.pop(domain, None)
        self._pump()

    def skip_pass(self, domain: str) -> None:
        """Say `caught_up` at once: a reconciliation is to find what is missing."""
        self._end_pass(domain)

    def on_loaded(self, ticket: int, records: Sequence[SignedRecord]) -> None:
        """Send what was read; what did not fit stays in its line."""
        loading = self._loading
        assert loading is not None, "a load is answered once"
        assert loading.ticket == ticket, "loads are answered one by one"
        self._loading = None
        done = _count_done(loading.batch.ids, records)
        self._load_records = min(RECORDS_MAX, 2 * done) if done == len(loading.batch.ids) else max(1, done)
        loading.line.settle(loading.batch, done)
        if records:
            self._send(records, loading.batch)
        self._pump()

    def on_ack(self, ack: Ack) -> None:
        """The peer has taken in, or refused, what it was sent.

        Raises:
            ProtocolError: `malformed`: of what was never sent.
        """
        refusals = dict(ack.refused)
        for frame in self._window.take_acked(ack.seq):
            self._settle(frame, refusals)
        if refusals:
            raise ProtocolError(Code.MALFORMED, "the ack refuses records that were not in the frames it acknowledges")
        for domain in [domain for domain, seq in self._ends.items() if seq <= ack.seq]:
            self._pass_over(domain)
        self._pump()

    def forget(self, record_id: str) -> None:
        """The peer has sent this record: it need not be sent to it."""
        self._live.remove(record_id)

    def _is_news(self, signed: SignedRecord) -> bool:
        return not (self._is_needless(signed.record.id) or signed.record.domain in self._stopped)

    def _is_needless(self, record_id: str) -> bool:
        lines = (self._familiar, self._given, self._live, self._unwelcome)
        return any(record_id in line for line in lines)

    def _queue(self, records: Sequence[SignedRecord], hops: int) -> None:
        for signed in records:
            self._live.add(signed.record.id, hops, signed.record.domain, signed.record.timestamp)
        if len(self._live) > self._limits.queued_max:
            self._drop()

    def _drop(self) -> None:
        """Fall behind: let the line go, and let passes from its oldest records on make up for it.

        The window is full, so these begin when the peer takes records in again.
        """
        for domain, timestamp in self._live.clear().items():
            self._returning.add(domain)
            self._walks.reach_back(domain, before(timestamp))

    def _settle(self, frame: Sent, refusals: dict[str, str]) -> None:
        touched = {}
        for line in frame.lines:
            code = refusals.pop(line.id, None)
            refusal = None if code is None else refusal_code(code)
            if refusal is not None:
                self._on_refused(line, refusal)
            if frame.pass_domain is not None or not self.is_passing(line.domain):
                self._cursors.step(line.domain, line.timestamp, refusal)
                touched[line.domain] = True
        for domain in touched:
            self._cursors.store(domain)

    def _on_refused(self, line: Line, refusal: Code) -> None:
        self.refused += 1
        if refusal in TRANSIENT:
            self._given.remove(line.id)
            self._put_off.add(line.id)
        elif refusal is Code.UNKNOWN_DOMAIN:
            self._stop(line.domain)
        else:
            self._unwelcome.add(line.id)

    def _stop(self, domain: str) -> None:
        """The peer does not keep this domain: offer it nothing more of it."""
        if domain not in self._stopped:
            self._stopped.add(domain)
            self._live.remove_domain(domain)
            self._walks.end(domain)
            self._pass_over(domain)

    def _pump(self) -> None:
        """Order the next load, while there is room for what it brings."""
        while self._loading is None:
            chosen = self._next()
            if chosen is None:
                return
            line, batch = chosen
            self._tickets += 1
            self._loading = _Loading(self._tickets, line, batch)
            self._outbox.put(Load(self._tickets, batch.ids, _LOAD_BYTES_MAX))

    def _next(self) -> tuple[Queue | Walks, Batch] | None:
        """The lines take turns, so that none starves: whoever has had it stands last."""
        for line in list(self._turn):
            if not self._window.has_room(1.0 if line is self._live else CATCH_UP_SHARE):
                continue
            batch = self._batch(line)
            if batch is not None:
                self._turn.remove(line)
                self._turn.append(line)
                return line, batch
        return None

    def _batch(self, line: Queue | Walks) -> Batch | None:
        if isinstance(line, Queue):
            return line.batch(self._load_records)
        while (domain := line.first) is not None:
            batch = line.batch(self._load_records)
            if batch is not None:
                return batch
            self._end_pass(domain)
        return None

    def _end_pass(self, domain: str) -> None:
        """All of it has been sent; say so, and what is held now."""
        self._walks.end(domain)
        self._say_caught_up(domain)
        self._ends[domain] = self._window.seq
        if self._window.acked == self._window.seq:
            self._pass_over(domain)

    def _say_caught_up(self, domain: str) -> None:
        index = self._holdings.get(domain) or EMPTY
        self._outbox.send(CaughtUp(domain, len(index), index.fingerprint().hex()))

    def _pass_over(self, domain: str) -> None:
        self._ends.pop(domain, None)
        self._returning.discard(domain)
        self.passed.append(domain)

    def _send(self, records: Sequence[SignedRecord], batch: Batch) -> None:
        lines = tuple(Line(it.record.id, it.record.domain, it.record.timestamp) for it in records)
        for line in lines:
            self._given.add(line.id)
        self._window.add(lines, sum(map(_cost, records)), batch.pass_domain)
        self.sent += len(lines)
        domain = batch.pass_domain if batch.is_answer else None
        self._outbox.put(Send(encode_records(self._window.seq, records, domain, batch.hops)))


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
    """How many of the ids are settled by this answer: up to the last that it has; all, where it has none."""
    return ids.index(records[-1].record.id) + 1 if records else len(ids)
