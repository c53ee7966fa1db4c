"""One link as a machine: frames, timers and facts in; orders out.

It knows no socket, no store and no clock. The node hands in each text frame, what became of the records that it was
told to take in, the records that it was told to read, and the time; and carries out the orders that come back. All
that is remembered of one peer is here, bounded, and gone with the link.

A link goes through four phases, and what may be said in each stands in one table. An open link has its own table, in
`session`: there both may say anything at any time.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Final

from protocol.errors import Code, ProtocolError
from protocol.link.deadlines import Deadlines, Wait
from protocol.link.handshake import auth, check_auth, check_hello, hello
from protocol.link.messages import DETAIL_CHARACTERS_MAX, Auth, Error, Have, Hello, Message, Prune, Want, decode
from protocol.link.orders import Close, Opened, Order, Outbox
from protocol.link.session import Session, Setting
from protocol.link.status import LinkState, LinkStatus, Phase
from protocol.link.terms import Flows, Holdings, Identity, LinkLimits, Role, Terms
from protocol.records.outcome import Outcome
from protocol.records.record import SignedRecord

__all__ = ["Link", "Phase"]


class Link:
    """One end of one link.

    Every call gives the orders that follow from it, to be carried out in order. `now` is in seconds of a clock that
    never steps back (an event loop's). Nothing that a peer sends raises anything: where it breaks a rule, the orders
    close the link. After a `Close` every call gives nothing.
    """

    def __init__(
        self,
        role: Role,
        identity: Identity,
        terms_of: Callable[[str | None], Terms],
        holdings: Holdings,
        limits: LinkLimits,
        random: Random,
    ) -> None:
        """`terms_of` is asked once: by a dialler with None, for it greets before it knows whom; by an acceptor with
        the key that the peer claims, which it has still to prove.
        """
        self.role = role
        self.phase = Phase.GREETING
        self.peer_key: str | None = None
        """The peer's node key; claimed at first, proved from the phase OPEN on."""
        self._identity = identity
        self._terms_of = terms_of
        self._terms = Terms()
        self._theirs: Hello | None = None
        self._outbox = Outbox()
        self._setting = Setting(role, holdings, limits, random, self._outbox)
        self._deadlines = Deadlines(limits)
        self._session: Session | None = None

    @property
    def is_saturated(self) -> bool:
        """Whether so many takes are under way that no further frame should be read before one has ended."""
        return self._session is not None and self._session.receiver.takes >= self._setting.limits.takes_max

    @property
    def next_at(self) -> float | None:
        """When to call `on_time`; None: at no time. Ask again after each call."""
        if self.phase is Phase.CLOSED:
            return None
        times = (self._deadlines.next_at, self._session.next_at if self._session else None)
        return min((at for at in times if at is not None), default=None)

    @property
    def state(self) -> LinkState:
        """What `status` says of the state, without the rest."""
        return self._session.state if self._session else LinkState.CATCHING_UP

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do of what this end knows of, until a record comes or a repair is due."""
        return self._session is not None and self._session.is_settled

    def start(self, now: float) -> list[Order]:
        """The connection stands. Call this first, once."""
        self._deadlines.expect(Wait.GREETING, now, is_due=True)
        if self.role is Role.DIALLER:
            self._terms = self._terms_of(None)
            self._outbox.send(hello(self._identity, self._terms))
        return self._outbox.drain()

    def on_frame(self, text: str, now: float) -> list[Order]:
        """The peer sent this text frame."""
        return self._do(now, lambda: self._read(text, now))

    def on_time(self, now: float) -> list[Order]:
        """Time has passed; calls that come early do nothing."""
        return self._do(now, lambda: self._on_time(now))

    def on_taken(self, seq: int, outcomes: Sequence[Outcome], now: float) -> list[Order]:
        """A `Take` has ended: one outcome for each of its items, in their order. Accepted records are committed."""
        return self._do(now, lambda: self._open.on_taken(seq, outcomes, now))

    def on_loaded(self, ticket: int, records: Sequence[SignedRecord], now: float) -> list[Order]:
        """A `Load` has ended."""
        return self._do(now, lambda: self._open.sender.on_loaded(ticket, records))

    def push(self, records: Sequence[SignedRecord], hops: int, now: float) -> list[Order]:
        """These records are news (committed or about to be), and this open link is eager for them.

        They leave at once while there is room in the window, else their ids wait. `hops` goes on the frame: how many
        links they will have crossed. What came from this peer, or went there, is left out.
        """
        return self._do(now, lambda: self._open.sender.push(records, hops))

    def give(self, ids: Sequence[str], hops: int, now: float) -> list[Order]:
        """The peer asked for these by `want`: they are loaded and sent as the window allows; those not held are left
        out. A peer that asks for more than `wanted_max` at once is cut off.
        """
        return self._do(now, lambda: self._open.sender.give(ids, hops))

    def tell(self, message: Have | Want | Prune, now: float) -> list[Order]:
        """Say this to the peer for gossip. A `have` is dropped while the link is behind: a pass will bring it."""
        return self._do(now, lambda: self._tell(message))

    def compare(self, now: float) -> list[Order]:
        """Look for what was missed now, instead of when the next repair is due. The link is open."""
        return self._do(now, lambda: self._open.compare(now))

    def close(self, code: Code, detail: str) -> list[Order]:
        """Say why, and close: `stopping`, `restart`, `duplicate_link`, or whatever the node found."""
        if self.phase is Phase.CLOSED:
            return []
        self._close(code, detail)
        return self._outbox.drain()

    def status(self) -> LinkStatus:
        """How the link stands at the moment."""
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
            sent=session.sender.sent if session else 0,
            received=session.receiver.received if session else 0,
            refused_by_us=session.receiver.refused if session else 0,
            refused_by_them=session.sender.refused if session else 0,
            rounds=session.tally.rounds if session else 0,
            reconcile_bytes=session.tally.payload_bytes if session else 0,
            domains=session.domains() if session else {},
        )

    @property
    def _open(self) -> Session:
        assert self._session is not None, "the node pushes and answers on open links only"
        return self._session

    def _do(self, now: float, work: Callable[[], None]) -> list[Order]:
        """Do it, and what follows; where the peer broke a rule, close."""
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
            detail = f"`{message.__struct_config__.tag}` is not to be said in the phase {self.phase}"
            raise ProtocolError(Code.MALFORMED, detail)
        move(self, message, now)

    def _on_hello(self, theirs: Hello, _now: float) -> None:
        if self.role is Role.ACCEPTOR:
            check_hello(theirs, self._identity, None)
            self._terms = self._terms_of(theirs.node)
            self._outbox.send(hello(self._identity, self._terms))
        check_hello(theirs, self._identity, self._terms.expected_key)
        self._theirs, self.peer_key = theirs, theirs.node
        self._outbox.send(auth(self.role, self._identity, theirs))
        self.phase = Phase.PROVING

    def _on_auth(self, proof: Auth, now: float) -> None:
        theirs = self._theirs
        assert theirs is not None, "in the phase PROVING a hello has been read"
        check_auth(proof, self.role, self._identity, theirs)
        self._deadlines.expect(Wait.GREETING, now, is_due=False)
        self.phase = Phase.OPEN
        flows = Flows(we_push=self._terms.push, we_pull=self._terms.pull, they_push=theirs.push, they_pull=theirs.pull)
        self._session = Session(self._setting, self._terms, flows, self._deadlines)
        self._outbox.put(Opened(theirs.node, theirs))
        self._session.start(now)

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
        Phase.OPEN: {Error: Link._on_error},
        Phase.CLOSED: {},
    }
)
"""What a peer may say in each phase, beside what `session` lets it say on an open link. Whatever else it says ends the
link, and what comes after the end is not read."""
