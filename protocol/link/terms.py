"""On what terms two nodes are linked: who they are, what each wants of the other, and the limits of what is held.

A flow of records from X to Y is *wanted* where X says that it pushes, or Y that it pulls. What a node says is its row
of the peers table for the other; what it believes of what comes is decided by the same row, and by nobody's word.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from protocol.records.admission import Trust
from protocol.sets.index import Index
from protocol.signing import SigningKey


class Role(StrEnum):
    """Which end of the connection this is. The name is part of what `auth` signs."""

    DIALLER = "dialler"
    ACCEPTOR = "acceptor"


class Flow(StrEnum):
    """The way of records, seen from this node: `push` goes out, `pull` comes in. Cursors are kept under these names."""

    PUSH = "push"
    PULL = "pull"


class Identity(msgspec.Struct, frozen=True):
    """Who this node is on one link. `nonce` is 64 hex digits, drawn for this link alone; `agent` is text for people."""

    key: SigningKey
    nonce: str
    agent: str


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What this node's row for the peer says.

    `trust`: how what the peer sends is admitted. `cursors`: the stored ones, by domain and flow, in seconds. `kept`:
    the domains that this node supports, None: any. `expected_key`: the pinned key that the peer has to have, None: any.
    """

    push: bool = False
    pull: bool = False
    trust: Trust = Trust.CLIENT
    cursors: Mapping[tuple[str, Flow], int] = msgspec.field(default_factory=dict)
    kept: frozenset[str] | None = None
    expected_key: str | None = None


class Holdings(Protocol):
    """What this node has committed: the index of each domain, as it is at the moment. `node.indexes.Indexes` is one."""

    def domains(self) -> list[str]:
        """The domains that hold records, sorted."""

    def get(self, domain: str) -> Index | None: ...


class Flows(msgspec.Struct, frozen=True, kw_only=True):
    """Which ways records are to go, as both have said."""

    we_push: bool
    we_pull: bool
    they_push: bool
    they_pull: bool

    @property
    def is_outbound(self) -> bool:
        return self.we_push or self.they_pull

    @property
    def is_inbound(self) -> bool:
        return self.we_pull or self.they_push


class LinkLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one link may hold and how long it waits: `_s` are seconds. Together a few megabytes a link at most.

    `in_flight_*`: what was sent and is not acknowledged. `queued_max`: live records that wait, as ids, while that
    window is full. `wanted_max`: records that a peer may have asked for and not yet got. `asked_*`: what we ask of a
    peer at once. `takes_max`: frames that are being taken in before no further one should be read. `domains_max`:
    domains that a peer may list; `lists_per_minute_max`: how often. `refused_per_minute_max`: records of the peer's.
    `recent_ids_max`: ids that the peer is known to hold, or to refuse. `short_pass_records`: a pass of so many is never
    left to reconciliation: it needs nothing of the peer but its store. `reconcile_bytes_max`: our messages, decoded.

    `ack_s`: a peer that is not behind lets no frame wait longer. `behind_s`: one that is lets no frame wait longer;
    ten minutes, for it may be a slow disk, and all that it costs us is what a link may hold. `answer_s`: the same
    for what it was asked. `idle_s`: how long the peer may leave undone what it should begin by itself. `settle_s`:
    what was in flight when a repair found it missing has arrived after this time. `repair_s`: between repairs that
    find nothing.
    """

    in_flight_frames_max: int = 16
    in_flight_records_max: int = 2_048
    in_flight_bytes_max: int = 2_097_152
    queued_max: int = 10_000
    wanted_max: int = 10_000
    asked_ids_max: int = 2_000
    asked_domains_max: int = 4
    takes_max: int = 16
    domains_max: int = 10_000
    lists_per_minute_max: int = 120
    refused_per_minute_max: int = 4_096
    recent_ids_max: int = 8_192
    short_pass_records: int = 1_000
    reconcile_bytes_max: int = 65_536
    rounds_max: int = 10_000

    handshake_s: float = 10.0
    ack_s: float = 60.0
    behind_s: float = 600.0
    answer_s: float = 60.0
    idle_s: float = 10.0
    settle_s: float = 2.0
    repair_s: float = 300.0
