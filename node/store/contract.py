"""What the node asks of storage: few methods, whole batches, and one promise.

The promise: when `commit` has returned, all of its batch survives a power cut; when it raises, none of it was taken,
and the node stops. Nothing outside of a store knows how it keeps things. Every store passes the same suite,
`tests/node/store/store_contract.py`.

Records are never changed or removed. What is derived from them (verdicts, label states, events) is kept beside them,
and could be made again by replay.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

import msgspec

from protocol.records.change import Event
from protocol.records.record import Record, SignedRecord
from protocol.records.replay import State, Verdict

LabelKey = tuple[str, str]
"""A domain and a label."""


class StoreError(Exception):
    """The storage cannot be used as it is. The text tells the operator why, and what to do."""


class StoredRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as it is kept. `received` is when it came: whole seconds since the Unix epoch, by this node's clock."""

    signed: SignedRecord
    verdict: Verdict
    received: int


class Past(msgspec.Struct, frozen=True, gc=False):
    """What replay looks at of a record that is held, and the verdict. `record` has no body (`canonical` is empty), as
    a label may hold more bytes than there is memory.
    """

    record: Record
    verdict: Verdict


class Outline(msgspec.Struct, frozen=True):
    """The records of a label at one moment, by order key, without their bodies: the ids, 32 bytes each, end to end; and
    the verdict on each. 40 bytes a record.
    """

    ids: bytes
    verdicts: list[Verdict]


class StoredEvent(msgspec.Struct, frozen=True):
    """An event with its number in this store, from 1 on without gaps.

    `signature` is the one that the event's record was stored under.
    """

    seq: int
    event: Event
    signature: str


class Selection(msgspec.Struct, frozen=True):
    """Which events somebody wants: those of any of these domains that are also of any of these labels; None: of all."""

    domains: frozenset[str] | None = None
    labels: frozenset[str] | None = None

    def takes(self, domain: str, label: str) -> bool:
        if self.domains is not None and domain not in self.domains:
            return False
        return self.labels is None or label in self.labels


EVERYTHING: Final = Selection()


class Batch(msgspec.Struct):
    """One transaction: new records, new verdicts of others by id, the states of all labels touched, events in order."""

    records: list[StoredRecord] = msgspec.field(default_factory=list)
    verdicts: dict[str, Verdict] = msgspec.field(default_factory=dict)
    states: dict[LabelKey, State] = msgspec.field(default_factory=dict)
    events: list[Event] = msgspec.field(default_factory=list)

    def add(self, later: "Batch") -> None:
        """Make a later batch part of this one."""
        self.records += later.records
        self.verdicts |= later.verdicts
        self.states |= later.states
        self.events += later.events


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the peers table.

    `url` is None for a peer that only dials us; then `key`, its node key, has to be known. `accept`: whether what it
    pushes is admitted in the peer class; None: the same as `pull`.
    """

    url: str | None = None
    push: bool = False
    pull: bool = False
    accept: bool | None = None
    key: str | None = None

    @property
    def is_accepted(self) -> bool:
        return self.pull if self.accept is None else self.accept

    @property
    def name(self) -> str:
        """What cursors are kept under: the URL, or the key of a peer without one."""
        name = self.url or self.key
        assert name is not None, "a peer has a URL or a key"
        return name


class Cursor(msgspec.Struct, frozen=True):
    """How far a direction of a peer has come in a domain: all up to this timestamp, in seconds, went through once."""

    peer: str
    domain: str
    direction: str
    timestamp: int


class Store(Protocol):
    """Storage for one node.

    Lists keep the order asked for. Methods may run concurrently; commits take effect in the order of the calls.
    """

    epoch: str
    """32 hex digits made with the store: a restored or another store has others, so that old cursors are noticed."""

    async def close(self) -> None:
        """Finish what was begun. Nothing may be called after it."""

    async def commit(self, batch: Batch) -> int:
        """Make the batch durable, whole. Returns the number of the store's last event, maybe an older batch's."""

    async def states(self, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
        """The states of these labels; those of which nothing is held are absent."""

    async def history(self, domain: str, label: str) -> list[Past]:
        """All records of a label by order key, accepted or not, as far as replay looks at them."""

    async def outline(self, domain: str, label: str) -> Outline:
        """The same in few bytes, for whoever reads the records later, by their ids: they never change."""

    async def records(self, ids: Sequence[str]) -> dict[str, StoredRecord]:
        """Those of these records that are held, by id. At most 1,000 ids a call."""

    async def held(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of these ids that are held. At most 1,000 ids a call."""

    async def head(self, domain: str, label: str) -> SignedRecord | None:
        """The head of one label."""

    async def heads(
        self, domain: str | None, after: LabelKey | None, since: int, limit: int, prefix: str = ""
    ) -> list[SignedRecord]:
        """A page of heads by domain, then label, both in order of their UTF-8 bytes.

        `domain` None: every domain. Only heads after this label, with timestamps from `since` on, and, of one domain,
        with labels that begin with `prefix`, at the same cost however many others there are.
        """

    def keys(self) -> AsyncIterator[tuple[str, list[bytes]]]:
        """Every domain that holds records with its packed index keys, in pages, in no order.

        What a node builds its indexes from.
        """

    async def events(
        self, after: int, limit: int, selection: Selection = EVERYTHING, through: int | None = None
    ) -> list[StoredEvent]:
        """A page of the events of this selection that are numbered above `after`, and up to `through`, in order.

        What is not of the selection costs a microsecond each: `through` bounds how many are looked at. A selection
        names 400 domains and labels at most.
        """

    async def last_event(self) -> int:
        """The number of the last event, 0 where there is none."""

    async def peers(self) -> list[Peer]:
        """All peers, by name. Rows that other programs wrote are there too."""

    async def put_peer(self, peer: Peer) -> None:
        """Add a peer, or replace the one of the same URL (or, without URL, of the same key)."""

    async def pin_peer(self, name: str, key: str) -> bool:
        """Give the peer of this name this key where it has none, and leave the rest of its row as another program may
        just have written it. Returns whether it was given.
        """

    async def remove_peer(self, name: str) -> bool:
        """Forget the peer of this name and its cursors. Returns whether there was one."""

    async def cursors(self) -> list[Cursor]:
        """All cursors."""

    async def put_cursors(self, cursors: Sequence[Cursor]) -> None:
        """Set these cursors."""
