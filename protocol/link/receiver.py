"""What comes in over one link: frames in their order, taken in several at once, acknowledged one after the other.

An acknowledgement says that everything up to it is committed, so it waits for the slowest. A record that is refused is
named in it. Records that no honest peer can have (a broken signature, a spelling that is not canonical) end the link,
and so does a flood of others that are refused.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from protocol.errors import TRANSIENT, Code, ProtocolError
from protocol.limits import IDS_MAX
from protocol.link.cursors import Cursors
from protocol.link.messages import Ack, CaughtUp, Records, Since, Want
from protocol.link.orders import Outbox, Take
from protocol.link.recent_ids import RecentIds
from protocol.link.terms import LinkLimits
from protocol.records.outcome import Outcome

_MINUTE_S: Final = 60.0


class _Taking(msgspec.Struct):
    """A frame whose records are being taken in. `is_pass`: they are part of a pass, in order."""

    seq: int
    is_pass: bool
    is_done: bool = False
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    outcomes: Sequence[Outcome] = ()


class Receiver:
    """The receiving half of one link."""

    def __init__(self, limits: LinkLimits, cursors: Cursors, familiar: RecentIds, outbox: Outbox) -> None:
        """`familiar`: ids that the peer has sent."""
        self._limits = limits
        self._cursors = cursors
        self._familiar = familiar
        self._outbox = outbox
        self._seq = 0
        self._taking: deque[_Taking] = deque()
        self._to_ask: OrderedDict[str, Since] = OrderedDict()
        self._asked: set[str] = set()
        self._ends: dict[str, int] = {}
        self._stopped: set[str] = set()
        self._put_off = RecentIds(limits.recent_ids_max)
        self._to_want: deque[str] = deque()
        self._wanted: set[str] = set()
        self._minute_began = 0.0
        self._refused_this_minute = 0
        self.passed: list[str] = []
        """Domains whose pass has come through, all of it committed: for the link to read and clear."""
        self.received = 0
        self.refused = 0

    @property
    def takes(self) -> int:
        """Frames that are not acknowledged: they are being taken in, or wait for one that is."""
        return len(self._taking)

    @property
    def is_waiting(self) -> bool:
        """Whether the peer owes us something, while nothing of it is being taken in."""
        return bool(self._asked or self._wanted) and not self._taking

    @property
    def wanted(self) -> int:
        """Ids that the peer is, or is to be, asked for."""
        return len(self._to_want) + len(self._wanted)

    def is_stopped(self, domain: str) -> bool:
        """Whether this node refuses the domain."""
        return domain in self._stopped

    def is_put_off(self, record_id: str) -> bool:
        """Whether this node has refused this record for now."""
        return record_id in self._put_off

    @property
    def has_passes(self) -> bool:
        """Whether any pass that was asked for is to come, or under way, or not yet committed."""
        return bool(self._asked or self._to_ask or self._ends)

    def is_passing(self, domain: str) -> bool:
        """Whether a pass of ours through the domain is to come, or under way, or not yet committed."""
        return domain in self._asked or domain in self._to_ask or domain in self._ends

    def ask(self, domain: str, timestamp: int) -> None:
        """Have the peer send everything of the domain from this timestamp on; some domains at once, others later."""
        self._to_ask[domain] = Since(domain, timestamp)
        self._ask()

    def want(self, ids: Iterable[str]) -> None:
        """Have the peer send these; so many at once, others later."""
        self._to_want.extend(ids)
        self._want()

    def on_records(self, frame: Records) -> None:
        """Order to take them in. A domain that was not asked for means nothing: the records are as good.

        Raises:
            ProtocolError: `malformed`: out of order.
        """
        if frame.seq != self._seq + 1:
            detail = f"records frame {frame.seq}: {self._seq + 1} is the next"
            raise ProtocolError(Code.MALFORMED, detail)
        self._seq = frame.seq
        self.received += len(frame.records)
        self._taking.append(_Taking(frame.seq, is_pass=frame.domain in self._asked))
        self._outbox.put(Take(frame.seq, frame.records, frame.domain, _hops_of(frame)))

    def on_caught_up(self, message: CaughtUp) -> None:
        """The peer has sent all; the pass is over when that is committed."""
        domain = message.domain
        self._asked.discard(domain)
        self._ask()
        if self._taking:
            self._ends[domain] = self._seq
        else:
            self.passed.append(domain)

    def on_taken(self, seq: int, outcomes: Sequence[Outcome], now: float) -> None:
        """Acknowledge it, if all before it has ended.

        Raises:
            ProtocolError: with the code of an invalid record; `rate_limited` where too many were refused.
        """
        taking = self._taking[seq - self._taking[0].seq]
        assert not taking.is_done, "each take ends once"
        taking.is_done = True
        taking.outcomes = outcomes
        refused = 0
        for outcome in outcomes:
            if outcome.code is not None:
                refused += 1
                self._on_refused(outcome, outcome.code, taking)
            if outcome.record is not None:
                self._wanted.discard(outcome.record.id)
        self._check_refused(refused, now)
        self._acknowledge()
        self._want()

    def _on_refused(self, outcome: Outcome, code: Code, taking: _Taking) -> None:
        record = outcome.record
        if outcome.is_invalid:
            raise ProtocolError(code, f"an invalid record: {outcome.id or 'no record at all'}")
        assert record is not None, "bytes that are not a record are invalid"
        if code is Code.UNKNOWN_DOMAIN:
            self._stopped.add(record.domain)
        taking.refused[record.id] = code

    def _check_refused(self, refused: int, now: float) -> None:
        self.refused += refused
        if now - self._minute_began >= _MINUTE_S:
            self._minute_began, self._refused_this_minute = now, 0
        self._refused_this_minute += refused
        if self._refused_this_minute > self._limits.refused_per_minute_max:
            detail = f"{self._refused_this_minute} records refused within a minute"
            raise ProtocolError(Code.RATE_LIMITED, f"{detail}: {self._limits.refused_per_minute_max} at most")

    def _acknowledge(self) -> None:
        """Everything that has ended in order goes into one ack."""
        refused: dict[str, str] = {}
        acked = 0
        while self._taking and self._taking[0].is_done:
            taking = self._taking.popleft()
            acked = taking.seq
            refused |= taking.refused
            self._settle(taking)
        if not acked:
            return
        self._outbox.send(Ack(acked, refused))
        for domain in [domain for domain, seq in self._ends.items() if seq <= acked]:
            del self._ends[domain]
            self.passed.append(domain)

    def _settle(self, taking: _Taking) -> None:
        touched = {}
        for outcome in taking.outcomes:
            record = outcome.record
            if record is None:
                continue
            (self._put_off if outcome.code in TRANSIENT else self._familiar).add(record.id)
            if taking.is_pass or not self.is_passing(record.domain):
                self._cursors.step(record.domain, record.timestamp, outcome.code)
                touched[record.domain] = True
        for domain in touched:
            self._cursors.store(domain)

    def _ask(self) -> None:
        while self._to_ask and len(self._asked) < self._limits.asked_domains_max:
            domain, since = self._to_ask.popitem(last=False)
            self._asked.add(domain)
            self._outbox.send(since)

    def _want(self) -> None:
        while self._to_want and len(self._wanted) + IDS_MAX <= self._limits.asked_ids_max:
            ids = [self._to_want.popleft() for _ in range(min(IDS_MAX, len(self._to_want)))]
            self._wanted.update(ids)
            self._outbox.send(Want(tuple(ids)))


def _hops_of(frame: Records) -> int:
    """Whoever made the news may count its own link or not; 0: it is none."""
    return 0 if frame.hops is None else max(1, frame.hops)
