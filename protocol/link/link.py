"""One link as a machine: frames, times and answers go in, and orders come out.

A link knows no socket, no store and no clock. The node hands in each text frame, the time, what became of the records
that it took in, and the records that it read. It carries out the orders that come back. Everything that this node knows
of the peer's side of the link is here, is bounded, and ends with the link.

A link goes through four phases, and one table says which message is legal in which phase. On an open link both sides
may say anything at any time; `session` has the table of those messages, and `course` the states of an open link.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Final

from protocol.errors import Code, ProtocolError
from protocol.link.deadlines import Deadlines, Wait
from protocol.link.handshake import auth, check_auth, check_copy, check_hello, hello
from protocol.link.listing import Listing
from protocol.link.messages import DETAIL_CHARACTERS_MAX, Auth, Error, Have, Hello, Message, Notice, Prune, Want, decode
from protocol.link.orders import Close, Noticed, Opened, Order, Outbox
from protocol.link.session import LinkSetting, Session
from protocol.link.status import LinkState, LinkStatus, Phase
from protocol.link.terms import Flows, Identity, LinkLimits, Role, Terms
from protocol.records.outcome import Outcome
from protocol.records.record import SignedRecord

__all__ = ["Link", "Phase"]


class Link:
    """One end of one link.

    Every call returns the orders that follow from it; the node carries them out in their order. `now` is in seconds of
    a clock that never steps back, such as an event loop's. Nothing that a peer sends raises an error: if the peer
    breaks a rule, the orders close the link. After a `Close` every call returns no orders.
    """

    def __init__(
        self,
        role: Role,
        identity: Identity,
        terms_of: Callable[[str | None], Terms],
        listing: Listing,
        limits: LinkLimits,
        random: Random,
    ) -> None:
        """`terms_of` is called once: by a dialler with None, because it greets the peer before it knows its key; by an
        acceptor with the key that the peer claims and has still to prove. `listing`: what this node has committed,
        shared by all links. `random` spreads the times of repairs.
        """
        self.role = role
        self.phase = Phase.GREETING
        self.peer_key: str | None = None
        """The peer's node key: claimed by its hello, and proved when the phase is OPEN."""
        self._identity = identity
        self._terms_of = terms_of
        self._terms = Terms()
        self._theirs: Hello | None = None
        self._outbox = Outbox()
        self._setting = LinkSetting(role, listing, limits, random, self._outbox)
        self._deadlines = Deadlines(limits)
        self._session: Session | None = None

    @property
    def instance(self) -> str:
        """The peer's instance, as its hello says it; empty before, or if the peer does not say it."""
        return self._theirs.instance if self._theirs is not None else ""

    @property
    def features(self) -> tuple[str, ...] | None:
        """The peer's features, as its hello names them; None before."""
        return self._theirs.features if self._theirs is not None else None

    @property
    def is_saturated(self) -> bool:
        """Whether so many takes are under way that no further frame should be read until one of them ends."""
        return self._session is not None and self._session.receiver.takes >= self._setting.limits.takes_max

    @property
    def is_working(self) -> bool:
        """Whether the last frame is not wholly handled: call `work` until it is, before the next frame."""
        return self._session is not None and self._session.is_working and self.phase is Phase.OPEN

    @property
    def next_at(self) -> float | None:
        """When to call `on_time`; None: never. Every call of this link can change it."""
        if self.phase is Phase.CLOSED:
            return None
        times = (self._deadlines.next_at, self._session.next_at if self._session else None)
        return min((at for at in times if at is not None), default=None)

    @property
    def state(self) -> LinkState:
        """The state that `status` shows, without the rest of the status."""
        return self._session.state if self._session else LinkState.CATCHING_UP

    @property
    def sent(self) -> int:
        """Records that were sent since the beginning of the link."""
        return self._session.sender.sent if self._session else 0

    @property
    def remembered(self) -> int:
        """Domains of which anything is remembered for this link."""
        return self._session.remembered if self._session else 0

    @property
    def is_settled(self) -> bool:
        """Whether this end has nothing left to do until a record comes or a repair is due."""
        return self._session is not None and self._session.is_settled

    @property
    def is_in_step(self) -> bool:
        """Whether neither side lacks a record that should flow to it, as far as the last comparison shows."""
        return self._session is not None and self._session.is_in_step

    def start(self, now: float) -> list[Order]:
        """The connection is made. Call this first, and once."""
        self._deadlines.expect(Wait.GREETING, now, is_due=True)
        if self.role is Role.DIALLER:
            self._terms = self._terms_of(None)
            self._outbox.send(hello(self._identity, self._terms))
        return self._outbox.drain()

    def on_frame(self, text: str, now: float) -> list[Order]:
        """The peer sent this text frame. The last one is wholly handled: see `is_working`."""
        assert not self.is_working, "one frame after the other"
        return self._do(now, lambda: self._read(text, now))

    def work(self, now: float) -> list[Order]:
        """Do one more piece of the work that the last frame causes. A piece takes a few milliseconds at most.

        Anything but a frame may come between two pieces.
        """
        return self._do(now, self._open.work)

    def on_time(self, now: float) -> list[Order]:
        """Time has passed. A call before `next_at` does nothing."""
        return self._do(now, lambda: self._on_time(now))

    def on_taken(self, seq: int, outcomes: Sequence[Outcome], now: float) -> list[Order]:
        """A `Take` has ended: one outcome for each of its items, in their order. Accepted records are committed."""
        return self._do(now, lambda: self._open.on_taken(seq, outcomes, now))

    def on_loaded(self, ticket: int, records: Sequence[SignedRecord], now: float) -> list[Order]:
        """A `Load` has ended with these records."""
        return self._do(now, lambda: self._open.sender.on_loaded(ticket, records))

    def push(self, records: Sequence[SignedRecord], hops: int, now: float, *, is_held: bool = False) -> list[Order]:
        """Send these live records, which are committed or about to be, over this open link.

        They leave at once if the window has room. Otherwise their ids wait. They also wait if the node has no memory
        for more bytes (`is_held`). `hops`: how many links they will have crossed when they arrive. Records that came
        from this peer, or went to it, are left out.
        """
        shared = [signed for signed in records if self._open.is_shared(signed.record.domain)]
        return self._do(now, lambda: self._open.sender.push(shared, hops, is_held=is_held)) if shared else []

    def give(self, ids: Sequence[str], hops: int, now: float) -> list[Order]:
        """Send these records, which the peer asked for by `want`, as the window allows.

        Records that this node does not hold are left out. If the peer asks for more than `wanted_max` at once, the
        orders close the link.
        """
        return self._do(now, lambda: self._open.sender.give(ids, hops))

    def tell(self, message: Have | Want | Prune, now: float) -> list[Order]:
        """Send a message of gossip. While the link is behind, a `have` is dropped: a pass will send the records."""
        return self._do(now, lambda: self._tell(message))

    def compare(self, now: float) -> list[Order]:
        """Compare all domains now, instead of when the next repair is due. The link is open."""
        return self._do(now, lambda: self._open.compare(now))

    def notify(self, code: Code, detail: str) -> list[Order]:
        """Tell the peer of something that is wrong, and go on. The link is open."""
        if self.phase is Phase.OPEN:
            self._outbox.send(Notice(code, detail))
        return self._outbox.drain()

    def close(self, code: Code, detail: str) -> list[Order]:
        """Tell the peer why, and close: `stopping`, `restart`, `duplicate_link`, or a fault that the node found."""
        if self.phase is Phase.CLOSED:
            return []
        self._close(code, detail)
        return self._outbox.drain()

    def status(self) -> LinkStatus:
        """How the link stands now."""
        session = self._session
        return LinkStatus(
            role=self.role,
            phase=self.phase,
            state=self.state,
            peer_key=self.peer_key,
            agent=self._theirs.agent if self._theirs else None,
            in_flight_frames=session.sender.in_flight.frames if session else 0,
            in_flight_records=session.sender.in_flight.records if session else 0,
            queued=session.sender.queued if session else 0,
            sent=self.sent,
            withheld=self._session.sender.withheld if self._session else 0,
            received=session.receiver.received if session else 0,
            refusals_by_us=dict(session.receiver.refusals) if session else {},
            refusals_by_them=dict(session.sender.refusals) if session else {},
            rounds=session.tally.rounds if session else 0,
            reconcile_bytes=session.tally.payload_bytes if session else 0,
            domains=session.domains() if session else {},
        )

    @property
    def _open(self) -> Session:
        assert self._session is not None, "the node pushes and answers on open links only"
        return self._session

    def _do(self, now: float, work: Callable[[], None]) -> list[Order]:
        """Do the work and what follows from it; close the link if the peer broke a rule."""
        if self.phase is Phase.CLOSED:
            return []
        try:
            work()
            if self._session is not None and self.phase is Phase.OPEN:
                self._session.go_on(now)
        except ProtocolError as error:
            self._close(error.code, error.detail)
        return self._outbox.drain()

    def _read(self, text: str, now: float) -> None:
        message = decode(text)
        if message is None:
            return
        if self._session is not None and self._session.on_message(message, now):
            return
        move = _MOVES[self.phase].get(type(message))
        if move is None:
            detail = f"`{message.__struct_config__.tag}` is not allowed in the phase {self.phase}"
            raise ProtocolError(Code.MALFORMED, detail)
        move(self, message, now)

    def _on_hello(self, theirs: Hello, _now: float) -> None:
        self._theirs, self.peer_key = theirs, theirs.node
        if self.role is Role.ACCEPTOR:
            check_hello(theirs, self._identity, None)
            self._terms = self._terms_of(theirs.node)
            self._outbox.send(hello(self._identity, self._terms))
        check_hello(theirs, self._identity, self._terms.expected_key)
        self._outbox.send(auth(self.role, self._identity, theirs))
        if self.role is Role.DIALLER:
            check_copy(theirs, self._identity)
        self.phase = Phase.PROVING

    def _on_auth(self, proof: Auth, now: float) -> None:
        theirs = self._theirs
        assert theirs is not None, "in the phase PROVING a hello has been read"
        check_auth(proof, self.role, self._identity, theirs)
        check_copy(theirs, self._identity)
        self._deadlines.expect(Wait.GREETING, now, is_due=False)
        self.phase = Phase.OPEN
        flows = Flows(we_push=self._terms.push, we_pull=self._terms.pull, they_push=theirs.push, they_pull=theirs.pull)
        self._session = Session(self._setting, self._terms, flows, self._deadlines, theirs.features)
        self._outbox.put(Opened(theirs.node, theirs))
        self._session.start(now)

    def _on_notice(self, notice: Notice, _now: float) -> None:
        self._outbox.put(Noticed(notice.code, notice.detail))

    def _on_error(self, error: Error, _now: float) -> None:
        self.phase = Phase.CLOSED
        self._outbox.put(Close(error.code, error.detail, is_theirs=True))

    def _on_time(self, now: float) -> None:
        self._deadlines.check(now)
        if self._session is not None:
            self._session.on_time(now)

    def _tell(self, message: Have | Want | Prune) -> None:
        if not (isinstance(message, Have) and self._open.sender.is_behind):
            self._outbox.send(message)

    def _close(self, code: Code, detail: str) -> None:
        self.phase = Phase.CLOSED
        self._outbox.send(Error(code, detail[:DETAIL_CHARACTERS_MAX]))
        self._outbox.put(Close(code, detail))


_MOVES: Final[Mapping[Phase, Mapping[type[Message], Callable[[Link, Any, float], None]]]] = MappingProxyType(
    {
        Phase.GREETING: {Hello: Link._on_hello, Error: Link._on_error},
        Phase.PROVING: {Auth: Link._on_auth, Error: Link._on_error},
        Phase.OPEN: {Notice: Link._on_notice, Error: Link._on_error},
        Phase.CLOSED: {},
    }
)
"""What a peer may say in each phase, beside the messages that `session` handles on an open link. Any other message ends
the link. After the end, nothing is read."""
