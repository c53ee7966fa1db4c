"""One link as a machine: frames, timers and facts in; orders out.

It knows no socket, no store and no clock. The node hands in each text frame, what became of the records that it was
told to take in, the records that it was told to read, and the time; and carries out the orders that come back. All
that is remembered of one peer is here, bounded, and gone with the link.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from random import Random

import msgspec

from protocol.errors import Code
from protocol.messages import Have, Prune, Want
from protocol.orders import Order, Outbox, Taken
from protocol.record import SignedRecord
from protocol.terms import Identity, LinkLimits, Role, Shelf, Terms


class Phase(StrEnum):
    """How far the two have got: waiting for the other's hello, then for its proof; linked; at an end."""

    GREETING = "greeting"
    PROVING = "proving"
    OPEN = "open"
    CLOSED = "closed"


class LinkState(StrEnum):
    """What an operator asks of an open link. `behind`: the peer does not keep up with what it is sent."""

    LIVE = "live"
    CATCHING_UP = "catching_up"
    BEHIND = "behind"


class Step(StrEnum):
    """Whether both hold the same of a domain, when it was last compared."""

    IDENTICAL = "identical"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class DomainStatus(msgspec.Struct, frozen=True):
    """One domain on one link: how many records each side holds (None: not said), and whether work is under way."""

    step: Step
    ours: int
    theirs: int | None
    is_catching_up: bool


class LinkStatus(msgspec.Struct, frozen=True):
    """A link as `/peers` and the metrics show it. Counters run from the link's beginning."""

    role: Role
    phase: Phase
    state: LinkState
    peer_key: str | None
    agent: str | None
    in_flight_frames: int
    in_flight_records: int
    queued: int
    sent: int
    received: int
    refused: int
    domains: Mapping[str, DomainStatus]


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
        shelf: Shelf,
        limits: LinkLimits,
        random: Random,
    ) -> None:
        """`terms_of` is asked once: by a dialler with None, for it greets before it knows whom; by an acceptor with
        the key that the peer claims, which it has still to prove.
        """
        self.role = role
        self.phase = Phase.GREETING
        self.peer_key: str | None = None
        """The peer's node key; proved from the phase OPEN on."""
        self._outbox = Outbox()

    @property
    def is_saturated(self) -> bool:
        """Whether so many takes are under way that no further frame should be read before one has ended."""
        raise NotImplementedError

    @property
    def next_at(self) -> float | None:
        """When to call `on_time`; None: at no time. Ask again after each call."""
        raise NotImplementedError

    def start(self, now: float) -> list[Order]:
        """The connection stands. Call this first, once."""
        raise NotImplementedError

    def on_frame(self, text: str, now: float) -> list[Order]:
        """The peer sent this text frame."""
        raise NotImplementedError

    def on_time(self, now: float) -> list[Order]:
        """Time has passed; calls that come early do nothing."""
        raise NotImplementedError

    def on_taken(self, seq: int, results: Sequence[Taken], now: float) -> list[Order]:
        """A `Take` has ended: one result for each of its items, in their order, what was accepted being committed."""
        raise NotImplementedError

    def on_loaded(self, ticket: int, records: Sequence[SignedRecord], now: float) -> list[Order]:
        """A `Load` has ended."""
        raise NotImplementedError

    def push(self, records: Sequence[SignedRecord], hops: int, now: float) -> list[Order]:
        """These records are news (committed or about to be), at most 256, and this link is eager for them.

        They leave at once while there is room in the window, else their ids wait. `hops` goes on the frame: how many
        links they will have crossed. What came from this peer, or went there, is left out.
        """
        raise NotImplementedError

    def give(self, ids: Sequence[str], hops: int, now: float) -> list[Order]:
        """The peer asked for these by `want`: they are loaded and sent as the window allows; those not held are left
        out. A peer that asks for more than `wanted_max` at once is cut off.
        """
        raise NotImplementedError

    def tell(self, message: Have | Want | Prune, now: float) -> list[Order]:
        """Say this to the peer for gossip. A `have` is dropped while the link is behind: a pass will bring it."""
        raise NotImplementedError

    def close(self, code: Code, detail: str) -> list[Order]:
        """Say why, and close: `stopping`, `restart`, `duplicate_link`, or whatever the node found."""
        raise NotImplementedError

    def status(self) -> LinkStatus:
        """How the link stands at the moment."""
        raise NotImplementedError
