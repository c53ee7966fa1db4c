"""What comes in over one link: several frames are taken in at once and acknowledged in their order.

An acknowledgement says that everything up to its frame is committed, so it waits for the slowest take. It names the
records that were refused. Records that no honest peer can have (a wrong signature, a spelling that is not canonical)
end the link, and so does a flood of other refused records.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence

import msgspec

from protocol.errors import TRANSIENT, Code, ProtocolError
from protocol.limits import IDS_MAX
from protocol.link.course import Course, DomainEvent
from protocol.link.cursors import Cursors
from protocol.link.messages import Ack, CaughtUp, Erased, Records, Since, Want
from protocol.link.orders import Outbox, Take
from protocol.link.per_minute import PerMinute
from protocol.link.recent_ids import Exchanged
from protocol.link.terms import LinkLimits
from protocol.records.outcome import Outcome

_NO_OFFENCE = (None, Code.NOT_WELCOME, Code.QUOTA_EXCEEDED, Code.OVERLOADED)
"""Refusals of which a peer may get any number. A peer cannot know whom the operator of this node bans, what the node's
quotas are, and how busy the node is."""


class _Taking(msgspec.Struct):
    """A frame whose records are being taken in. `is_pass`: they are part of a pass that was asked for.

    `refused`: the codes of refused records by id; `outcomes`: None until the take has ended.
    """

    seq: int
    is_pass: bool
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    outcomes: Sequence[Outcome] | None = None


class Receiver:
    """The receiving half of one link."""

    def __init__(
        self, limits: LinkLimits, cursors: Cursors, exchanged: Exchanged, outbox: Outbox, course: Course
    ) -> None:
        """`cursors`: of the inbound direction. `exchanged`: shared with the sender. `outbox`: takes the orders.
        `course`: is told of each pass that is over.
        """
        self.cursors = cursors
        self.received = 0
        """Records, from the beginning of the link."""
        self.refusals: Counter[Code] = Counter()
        """Records of the peer that this node refused, by code."""
        self._exchanged = exchanged
        self._outbox = outbox
        self._course = course
        self._seq = 0
        self._taking: deque[_Taking] = deque()
        self._domains_max = limits.domains_max
        self._passes = _InboundPasses(limits.asked_domains_max, limits.domains_max, outbox)
        self._wants = _Wants(limits.asked_ids_max, outbox)
        self._stopped: set[str] = set()
        self._refused_per_minute = PerMinute("records refused", limits.refused_per_minute_max)

    @property
    def takes(self) -> int:
        """Frames that are not acknowledged: they are being taken in, or wait for one that is."""
        return len(self._taking)

    @property
    def is_waiting(self) -> bool:
        """Whether the peer owes us records, and none are being taken in."""
        return bool(self._passes.asked or self._wants.asked) and not self._taking

    @property
    def wanted(self) -> int:
        """Ids that the peer was asked for, or will be asked for."""
        return len(self._wants)

    @property
    def has_passes(self) -> bool:
        """Whether any pass is still to be asked for, under way, or not committed yet."""
        return not self._passes.is_over

    def is_stopped(self, domain: str) -> bool:
        """Whether this node refuses the domain."""
        return domain in self._stopped

    def ask(self, domain: str, timestamp: int, held: str | None = None) -> None:
        """Ask the peer for everything of the domain from this timestamp on, in seconds, when its turn comes.

        `held`: the fingerprint of what this node holds with exactly this timestamp.
        """
        self._passes.add(Since(domain, timestamp, held))

    def want(self, ids: Iterable[str]) -> None:
        """Ask the peer for these records, this many at once."""
        self._wants.add(ids)

    def on_records(self, frame: Records) -> None:
        """Order to take the records in. The domain of a frame is not checked, because the records prove themselves.

        Raises:
            ProtocolError: `malformed` if the frame does not have the next number.
        """
        if frame.seq != self._seq + 1:
            detail = f"records frame {frame.seq}: {self._seq + 1} is the next"
            raise ProtocolError(Code.MALFORMED, detail)
        self._seq = frame.seq
        self.received += len(frame.records)
        self._taking.append(_Taking(frame.seq, is_pass=frame.domain in self._passes.asked))
        self._outbox.put(Take(frame.seq, frame.records, frame.domain, _hops_of(frame)))

    def on_erased(self, message: Erased) -> None:
        """The peer holds these records and does not send them. This node waits for them no longer."""
        self._exchanged.erased.note_there(message.domain, message.packed)
        self._wants.asked.difference_update(record_id for _, record_id in message.keys)
        self._wants.ask()

    def on_caught_up(self, message: CaughtUp) -> None:
        """The peer has sent its whole pass; the pass is over when all of it is committed."""
        if self._taking:
            self._passes.on_caught_up(message.domain, self._seq)
        else:
            self._passes.on_caught_up(message.domain, None)
            self._report_received(message.domain)

    def on_taken(self, seq: int, outcomes: Sequence[Outcome], now: float) -> None:
        """A take has ended. Acknowledge its frame if all frames before it have ended too.

        Raises:
            ProtocolError: with the code of an invalid record; `rate_limited` if too many records were refused.
        """
        taking = self._taking[seq - self._taking[0].seq]
        assert taking.outcomes is None, "each take ends once"
        taking.outcomes = outcomes
        for outcome in outcomes:
            if outcome.code is not None:
                self._on_refused(outcome, outcome.code, taking)
        if self._wants.asked:
            self._wants.asked.difference_update(outcome.id for outcome in outcomes)
        self._refused_per_minute.count(sum(outcome.code not in _NO_OFFENCE for outcome in outcomes), now)
        self._acknowledge()
        self._wants.ask()

    def _on_refused(self, outcome: Outcome, code: Code, taking: _Taking) -> None:
        record = outcome.record
        if outcome.is_invalid:
            raise ProtocolError(code, f"an invalid record: {outcome.id or 'no record at all'}")
        assert record is not None, "bytes that are not a record are invalid"
        if code is Code.UNKNOWN_DOMAIN and len(self._stopped) < self._domains_max:
            self._stopped.add(record.domain)
        taking.refused[record.id] = code
        self.refusals[code] += 1

    def _acknowledge(self) -> None:
        """Send one ack for all frames that have ended in their order."""
        refused: dict[str, str] = {}
        acked = 0
        while self._taking and (outcomes := self._taking[0].outcomes) is not None:
            taking = self._taking.popleft()
            acked = taking.seq
            refused |= taking.refused
            self._settle(outcomes, is_pass=taking.is_pass)
        if not acked:
            return
        self._outbox.send(Ack(acked, refused))
        for domain in self._passes.take_committed(acked):
            self._report_received(domain)

    def _settle(self, outcomes: Sequence[Outcome], *, is_pass: bool) -> None:
        received: list[str] = []
        postponed: list[str] = []
        touched = {}
        for outcome in outcomes:
            record = outcome.record
            if record is None:
                continue
            (postponed if outcome.code in TRANSIENT else received).append(record.id)
            if is_pass or record.domain not in self._passes:
                self.cursors.step(record.domain, record.timestamp, outcome.code)
                touched[record.domain] = True
        self._exchanged.received.update(received)
        self._exchanged.postponed_here.update(postponed)
        for domain in touched:
            self.cursors.store(domain)

    def _report_received(self, domain: str) -> None:
        self._course.report(domain, DomainEvent.RECEIVED)


class _InboundPasses:
    """The peer's passes: some are still to be asked for, some are under way, some wait for their last commit."""

    def __init__(self, asked_max: int, domains_max: int, outbox: Outbox) -> None:
        """`asked_max`: how many passes are asked for at once. `domains_max`: how many may wait for a commit, because a
        peer can finish passes that nobody asked for, of domains without end.
        """
        self.asked: set[str] = set()
        """Domains that the peer was asked for and has not finished."""
        self._asked_max = asked_max
        self._domains_max = domains_max
        self._outbox = outbox
        self._to_ask: OrderedDict[str, Since] = OrderedDict()
        self._last_frames: dict[str, int] = {}
        """Domains that the peer has finished: the number of the frame that has still to be committed."""

    def __contains__(self, domain: object) -> bool:
        """Whether a pass through the domain is not over yet."""
        return domain in self.asked or domain in self._to_ask or domain in self._last_frames

    @property
    def is_over(self) -> bool:
        """Whether every pass is over."""
        return not (self.asked or self._to_ask or self._last_frames)

    def add(self, since: Since) -> None:
        self._to_ask[since.domain] = since
        self._ask()

    def on_caught_up(self, domain: str, last_frame: int | None) -> None:
        """The peer has finished; `last_frame` has still to be committed, None: everything is committed."""
        self.asked.discard(domain)
        self._ask()
        if last_frame is not None and (domain in self._last_frames or len(self._last_frames) < self._domains_max):
            self._last_frames[domain] = last_frame

    def take_committed(self, seq: int) -> list[str]:
        """The domains whose passes are over now that the frame `seq` is committed."""
        domains = [domain for domain, last_frame in self._last_frames.items() if last_frame <= seq]
        for domain in domains:
            del self._last_frames[domain]
        return domains

    def _ask(self) -> None:
        while self._to_ask and len(self.asked) < self._asked_max:
            domain, since = self._to_ask.popitem(last=False)
            self.asked.add(domain)
            self._outbox.send(since)


class _Wants:
    """Records that are asked for by their ids."""

    def __init__(self, asked_max: int, outbox: Outbox) -> None:
        """`asked_max`: how many ids are asked for at once; at least those of one `want`."""
        self.asked: set[str] = set()
        """Ids that the peer was asked for and has not sent."""
        self._asked_max = asked_max
        self._outbox = outbox
        self._to_ask: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._to_ask) + len(self.asked)

    def add(self, ids: Iterable[str]) -> None:
        self._to_ask.extend(ids)
        self.ask()

    def ask(self) -> None:
        """Ask for as many as the limit allows."""
        while self._to_ask and len(self.asked) + IDS_MAX <= self._asked_max:
            ids = [self._to_ask.popleft() for _ in range(min(IDS_MAX, len(self._to_ask)))]
            self.asked.update(ids)
            self._outbox.send(Want(tuple(ids)))


def _hops_of(frame: Records) -> int:
    """How many links live records have crossed, at least 1, because their first sender may not count its own link; 0
    for other records.
    """
    return 0 if frame.hops is None else max(1, frame.hops)
