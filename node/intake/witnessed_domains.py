"""The witnessed domains that this node keeps: of each the policy, its witnesses and their forks, and the parts of it
that records touched lately.

The state of a domain is a pure function of its records, and the store keeps what follows from them. So a part is read
when records touch it, before the decision, and forgotten when it was unused the longest. As long as the node runs, the
parts in memory run ahead of the disk, as the states of ordinary labels do. A part with changes that are not committed
is never forgotten. Labels where nothing waits for a decision go first: witnesses will speak about the others, and about
those first that came first.

When the policy of a domain comes, which orders all records that came before, all of them are read at once.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, Self

import msgspec
import structlog

from node.indexes import Indexes
from node.settings.settings import Settings
from node.store.contract import Batch, Store
from protocol.records.record import POLICY_LABEL, Record, is_witnessed
from protocol.witness.domain import WitnessedDomain
from protocol.witness.policy import policy_of
from protocol.witness.recall import Wanted
from protocol.witness.testimony import Place

_SPARED_MAX: Final = 100
"""Parts of domains that are about to be decided on, of which one look for parts to forget passes so many."""

FORGOTTEN_AT_ONCE: Final = 5_000
"""Records that are forgotten at once, in about 8 ms; more if the last of their labels has more."""

_PAGE_RECORDS: Final = 500
"""Records in one read of the store."""

_Part = tuple[str, Literal["labels", "ids", "places"], str | Place]
"""A domain, the kind of part, and its name."""

log = structlog.get_logger()


class _Use(msgspec.Struct):
    """The last decision that used a part, and how many records the part has."""

    decision: int
    records: int


class Brought(msgspec.Struct, frozen=True):
    """Parts of a domain that are in memory."""

    domain: WitnessedDomain
    wanted: Wanted


class WitnessedDomains:
    """The witnessed domains by name. Of all of them together about `records_max` records are in memory."""

    def __init__(self, store: Store, indexes: Indexes, records_max: int) -> None:
        self._store = store
        self._indexes = indexes
        self._records_max = records_max
        self._records = 0
        self._by_name: dict[str, WitnessedDomain] = {}
        self._used: OrderedDict[_Part, _Use] = OrderedDict()
        self._settled: OrderedDict[_Part, _Use] = OrderedDict()
        """The labels where nothing waits for a decision. They are not in `_used`."""
        self._decided = 0
        self._committed = 0
        self._kept: set[str] = set()
        """The domains of which parts are being read for the next decision."""

    @classmethod
    async def load(cls, store: Store, indexes: Indexes, records_max: int) -> Self:
        """Read what is kept of each witnessed domain that the store holds."""
        domains = cls(store, indexes, records_max)
        for name in filter(is_witnessed, indexes.domains()):
            domains._by_name[name] = WitnessedDomain.resumed(name, await store.overview(name))
            log.info("witnessed domain loaded", domain=name, undecided=domains._by_name[name].undecided)
        return domains

    def __iter__(self) -> Iterator[WitnessedDomain]:
        return iter(self._by_name.values())

    def get(self, name: str) -> WitnessedDomain | None:
        """The domain of this name; None if the node holds no record of it."""
        return self._by_name.get(name)

    def open(self, name: str) -> WitnessedDomain:
        """The domain of this name, empty if the node holds no record of it. The name is that of a witnessed domain."""
        domain = self._by_name.get(name)
        if domain is None:
            domain = self._by_name[name] = WitnessedDomain(name)
        return domain

    def drop(self, name: str) -> None:
        """Forget all of this domain, which the node does not keep any more."""
        self._by_name.pop(name, None)
        for part in [part for part in (*self._used, *self._settled) if part[0] == name]:
            self._release(part)

    async def reread(self, name: str, ids: Sequence[str]) -> None:
        """Read what is kept of this domain, to which another process has added the records of these ids."""
        overview = await self._store.overview(name)
        if overview.policy is not None:
            self._by_name[name] = WitnessedDomain.resumed(name, overview)
            return
        domain = self.open(name)
        for begin in range(0, len(ids), _PAGE_RECORDS):
            stored = await self._store.records(ids[begin : begin + _PAGE_RECORDS])
            domain.add(each.signed.record for each in stored.values())

    @contextmanager
    def kept(self, name: str) -> Iterator[None]:
        """In this block, nothing of this domain is forgotten."""
        self._kept.add(name)
        try:
            yield
        finally:
            self._kept.discard(name)

    async def bring(self, name: str, records: Sequence[Record]) -> None:
        """Have in memory what these records touch in this domain, of which the node holds records. Nobody may decide on
        this domain until this returns.
        """
        brought = await self.read(name, records)
        assert brought is not None, "the node holds records of the domain"
        self._use(brought.domain, brought.wanted)

    async def read(self, name: str, records: Sequence[Record]) -> "Brought | None":
        """The same as `bring`, before the decision that uses it: `on_decided` has to follow, and nothing of the domain
        may be forgotten before (`kept`). None if the node holds no record of the domain.
        """
        domain = self._by_name.get(name)
        if domain is None:
            return None
        if domain.policy is None and any(policy_of(record) is not None for record in records):
            await self._bring_all(domain)
        wanted = domain.needs(records)
        while missing := domain.missing(wanted):
            for _ in domain.learn(missing, await self._store.known(name, missing)):
                await asyncio.sleep(0)  # a label may be long: others get a turn
            if not wanted.places:
                break  # nothing becomes sound that needs more
            wanted = domain.needs(records)
        return Brought(domain, wanted)

    def is_current(self, name: str, brought: "Brought | None") -> bool:
        """Whether the next decision can use what was brought. Not if the domain came or was dropped since."""
        return self._by_name.get(name) is (None if brought is None else brought.domain)

    async def _bring_all(self, domain: WitnessedDomain) -> None:
        """Have all of this domain in memory, of which parts are there. Its policy is not known."""
        index = self._indexes.get(domain.name)
        for begin in range(0, 0 if index is None else len(index), _PAGE_RECORDS):
            assert index is not None, "an empty domain has no pages"
            ids = [each.hex() for each in index.ids(begin, min(begin + _PAGE_RECORDS, len(index)))]
            stored = await self._store.records(ids)
            domain.add(each.signed.record for each in stored.values())
            self._use(domain, Wanted(ids=dict.fromkeys(ids)))

    def on_decided(self, batch: Batch, brought: "Brought | None" = None) -> None:
        """This batch is decided, and not yet committed. `brought`: what was read for it, if that was used."""
        if brought is not None:
            self._use(brought.domain, brought.wanted)
        if not batch.walked:
            return
        walked = batch.walked
        for name, change in walked.items():
            if brought is None or (name, POLICY_LABEL) in batch.states:  # the policy touches every label
                labels = (label for domain, label in batch.states if domain == name and not label.startswith("@"))
                self._use(self._by_name[name], Wanted(labels=dict.fromkeys(labels)))
            for record_id in change.awaited:
                self._release((name, "ids", record_id))  # its label has it now
        for (name, label), state in batch.states.items():
            if not state.undecided and name in walked and label[0] != "@":
                part: _Part = (name, "labels", label)
                use = self._used.pop(part, None)
                if use is not None:
                    self._settled[part] = use
        self._decided += 1

    def on_committed(self, batch: Batch) -> None:
        """This batch is durable. Batches come in the order in which they were decided."""
        if batch.walked:
            self._committed += 1

    def shrink(self, at_once: int = FORGOTTEN_AT_ONCE) -> bool:
        """Forget the parts that were unused the longest, down to the limit, but only some: about `at_once` records.
        Called between decisions.

        Returns whether more of them are to be forgotten.
        """
        unwanted: dict[str, Wanted] = defaultdict(Wanted)
        is_over, spared, before = False, 0, self._records
        while is_over := self._records > self._records_max:
            if before - self._records >= at_once:
                break
            oldest = self._settled or self._used
            part, use = next(iter(oldest.items()))
            if part[0] in self._kept and spared < _SPARED_MAX:
                oldest.move_to_end(part)
                spared += 1
                continue
            if use.decision > self._committed or part[0] in self._kept:
                is_over = False
                break
            del oldest[part]
            self._records -= use.records
            _add(unwanted[part[0]], part)
        for name, parts in unwanted.items():
            self._by_name[name].forget(parts)
        return is_over

    def _use(self, domain: WitnessedDomain, wanted: Wanted) -> None:
        """Note that the next decision uses these parts."""
        name, (labels, ids) = domain.name, domain.sizes(wanted)
        parts: dict[_Part, int] = {(name, "ids", record_id): 1 for record_id in ids}
        parts |= {(name, "labels", label): records for label, records in labels.items()}
        parts |= {(name, "places", place): 1 for place in wanted.places}
        self._note(parts)

    def _release(self, part: _Part) -> None:
        parts = self._used if part in self._used else self._settled
        use = parts.pop(part, None)
        if use is not None:
            self._records -= use.records

    def _note(self, parts: Mapping[_Part, int]) -> None:
        """The next decision uses these parts, each of so many records."""
        used, settled, decision = self._used, self._settled, self._decided + 1
        for part, records in parts.items():
            use = used.get(part)
            if use is not None:
                used.move_to_end(part)
            else:
                use = used[part] = settled.pop(part) if part in settled else _Use(0, 0)
            self._records += records - use.records
            use.decision, use.records = decision, records


def _add(parts: Wanted, part: _Part) -> None:
    _, kind, name = part
    if isinstance(name, tuple):
        parts.places[name] = None
    else:
        (parts.labels if kind == "labels" else parts.ids)[name] = None


def records_max_of(settings: Settings) -> int:
    """How many records of witnessed domains are in memory: a record takes ten times as much as the state of a label."""
    return max(1, settings.labels_cached_max // 10)
