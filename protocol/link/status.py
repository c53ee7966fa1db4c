"""How a link stands, as values for people and metrics: what `/peers` shows of each."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from protocol.link.terms import Role


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
    """Whether both held the same of a domain, when it was last compared."""

    IDENTICAL = "identical"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class DomainStatus(msgspec.Struct, frozen=True):
    """One domain on one link: how many records each side holds (None: not said), and whether a pass is under way."""

    step: Step
    ours: int
    theirs: int | None
    is_catching_up: bool


class LinkStatus(msgspec.Struct, frozen=True):
    """A link as `/peers` and the metrics show it. Counters are of records, from the link's beginning.

    `refused_by_us` and `refused_by_them` are of those received and sent. `queued`: live records that wait.
    `rounds` and `reconcile_bytes`: answers to messages of a reconciliation, and the bytes of both, decoded.
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
    received: int
    refused_by_us: int
    refused_by_them: int
    rounds: int
    reconcile_bytes: int
    domains: Mapping[str, DomainStatus]
