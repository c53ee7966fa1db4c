"""Two links joined by a pretend wire. Behind each link is a pretend node: it carries out orders like a real node, but
has no sockets, no store and no clock.

Everything that takes time in a real node (a frame on its way, a take, a load) waits here until it is chosen. So a test
can let things happen in every order that a link allows: frames of one direction stay in order, takes end in any order,
and time passes only when nothing else is left to do.
"""

from collections import deque
from collections.abc import Callable, Iterator
from random import Random

import msgspec

from protocol.errors import Code
from protocol.link.link import Link
from protocol.link.listing import Listing
from protocol.link.messages import Have, Message, Want, decode, encode
from protocol.link.orders import Close, Found, Heard, Load, Opened, Order, PutCursor, Send, Take
from protocol.link.terms import Flow, Identity, LinkLimits, Role, Terms
from protocol.records.outcome import Outcome, Status
from protocol.records.record import SignedRecord
from protocol.records.record import decode as decode_record
from protocol.sets.erased import ErasedKeys
from protocol.sets.index import Index, pack_key
from protocol.signing import SigningKey

DIALLER = SigningKey(b"dialler".ljust(32, b"."))
ACCEPTOR = SigningKey(b"acceptor".ljust(32, b"."))

STEPS_MAX = 200_000
"""An exchange that needs more steps never ends."""

START_S = 1_000.0
"""The time at which every wire begins, in seconds."""


class Holdings:
    """The indexes of what is committed."""

    def __init__(self) -> None:
        self._indexes: dict[str, Index] = {}

    def domains(self) -> list[str]:
        return sorted(self._indexes)

    def get(self, domain: str) -> Index | None:
        return self._indexes.get(domain)

    def fill(self, domain: str, keys: list[bytes]) -> None:
        """Hold these keys without their records."""
        self._indexes[domain] = Index(keys)

    def add(self, it: SignedRecord) -> None:
        index = self._indexes.setdefault(it.record.domain, Index())
        index.add(pack_key(it.record.timestamp, bytes.fromhex(it.record.id)))


class End:
    """One pretend node, with one link."""

    def __init__(self, key: SigningKey, terms: Terms, limits: LinkLimits, held: list[SignedRecord]) -> None:
        self.key = key
        self.terms = msgspec.structs.replace(terms, erased=ErasedKeys())
        self.limits = limits
        self.holdings = Holdings()
        self.held: dict[str, SignedRecord] = {}
        self.link: Link
        self.sent: deque[str] = deque()
        """Frames that are on their way to the other end."""
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
        """Every order of this end's links, old and new."""
        self.asked: list[str | None] = []
        """The keys for which the link has asked for terms."""
        self.copies = 0
        """Records that came and were here already."""
        self.reads = True
        """Whether this end reads the frames that come."""
        self.loses = False
        """Whether this end acknowledges records without keeping them."""
        self.omits: tuple[type, ...] = ()
        """Messages that this end does not send, although its link orders it."""
        for it in held:
            self.commit(it)

    def begin(self, role: Role, nonce: str) -> None:
        """Begin a new link, with nothing left of the last one."""
        self.sent.clear()
        self.takes.clear()
        self.loads.clear()
        self.opened = self.closed = None
        identity = Identity(self.key, nonce, "test")
        self.link = Link(role, identity, self._terms_of, Listing(self.holdings), self.limits, Random(nonce))

    @property
    def ids(self) -> set[str]:
        return set(self.held)

    def commit(self, it: SignedRecord) -> None:
        self.held[it.record.id] = it
        self.holdings.add(it)

    def write(self, it: SignedRecord, now: float) -> None:
        """Take a client's record: it is pushed before it is committed."""
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
    """A dialler and an acceptor, connected, and what is on its way between them."""

    def __init__(
        self,
        dialler: list[SignedRecord] | None = None,
        acceptor: list[SignedRecord] | None = None,
        terms: tuple[Terms, Terms] = (Terms(push=True, pull=True), Terms()),
        limits: LinkLimits | tuple[LinkLimits, LinkLimits] | None = None,
        random: Random | None = None,
    ) -> None:
        """`dialler`, `acceptor`: what each holds. `terms`, `limits`: of both, in this order. `random` chooses what
        happens next; None: always the first thing that can happen.
        """
        limits = limits or LinkLimits()
        theirs = limits if isinstance(limits, tuple) else (limits, limits)
        self.dialler = End(DIALLER, terms[0], theirs[0], dialler or [])
        self.acceptor = End(ACCEPTOR, terms[1], theirs[1], acceptor or [])
        self.now = START_S
        self._random = random
        self._links = 0
        self.connect()

    @property
    def ends(self) -> tuple[End, End]:
        return (self.dialler, self.acceptor)

    def connect(self) -> None:
        """Make a new connection. Whatever was on its way over the last one is lost."""
        self._links += 1
        for end, role in ((self.dialler, Role.DIALLER), (self.acceptor, Role.ACCEPTOR)):
            end.terms = msgspec.structs.replace(end.terms, cursors=dict(end.cursors))
            end.begin(role, f"{self._links:063x}{int(role is Role.DIALLER)}")
        for end in self.ends:
            end.carry_out(end.link.start(self.now), self.now)

    def moves(self, *, takes: bool = True) -> Iterator[Callable[[], None]]:
        """What can happen next. `takes`: whether takes may end."""
        for end, other in (self.ends, self.ends[::-1]):
            if end.link.is_working:
                yield lambda end=end: end.carry_out(end.link.work(self.now), self.now)  # type: ignore[misc]
            if end.sent and other.reads and not other.link.is_saturated and not other.link.is_working:
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
        """Let one thing happen; returns False if nothing can happen."""
        possible = list(self.moves())
        if not possible:
            return False
        (self._random.choice(possible) if self._random else possible[0])()
        return True

    def step_until(self, is_reached: Callable[[], object]) -> None:
        """Let things happen until the condition is true."""
        while not is_reached():
            assert self.step(), "nothing is left that could happen"

    def run(self) -> None:
        """Let things happen until nothing is on its way. No time passes."""
        for _ in range(STEPS_MAX):
            if not self.step():
                return
        raise AssertionError("the exchange does not end")

    def run_for(self, seconds: float) -> None:
        """Let time pass, and let everything happen that is due."""
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

    def say(self, end: End, message: Message | str) -> None:
        """Let an end say something that its link does not order. It is delivered in its turn."""
        end.sent.append(message if isinstance(message, str) else encode(message))

    def hear(self, end: End, message: Message) -> None:
        """Give an end a message at once."""
        end.carry_out(end.link.on_frame(encode(message), self.now), self.now)

    def compare(self, end: End) -> None:
        """Let the node of an end ask for a comparison."""
        end.carry_out(end.link.compare(self.now), self.now)

    def push(self, end: End, records: list[SignedRecord], hops: int = 1) -> list[Order]:
        """Let an end push live records that crossed so many links; returns the orders, which are carried out."""
        orders = end.link.push(records, hops, self.now)
        end.carry_out(orders, self.now)
        return orders

    @property
    def codes(self) -> tuple[str | None, str | None]:
        """The codes with which the dialler and the acceptor have closed; None: the link is open."""
        closed = [end.closed.code if end.closed else None for end in self.ends]
        return closed[0], closed[1]
