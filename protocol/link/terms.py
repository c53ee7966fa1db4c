"""The terms of a link: who the two nodes are, what each wants of the other, and what a link may hold.

Records should flow from X to Y if X says that it pushes, or if Y says that it pulls. Each node says what its own row of
the peers table for the other node says. The same row alone decides how far this node trusts what comes from the peer.
"""

from collections.abc import Container, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from protocol.records.admission import Trust
from protocol.sets.erased import ErasedKeys
from protocol.sets.index import Index
from protocol.signing import SigningKey


class Role(StrEnum):
    """Which end of the connection this node is. The name is part of what `auth` signs."""

    DIALLER = "dialler"
    ACCEPTOR = "acceptor"


class Flow(StrEnum):
    """A direction of records, seen from this node: `push` goes out, `pull` comes in. Cursors have these names."""

    PUSH = "push"
    PULL = "pull"


class Identity(msgspec.Struct, frozen=True):
    """Who this node is on one link. `nonce`: 64 hex digits, drawn for this link alone. `agent`: text for people.

    `time`: this node's clock when the link began, in seconds since the Unix epoch; None: the peer is not told. Only the
    peer's operator uses it. `instance`: what this node drew at its start (`copies`); empty: the peer is not told.
    """

    key: SigningKey
    nonce: str
    agent: str
    time: int | None = None
    instance: str = ""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What this node's row for the peer says, and what it remembers of earlier links with the peer."""

    push: bool = False
    pull: bool = False
    trust: Trust = Trust.CLIENT
    """How the records that the peer sends are admitted."""
    cursors: Mapping[tuple[str, Flow], int] = msgspec.field(default_factory=dict)
    """The stored cursors by domain and flow, in seconds."""
    kept: frozenset[str] | None = None
    """The domains that this node supports; None: any."""
    dropped: Container[str] = ()
    """The domains that this node does not support although `kept` has them. They change while the link lasts."""
    expected_key: str | None = None
    """The pinned key that the peer must have; None: any."""
    erased: ErasedKeys = msgspec.field(default_factory=ErasedKeys)
    """What is known of erased records between the two nodes. It outlives the link, if the node keeps it."""


class Holdings(Protocol):
    """What this node has committed: the index of each domain at this moment. `node.indexes.Indexes` is one."""

    def domains(self) -> list[str]:
        """The domains that hold records, sorted."""

    def get(self, domain: str) -> Index | None:
        """The index of a domain; None if it holds no record."""


class Flows(msgspec.Struct, frozen=True, kw_only=True):
    """The directions in which records should flow, as both sides have said."""

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
    """What one link may hold, a few megabytes at most, and how long it waits: names that end in `_s` are seconds."""

    in_flight_frames_max: int = 16
    in_flight_records_max: int = 4_096
    in_flight_bytes_max: int = 2_097_152
    """The window: what may be sent and not acknowledged."""

    queued_max: int = 10_000
    """Live records that wait, as ids, while the window is full."""
    wanted_max: int = 10_000
    """Records that a peer may have asked for and not received yet."""
    asked_ids_max: int = 2_000
    """Ids that this node asks a peer for at once."""
    asked_domains_max: int = 4
    """Passes that this node asks a peer for at once."""
    takes_max: int = 16
    """Frames that are being taken in; with this many, no further frame should be read."""
    domains_max: int = 10_000
    """Domains that a peer may list."""
    lists_per_minute_max: int = 120
    work_share_of_listed: float = 0.5
    """Of one core, for the frames of one listed peer."""
    work_share_of_address: float = 0.1
    """Of one core, for the frames of all strangers from one address. Frames of records at 4 MiB a second take 0.01."""
    work_share_of_strangers: float = 0.25
    """Of one core, for the frames of all strangers."""
    refused_per_minute_max: int = 4_096
    """Records of the peer that this node refuses, before it ends the link."""
    recent_ids_max: int = 8_192
    """Ids that the peer is known to hold, or to refuse."""
    short_pass_records: int = 1_000
    """A pass of this size is never left to reconciliation, because it costs the peer only reads of its store."""
    reconcile_bytes_max: int = 65_536
    """Our messages of a reconciliation, decoded."""
    reconcile_ranges_max: int = 16_384
    """Ranges of the peer's messages of a reconciliation. Our longest message has 6,600: a fingerprint takes 19 bytes or
    more, and one range in between may be skipped. A peer may choose messages of twice that size."""
    rounds_max: int = 10_000
    """Messages of one reconciliation each way."""

    handshake_s: float = 10.0
    """For the peer's hello and its proof."""
    ack_s: float = 60.0
    """How long a peer that is not behind may leave a frame without an ack."""
    behind_s: float = 600.0
    """The same for a peer that is behind. Ten minutes, because its disk may be slow, and the wait costs this node only
    what a link may hold."""
    answer_s: float = 60.0
    """For the answer to what the peer was asked."""
    idle_s: float = 10.0
    """How long a peer may leave a pass that it should begin by itself."""
    settle_s: float = 2.0
    """Records that were on their way at the first reconciliation of a repair arrive within this time: a guess."""
    repair_s: float = 300.0
    """Between comparisons that find no difference."""
