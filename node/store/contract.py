"""What the node asks of storage: few methods, whole batches, and one promise.

The promise: when `commit` returns, the whole batch survives a power cut. When `commit` raises, nothing of the batch was
stored, and the node stops. Only the store knows how it keeps its data. Every store passes the same test suite,
`tests/node/store/store_contract.py`.

Records are never changed, and only an operator removes them (`node.store.removals`). Verdicts, label states and events
are derived from them and stored beside them; replay could compute them again.
"""

from collections.abc import AsyncIterator, Sequence, Set
from typing import Final, Protocol

import msgspec

from node.store.outage import Outages
from node.store.removals import Removals
from protocol.records.admission import Amount
from protocol.records.change import Event, EventType
from protocol.records.record import Record, SignedRecord
from protocol.records.replay import State, Verdict
from protocol.witness.change import DomainChange
from protocol.witness.recall import Known, Overview, Spoken, Wanted
from protocol.witness.testimony import Evidence

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Every record needs it twice.
_EVENT_ACCEPTED: Final = EventType.ACCEPTED

LabelKey = tuple[str, str]
"""A domain and a label."""

Founder = tuple[str, str]
"""A domain and a key that may have founded labels of it."""

RECORDS_MAX: Final = 1_000
"""Most ids in one call of `records` or `held`."""

STATES_FEW: Final = 64
"""Labels whose states a store reads without leaving the caller's thread, unless its disk is slow. So it is not worth
reading a few labels ahead."""


class StoreError(Exception):
    """The storage cannot be used as it is. The text is the reason; `remedy` says what the operator does about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class StoredRecord(msgspec.Struct, frozen=True, gc=False):
    """A record in the store. `received` is when it arrived, in seconds since the Unix epoch, by this node's clock."""

    signed: SignedRecord
    verdict: Verdict
    received: int


class ShownRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as an answer shows it. Nothing reads it any further: `body` is its canonical bytes.

    `is_final`: the witnesses of its domain decided it, and every record before it.
    """

    id: str
    signature: str
    body: bytes
    is_final: bool = False


class Past(msgspec.Struct, frozen=True, gc=False):
    """The fields of a stored record that replay reads, and the verdict.

    `record` has no body (`canonical` is empty), because the records of one label may be larger than the memory.
    """

    record: Record
    verdict: Verdict


class Outline(msgspec.Struct, frozen=True):
    """The records of a label at one moment, by order key and without bodies: 40 bytes a record.

    `ids` are joined, 32 bytes each. `verdicts` has one entry for each id.
    """

    ids: bytes
    verdicts: list[Verdict]


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event with its number in this store. Numbers start at 1. They have no gaps but where a domain was dropped.

    `signature` is the signature that the event's record was stored with.
    """

    seq: int
    event: Event
    signature: str


class Selection(msgspec.Struct, frozen=True):
    """The events that a reader wants: those in one of `domains` and of one of `labels`. None means all.

    `only_final`: of these, only the events of type `final`.
    """

    domains: frozenset[str] | None = None
    labels: frozenset[str] | None = None
    only_final: bool = False

    def takes(self, event_type: EventType, domain: str, label: str) -> bool:
        if self.only_final and event_type is not EventType.FINAL:
            return False
        if self.domains is not None and domain not in self.domains:
            return False
        return self.labels is None or label in self.labels


EVERYTHING: Final = Selection()


class Batch(msgspec.Struct):
    """One transaction: new records, changed verdicts of stored records by id, the states of all changed labels, and the
    events in order.

    `walked`: what the batch does to witnessed domains, by name. The store keeps what witnesses said, and their forks.
    `held_labels`: the labels of `states` that the store may hold already; None: each of them. The others are new.
    """

    records: list[StoredRecord] = msgspec.field(default_factory=list)
    verdicts: dict[str, Verdict] = msgspec.field(default_factory=dict)
    states: dict[LabelKey, State] = msgspec.field(default_factory=dict)
    events: list[Event] = msgspec.field(default_factory=list)
    walked: dict[str, DomainChange] = msgspec.field(default_factory=dict)
    held_labels: set[LabelKey] | None = None

    @property
    def looked_up(self) -> Set[LabelKey]:
        """The labels that the store has to look for."""
        return self.states.keys() if self.held_labels is None else self.held_labels

    @property
    def is_plain(self) -> bool:
        """Whether each record became a head when it was added, as most do: one event a record, in their order."""
        return len(self.events) == len(self.records) and all(map(_is_acceptance_of, self.events, self.records))

    def add(self, later: "Batch") -> None:
        """Merge a later batch into this one."""
        self.held_labels = {*self.looked_up, *(later.looked_up - self.states.keys())}
        self.records += later.records
        self.verdicts |= later.verdicts
        self.states |= later.states
        self.events += later.events
        for domain, change in later.walked.items():
            self.walked.setdefault(domain, DomainChange()).add(change)


def _is_acceptance_of(event: Event, stored: StoredRecord) -> bool:
    return event.record is stored.signed.record and event.type is _EVENT_ACCEPTED


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the peers table.

    `url` is None for a peer that only dials us; then `key`, its node key, must be known. `accept`: whether this node
    admits the records that the peer pushes in the peer class; None means the same as `pull`.
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
        """The name that cursors are stored under: the URL, or the key of a peer without a URL."""
        name = self.url or self.key
        assert name is not None, "a peer has a URL or a key"
        return name


class Cursor(msgspec.Struct, frozen=True):
    """How far one direction with a peer has come in a domain: all records up to `timestamp` (s) went through once."""

    peer: str
    domain: str
    direction: str
    timestamp: int


