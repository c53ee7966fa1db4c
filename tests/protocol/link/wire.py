"""Two links joined by a pretend wire, each with a pretend node behind it: what a real one does with orders, without
sockets, a store or a clock.

Everything that takes time in a real node (a frame on its way, a take, a load) waits here until it is chosen, so a test
can let things happen in any order that the promises of a link allow: frames of one direction stay in order, takes end
in any, and time passes only when nothing else is left to do.
"""

from collections import deque
from collections.abc import Callable, Iterator
from random import Random

import msgspec

from protocol.errors import Code
from protocol.link.link import Link
from protocol.link.messages import Have, Message, Want, decode
from protocol.link.orders import Close, Found, Heard, Load, Opened, Order, PutCursor, Send, Take
from protocol.link.terms import Flow, Identity, LinkLimits, Role, Terms
from protocol.records.outcome import Outcome, Status
from protocol.records.record import SignedRecord
from protocol.records.record import decode as decode_record
from protocol.sets.index import Index, pack_key
from protocol.signing import SigningKey

DIALLER = SigningKey(b"dialler".ljust(32, b"."))
ACCEPTOR = SigningKey(b"acceptor".ljust(32, b"."))

STEPS_MAX = 200_000
"""An exchange that needs more will never end."""


class Holdings:
    """Indexes of what is committed."""

    def __init__(self) -> None:
        self._indexes: dict[str, Index] = {}

    def domains(self) -> list[str]:
        return sorted(self._indexes)

    def get(self, domain: str) -> Index | None:
        return self._indexes.get(domain)

    def fill(self, domain: str, keys: list[bytes]) -> None:
        """Hold these without their records."""
        self._indexes[domain] = Index(keys)

    def add(self, it: SignedRecord) -> None:
        index = self._indexes.setdefault(it.record.domain, Index())
        index.add(pack_key(it.record.timestamp, bytes.fromhex(it.record.id)))


class End:
    """One node, as far as one link of it goes."""

    def __init__(self, key: SigningKey, terms: Terms, limits: LinkLimits, held: list[SignedRecord]) -> None:
        self.key = key
        self.terms = terms
        self.limits = limits
        self.holdings = Holdings()
        self.held: dict[str, SignedRecord] = {}
        self.link: Link
        self.sent: deque[str] = deque()
        """Frames on their way to the other end."""
        self.takes: list[Take] = []
        self.loads: list[Load] = []
        self.uncommitted: list[SignedRecord] = []
        self.refuses: Callable[[SignedRecord], Code | None] = lambda it: None
        self.cursors: dict[tuple[str, Flow], int] = dict(terms.cursors)
        self.opened: Opened | None = None
        self.closed: Close | None = None
        self.found: list[Found] = []
        self.said: list[Message] = []
        """Every message that this end has sent."""
        self.orders: list[Order] = []
        """Every order of this end's links."""
        self.asked: list[str | None] = []
        """For which keys terms were asked."""
        self.copies = 0
        """Records received that were here already."""
        self.reads = True
        """Whether this end reads what comes."""
        self.loses = False
        """Whether this end says that it has taken records in, and has not."""
        self.omits: tuple[type, ...] = ()
        """Messages that this end should send and does not."""
        for it in held:
            self.commit(it)

    def begin(self, role: Role, nonce: str) -> None:
        """A link anew, with nothing of the last one."""
        self.sent.clear()
        self.takes.clear()
        self.loads.clear()
        self.opened = self.closed = None
        identity = Identity(self.key, nonce, "test")
        self.link = Link(role, identity, self._terms_of, self.holdings, self.limits, Random(nonce))

    @property
    def ids(self) -> set[str]:
        return set(self.held)

    def commit(self, it: SignedRecord) -> None:
        self.held[it.record.id] = it
        self.holdings.add(it)

    def write(self, it: SignedRecord, now: float) -> None:
        """A client's record: it is pushed before it is committed."""
        self.uncommitted.append(it)
        if self.opened is not None:
            self.carry_out(self.link.push([it], 1, now), now)

    def carry_out(self, orders: list[Order], now: float) -> None:
        self.orders += orders
        for order in orders:
            match order:
                case Send(text):
                    self._send(text)
                case Take():
                    self.takes.append(order)
                case Load():
                    self.loads.append(order)
                case PutCursor(domain, flow, timestamp):
                    self.cursors[domain, flow] = timestamp
                case Heard(message):
                    self._on_gossip(message, now)
                case Opened():
                    self.opened = order
                case Found():
                    self.found.append(order)
                case Close():
                    self.closed = order

    def _send(self, text: str) -> None:
        message = decode(text)
        assert message is not None
        if not isinstance(message, self.omits):
            self.sent.append(text)
            self.said.append(message)

    def finish_take(self, take: Take, now: float) -> None:
        self.takes.remove(take)
        outcomes = [self._take(item.signature, item.body) for item in take.items]
        self.carry_out(self.link.on_taken(take.seq, outcomes, now), now)

    def finish_load(self, load: Load, now: float) -> None:
        self.loads.remove(load)
        known = self.held | {it.record.id: it for it in self.uncommitted}
        records: list[SignedRecord] = []
        room = load.bytes_max
        for it in (known[each] for each in load.ids if each in known):
            room -= len(it.record.canonical)
            if room < 0 and records:
                break
            records.append(it)
        self.carry_out(self.link.on_loaded(load.ticket, records, now), now)

    def _terms_of(self, peer_key: str | None) -> Terms:
        self.asked.append(peer_key)
        return self.terms

    def _take(self, signature: str, body: bytes) -> Outcome:
        record = decode_record(body)
        it = SignedRecord(signature, record)
        refusal = self.refuses(it)
        if refusal is not None:
            return Outcome(signature, Status.REFUSED, record, code=refusal)
        if not self.loses:
            self.copies += record.id in self.held
            self.commit(it)
        return Outcome(signature, Status.ACCEPTED, record)

    def _on_gossip(self, message: Message, now: float) -> None:
        if isinstance(message, Want):
            self.carry_out(self.link.give(message.ids, 1 if message.eager else 0, now), now)
        elif isinstance(message, Have):
            missing = tuple(each for each in message.ids if each not in self.held)
            if missing:
                self.carry_out(self.link.tell(Want(missing, eager=True), now), now)


