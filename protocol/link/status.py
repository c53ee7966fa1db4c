"""How a link stands, as values for people and metrics: what `/peers` shows of each link."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from protocol.errors import Code
from protocol.link.terms import Role


class Phase(StrEnum):
    """How far the two sides have got: waiting for the hello, waiting for the proof, linked, ended."""

    GREETING = "greeting"
    PROVING = "proving"
    OPEN = "open"
    CLOSED = "closed"


class LinkState(StrEnum):
    """What an operator wants to know of an open link. `behind`: the peer does not keep up with what it is sent."""

    LIVE = "live"
    CATCHING_UP = "catching_up"
    BEHIND = "behind"


class Step(StrEnum):
    """Whether both sides held the same records of a domain at the last comparison."""

    IDENTICAL = "identical"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class DomainStatus(msgspec.Struct, frozen=True):
    """One domain on one link. `ours`, `theirs`: how many records each side holds; None: the peer has not said it.

    `is_catching_up`: whether a pass is due.
    """

    step: Step
    ours: int
    theirs: int | None
    is_catching_up: bool


class LinkStatus(msgspec.Struct, frozen=True):
    """A link as `/peers` and the metrics show it. Counters are records since the beginning of the link.

    `refusals_by_us`, `refusals_by_them`: how many of the received and of the sent records were refused, by code.
    `queued`: live records that wait. `withheld`: records that the peer lacks and that are erased here.
    `rounds`: answers in reconciliations. `reconcile_bytes`: the bytes of their messages both ways, decoded.
    """

    role: Role
    phase: Phase
    state: LinkState
    peer_key: str | None
    agent: str | None
    in_flight_frames: int
    in_flight_records: int
    queued: int
    sent: int
    withheld: int
    received: int
    refusals_by_us: Mapping[Code, int]
    refusals_by_them: Mapping[Code, int]
    rounds: int
    reconcile_bytes: int
    domains: Mapping[str, DomainStatus]