class Store(Protocol):
    """Storage for one node.

    Lists have the order of the request. Methods may run concurrently. Commits take effect in the order of the calls.
    """

    epoch: str
    """32 hex digits, drawn when the store is created. A restored store has another, so old cursors are noticed."""

    @property
    def outages(self) -> Outages | None:
        """Whether the server of the store is away. None for a store without a server."""

    @property
    def removals(self) -> Removals:
        """What an operator takes down."""

    async def close(self) -> None:
        """Finish the calls under way. Nothing may be called afterwards."""

    async def commit(self, batch: Batch) -> int:
        """Make the whole batch durable. Returns the number of the store's last event, maybe of an older batch."""

    async def domain_usage(self) -> dict[str, Amount]:
        """How much each domain has, by name, after all commits so far."""

    async def key_usage(self, keys: Sequence[str]) -> dict[str, Amount]:
        """How much each of these keys signed, over all domains, after all commits so far."""

    async def largest_keys(self, domain: str | None, limit: int) -> list[tuple[str, Amount]]:
        """The keys that signed the most bytes, largest first, in this domain or in all.

        It looks at every key: 0.3 s for a million keys.
        """

    async def states(self, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
        """The states of these labels. A label without records is absent."""

    async def history(self, domain: str, label: str) -> list[Past]:
        """All records of a label by order key, accepted or not, with the fields that replay reads."""

    async def outline(self, domain: str, label: str) -> Outline:
        """The same records in few bytes, for callers that read the records later by id. Records never change."""

    async def overview(self, domain: str) -> Overview:
        """What a node keeps of a witnessed domain all the time."""

    async def known(self, domain: str, wanted: Wanted) -> Known:
        """These parts of a witnessed domain, as they are after the last commit. All of them at one moment."""

    async def last_said(self, domain: str, ids: Sequence[str], quorum: int) -> dict[str, Evidence]:
        """What the witnesses of a domain said of these held records, by id. At most 1,000 ids a call. A record of which
        nothing was said is absent.

        A liar may vote for one record in any number of rounds. So of the votes and commits of each witness only the
        last ones are read, and the commits of the first round in which `quorum` witnesses commit the record.
        """

    async def spoken(self, domain: str, witness: str, receipt_id: str | None) -> Spoken:
        """How far a witness's own words are here. `receipt_id`: the receipt to look for, None: no receipt."""

    async def records(self, ids: Sequence[str], bytes_max: int | None = None) -> dict[str, StoredRecord]:
        """The stored records among these ids, by id. At most 1,000 ids a call.

        With `bytes_max`, only the first of them, whose bodies have at most this many bytes in total; but always one.
        """

    async def held(self, ids: Sequence[str]) -> frozenset[str]:
        """The ids among these that are stored. At most 1,000 ids a call."""

    async def head(self, domain: str, label: str) -> ShownRecord | None:
        """The head of one label; None if nothing is accepted."""

    async def heads(
        self,
        domain: str | None,
        after: LabelKey | None,
        since: int,
        limit: int,
        prefix: str = "",
        bytes_max: int | None = None,
    ) -> list[SignedRecord]:
        """A page of heads, ordered by the UTF-8 bytes of the domain, then of the label.

        `domain` None means every domain. The page holds heads after the label `after`, with a timestamp of at least
        `since`. Within one domain, `prefix` selects labels that begin with it; other labels cost nothing.
        With `bytes_max`, the page ends with the head that brings its bodies to this many bytes or more.
        """

    async def heads_of_owner(
        self,
        owner: str,
        domain: str | None,
        after: LabelKey | None,
        since: int,
        limit: int,
        bytes_max: int | None = None,
    ) -> list[SignedRecord]:
        """The same, only of labels that this key owns. Other labels cost nothing. A label's owner signed its head."""

    async def labels_founded(self, founders: Sequence[Founder]) -> dict[Founder, int]:
        """How many labels of a domain each of these keys founded, given away since or not. In a witnessed
        domain: how many foundings it brought, won or lost.

        This reads every label that the key owns, in any domain: about 1 us each. Of a witnessed domain it looks through
        all records: about 1 us each, if they are in memory.
        """

    def keys(self) -> AsyncIterator[tuple[str, list[bytes]]]:
        """Every domain with records, and its packed index keys, in pages and in no order.

        A node builds its indexes from these keys.
        """

    async def events(
        self, after: int, limit: int, selection: Selection = EVERYTHING, through: int | None = None
    ) -> list[StoredEvent]:
        """A page of the events of this selection with numbers above `after`, up to `through`, in order.

        An event outside the selection costs 1 us, so `through` bounds the work. A selection names at most 400 domains
        and labels.
        """

    async def last_event(self) -> int:
        """The number of the last event, 0 if there is no event."""

    async def peers(self) -> list[Peer]:
        """All peers, by name, including rows that other programs wrote."""

    async def put_peer(self, peer: Peer) -> None:
        """Add a peer, or replace the peer with the same URL (without a URL: with the same key)."""

    async def pin_peer(self, name: str, key: str) -> bool:
        """Set the key of the peer of this name if it has no key. Returns whether the key was set.

        The rest of the row stays, because another program may just have written it.
        """

    async def remove_peer(self, name: str) -> bool:
        """Remove the peer of this name and its cursors. Returns whether the peer existed."""

    async def cursors(self) -> list[Cursor]:
        """All cursors."""

    async def put_cursors(self, cursors: Sequence[Cursor]) -> None:
        """Set these cursors."""