class Wire:
    """A dialler and an acceptor, and what is on its way between them."""

    def __init__(
        self,
        dialler: list[SignedRecord] | None = None,
        acceptor: list[SignedRecord] | None = None,
        terms: tuple[Terms, Terms] = (Terms(push=True, pull=True), Terms()),
        limits: LinkLimits | tuple[LinkLimits, LinkLimits] | None = None,
        random: Random | None = None,
    ) -> None:
        """`random` chooses what happens next; None: always the first that can."""
        limits = limits or LinkLimits()
        theirs = limits if isinstance(limits, tuple) else (limits, limits)
        self.dialler = End(DIALLER, terms[0], theirs[0], dialler or [])
        self.acceptor = End(ACCEPTOR, terms[1], theirs[1], acceptor or [])
        self.now = 1_000.0
        self._random = random
        self._links = 0
        self.connect()

    @property
    def ends(self) -> tuple[End, End]:
        return (self.dialler, self.acceptor)

    def connect(self) -> None:
        """A new connection; what was on its way over the last one is lost."""
        self._links += 1
        for end, role in ((self.dialler, Role.DIALLER), (self.acceptor, Role.ACCEPTOR)):
            end.terms = msgspec.structs.replace(end.terms, cursors=dict(end.cursors))
            end.begin(role, f"{self._links:063x}{int(role is Role.DIALLER)}")
        for end in self.ends:
            end.carry_out(end.link.start(self.now), self.now)

    def moves(self, *, takes: bool = True) -> Iterator[Callable[[], None]]:
        """What can happen next; maybe that no take ends."""
        for end, other in (self.ends, self.ends[::-1]):
            if end.sent and other.reads and not other.link.is_saturated:
                yield lambda end=end, other=other: self.deliver(end, other)  # type: ignore[misc]
            for take in end.takes if takes else ():
                yield lambda end=end, take=take: end.finish_take(take, self.now)  # type: ignore[misc]
            for load in end.loads:
                yield lambda end=end, load=load: end.finish_load(load, self.now)  # type: ignore[misc]
            if end.uncommitted:
                yield lambda end=end: end.commit(end.uncommitted.pop(0))  # type: ignore[misc]

    def deliver(self, end: End, other: End) -> None:
        other.carry_out(other.link.on_frame(end.sent.popleft(), self.now), self.now)

    def step(self) -> bool:
        """Let one thing happen; False where nothing can."""
        possible = list(self.moves())
        if not possible:
            return False
        (self._random.choice(possible) if self._random else possible[0])()
        return True

    def run(self) -> None:
        """Until nothing is on its way."""
        for _ in range(STEPS_MAX):
            if not self.step():
                return
        raise AssertionError("the exchange does not end")

    def run_for(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due."""
        end_at = self.now + seconds
        for _ in range(STEPS_MAX):
            self.run()
            at = min((at for end in self.ends if (at := end.link.next_at) is not None), default=end_at)
            self.now = max(self.now, min(at, end_at))
            for end in self.ends:
                end.carry_out(end.link.on_time(self.now), self.now)
            if self.now >= end_at:
                self.run()
                return
        raise AssertionError("timers go off without end")

    def say(self, end: End, text: str) -> None:
        """Let an end say something that its link would not."""
        end.sent.append(text)

    @property
    def codes(self) -> tuple[str | None, str | None]:
        """With what code the dialler and the acceptor have closed."""
        closed = [end.closed.code if end.closed else None for end in self.ends]
        return closed[0], closed[1]
