"""The decider: which records of a group this node takes, and what they change.

It decides one group after another, on label states in memory that run ahead of the disk.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from node.indexes import Indexes
from node.intake.arrivals import Origin
from node.intake.commits import Commits
from node.intake.group import Group
from node.intake.labels import Labels
from node.intake.ledger import Ledger, admit_newest, needs_history
from node.intake.room import Room
from node.intake.timelines import Timelines
from node.intake.usage import Usage
from node.intake.welcome import Welcome
from node.intake.witnessed import WitnessedDecider
from node.intake.witnessed_domains import Brought, WitnessedDomains
from node.settings.settings import Settings
from node.store.contract import Batch, LabelKey, Store, StoredRecord
from node.world import World
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Amount, Trust, Window, check_domain, check_not_reserved
from protocol.records.change import Event, EventType
from protocol.records.outcome import Outcome, Status
from protocol.records.record import Record, is_witnessed
from protocol.records.replay import EMPTY, State, Verdict
from protocol.records.timeline import Timeline
from protocol.steps import Steps, finish

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Every record needs all four.
_CLIENT: Final = Trust.CLIENT
_FOUNDED: Final = Verdict.FOUNDED
_ACCEPTED: Final = Status.ACCEPTED
_EVENT_ACCEPTED: Final = EventType.ACCEPTED


def strangers_domains_max(domains_max: int) -> int:
    """How many domains the node may keep for a stranger to found another one.

    The other half is for peers and for callers on this machine, because nothing takes a domain back that strangers
    filled with junk.
    """
    return (domains_max + 1) // 2


class Stored(msgspec.Struct, frozen=True):
    """What a node holds: its store, and what it keeps of the store in memory.

    `indexes`, `witnessed` and `usage`, how much each domain has, are read from the store when the node starts. The
    intake keeps them up to date.
    """

    store: Store
    indexes: Indexes
    witnessed: WitnessedDomains
    usage: dict[str, Amount]


class Decision(msgspec.Struct, frozen=True):
    """What became of a group. `late` and `witnessed`: the positions that are not decided, by label, in order-key order,
    and by witnessed domain.
    """

    batch: Batch
    late: dict[LabelKey, list[int]]
    witnessed: dict[str, list[int]]


class Decider:
    """Decides on groups, one at a time.

    `labels` are the states of the labels that it decides on, `timelines` those of labels with late records. The labels
    in `locked` are being replayed, and nothing else is decided on them. `witnessed` are the witnessed domains.
    `welcome` knows whose records the operator takes.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        stored: Stored,
        commits: Commits,
        room: Room,
        usage: Usage,
    ) -> None:
        """`stored` is what the node holds already."""
        store, indexes = stored.store, stored.indexes
        self.labels = Labels(store, settings.labels_cached_max)
        self.timelines = Timelines()
        self.locked: set[LabelKey] = set()
        self._settings = settings
        self._world = world
        self._indexes = indexes
        self._commits = commits
        self._room = room
        self._usage = usage
        self._domains = set(indexes.domains())
        self._window = Window(settings.max_age, settings.max_skew)
        self.witnessed = stored.witnessed
        self.welcome = Welcome.of(settings, store, commits)
        self._witnessed_decider = WitnessedDecider(self._window, self.welcome, settings.undecided_max, usage)
        commits.watchers.append(lambda committed: self.labels.on_committed(_ordinary_states(committed.batch)))
        commits.watchers.append(lambda committed: self.witnessed.on_committed(committed.batch))

    def check_places(self, group: Group) -> None:
        """Refuse the records whose domain or label this node does not keep."""
        kept: set[str] = set()
        for position, signed in list(group.records.items()):
            record = signed.record
            try:
                check_not_reserved(record)
                if record.domain not in kept:
                    self._check_domain(record.domain, group.origins[position])
                    kept.add(record.domain)
            except ProtocolError as error:
                group.refuse(position, error)

    async def decide(self, group: Group) -> Decision:
        """Settle the records of the group, but for those of labels with late records, and of witnessed domains.

        Nobody else may decide meanwhile. Nothing waits once the first state has moved, so that a caller that is
        cancelled leaves nothing half done.
        """
        self.labels.shrink()
        self._refuse_dropped(group)
        fresh, of_witnessed = self._fresh(group)
        await self.labels.load(fresh)
        if self.welcome.has_to_read:
            arrivals = ((group.records[at].record, group.origins[at]) for run in fresh.values() for at in run)
            await self.welcome.load(arrivals)
        await self.read_usage(group)
        if self._indexes.dropped:
            fresh = self._without_dropped(group, fresh)
        now_s = self._world.now_s()
        batch = Batch()
        held: set[LabelKey] = set()
        late: dict[LabelKey, list[int]] = {}
        for key, positions in fresh.items():
            state = self.labels.state(key)
            are_newest = state is EMPTY  # a new label, as most labels are in a catch-up
            if not are_newest:
                held.add(key)
                are_newest = state.is_extended_by(group.records[positions[0]].record)
            if not are_newest:
                positions = self._new_among(group, positions, state)
                if not positions:
                    continue
            if key in self.locked or (not are_newest and self._is_late(group, positions, state)):
                late[key] = group.with_repeats(positions)
            elif are_newest and len(positions) == 1:
                self._admit_newest(batch, group, positions[0], state, now_s)
            else:
                finish(
                    self._admit(batch, group, positions, Ledger(state, self._window, self.welcome, now_s, self._usage))
                )
        group.settle_repeats()
        batch.held_labels = held & batch.states.keys()
        self.labels.on_decided(batch.states)
        self.welcome.on_decided(batch)
        self._append_to_timelines(batch)
        return Decision(batch, late, of_witnessed)

    async def decide_witnessed(self, name: str, group: Group, brought: Brought | None) -> Batch:
        """Settle the records of the group, which all belong to the witnessed domain of this name; returns what they
        change. Each of them comes after those that it names.

        As for `decide`. `brought`: what they touch, as far as it was known before. Without records, receipts that are
        due are counted.
        """
        self._refuse_dropped(group)
        batch = Batch()
        if not self.witnessed.is_current(name, brought):
            brought = None
            await self.bring_witnessed(signed.record for signed in group.records.values())
        domain = self.witnessed.get(name)
        try:
            if positions := self._new_of_witnessed(group, name):
                await self.welcome.load((group.records[at].record, group.origins[at]) for at in positions)
                await self.read_usage(group)
                if name in self._indexes.dropped:
                    _refuse_all(group, positions, _dropped_error(name))
                else:
                    self._admit_witnessed(batch, group, name, positions, self._world.now_s())
            elif not len(group) and domain is not None and domain.has_due:
                self._witnessed_decider.count_due(batch, group, domain, self._world.now_s())
            group.settle_repeats()
        finally:
            self.witnessed.on_decided(batch, brought)
        self.welcome.on_decided(batch)
        return batch

    def _new_of_witnessed(self, group: Group, name: str) -> list[int]:
        """The positions of the records that are new in the witnessed domain of this name; see `_fresh`. What they touch
        is in memory, so the domain knows what it holds.
        """
        domain = self.witnessed.get(name)
        seen: dict[str, int] = {}
        for position, signed in list(group.records.items()):
            record = signed.record
            if domain is not None and record.id in domain:
                group.settle(position, Outcome(signed.signature, Status.KNOWN, record))
            elif (first := seen.setdefault(record.id, position)) != position:
                group.repeats.setdefault(first, []).append(position)
        return list(seen.values())

    def _refuse_dropped(self, group: Group) -> None:
        """Refuse records of domains that were dropped while the group was verified. The store still has their rows, and
        the index does not know them any more, so a repeat would look new.
        """
        if self._indexes.dropped:
            self.check_places(group)

    def _without_dropped(self, group: Group, fresh: dict[LabelKey, list[int]]) -> dict[LabelKey, list[int]]:
        """These labels without those of dropped domains, whose records are refused: an operator may drop a domain while
        a decision reads the store.
        """
        kept: dict[LabelKey, list[int]] = {}
        for key, positions in fresh.items():
            if key[0] in self._indexes.dropped:
                _refuse_all(group, positions, _dropped_error(key[0]))
            else:
                kept[key] = positions
        return kept

    async def bring_witnessed(self, records: Iterable[Record]) -> None:
        """Have in memory what these records touch in witnessed domains. Nobody may decide on these domains until this
        returns.
        """
        by_domain: dict[str, list[Record]] = {}
        for record in records:
            if self.witnessed.get(record.domain) is not None:
                by_domain.setdefault(record.domain, []).append(record)
        for domain, its_records in by_domain.items():
            await self.witnessed.bring(domain, its_records)

    async def read_usage(self, group: Group) -> None:
        """Read how much the keys have that clients wrote with. Raises: ProtocolError: `overloaded`."""
        if not self._usage.has_key_quota:
            return
        of_clients = (at for at in group.records if group.origins[at].trust is Trust.CLIENT)
        await self._usage.read_keys(group.records[at].record.signedby for at in of_clients)

    def decide_late(self, group: Group, state: State, timeline: Timeline) -> Steps[Batch]:
        """Settle the records of the group, which all belong to one locked label; returns what they change.

        `state` is that of the label, and everything that led to it is committed. `timeline` gets the new records.
        """
        self._refuse_dropped(group)
        fresh, _ = self._fresh(group)
        batch = Batch()
        for key, found in fresh.items():
            positions = self._new_among(group, found, state)
            if not positions:
                continue
            ledger = Ledger(state, self._window, self.welcome, self._world.now_s(), self._usage, timeline)
            yield from self._admit(batch, group, positions, ledger)
            self.labels.on_decided(batch.states)
            self.welcome.on_decided(batch)
            self.timelines.put(key, timeline)
        group.settle_repeats()
        return batch

    def _append_to_timelines(self, batch: Batch) -> None:
        """The records of a batch without late records are newer than all others of their labels."""
        if self.timelines:
            for stored in batch.records:
                record = stored.signed.record
                self.timelines.append((record.domain, record.label), record, stored.verdict)

    def _fresh(self, group: Group) -> tuple[dict[LabelKey, list[int]], dict[str, list[int]]]:
        """The positions of the records, each record once, in order-key order. Those of ordinary domains by label, those
        of witnessed domains by domain.

        Records of witnessed domains that are held are settled as known; for the others see `_new_among`. If a record
        comes twice, the group has the second position in `repeats`, to be settled when the first one is.
        """
        fresh: dict[LabelKey, list[int]] = {}
        of_witnessed: dict[str, list[int]] = {}
        seen: dict[str, int] = {}
        for position, signed in sorted(group.records.items(), key=lambda item: item[1].record.index_key):
            record = signed.record
            first = seen.setdefault(record.id, position)
            if first != position:
                group.repeats.setdefault(first, []).append(position)
                continue
            if not is_witnessed(record.domain):
                fresh.setdefault((record.domain, record.label), []).append(position)
            elif self.is_held(record):
                group.settle(position, Outcome(signed.signature, Status.KNOWN, record))
            else:
                of_witnessed.setdefault(record.domain, []).append(position)
        return fresh, of_witnessed

    def _new_among(self, group: Group, positions: Sequence[int], state: State) -> list[int]:
        """Those of these positions of one label whose records are new here; the others are settled as known. `state` is
        that of the label.

        A record that is newer than all records of its label cannot be held, so that most records need no search in the
        index. A record that is not committed yet is still answered after that commit, because commits keep the order of
        decisions.
        """
        new: list[int] = []
        for position in positions:
            signed = group.records[position]
            if state.is_extended_by(signed.record) or not self.is_held(signed.record):
                new.append(position)
            else:
                group.settle(position, Outcome(signed.signature, Status.KNOWN, signed.record))
        return new

    def is_held(self, record: Record) -> bool:
        """Whether this node has the record, committed or not."""
        return record.id in self._commits.uncommitted or self._indexes.holds(record)

    def _is_late(self, group: Group, positions: Sequence[int], state: State) -> bool:
        """Whether any of these records of one label needs a replay."""
        return any(needs_history(state, group.records[at].record, group.origins[at].trust) for at in positions)

    def _admit_newest(self, batch: Batch, group: Group, position: int, state: State, now_s: float) -> None:
        """Settle the only record of a label in this group, which is newer than all records of the label."""
        signed, origin = group.records[position], group.origins[position]
        record = signed.record
        if record.domain not in self._domains and not self._admits_domain(record.domain, group, position):
            return
        try:
            state, verdict = admit_newest(record, origin, state, self._window, self.welcome, now_s)
            if origin.trust is _CLIENT:
                self._usage.check(record)
        except ProtocolError as error:
            group.refuse(position, error)
            return
        self._usage.count(record)
        self._settle_accepted(group, position, verdict)
        batch.records.append(StoredRecord(signed, verdict, int(now_s)))
        batch.states[record.domain, record.label] = state
        if verdict.is_accepted:
            batch.events.append(Event(_EVENT_ACCEPTED, record))

    def _admit(self, batch: Batch, group: Group, positions: Sequence[int], ledger: Ledger) -> Steps[None]:
        """Settle these records of one label. Nothing is settled before the last step."""
        domain = group.records[positions[0]].record.domain
        if domain not in self._domains:
            positions = [at for at in positions if self._admits_domain(domain, group, at)]
        records = [group.records[at].record for at in positions]
        refusals = yield from ledger.admit(records, [group.origins[at] for at in positions])
        taken = []
        for position in positions:
            signed = group.records[position]
            error = refusals.get(signed.record.id)
            if error is not None:
                group.refuse(position, error)
                continue
            verdict = ledger.verdicts[signed.record.id]
            self._settle_accepted(group, position, verdict)
            taken.append(StoredRecord(signed, verdict, int(ledger.now_s)))
        if taken:
            _enter(batch, ledger, taken)

    def _admit_witnessed(self, batch: Batch, group: Group, domain: str, positions: Sequence[int], now_s: float) -> None:
        """Settle these records of a witnessed domain."""
        if domain not in self._domains:
            positions = [at for at in positions if self._admits_domain(domain, group, at)]
        taken = self._witnessed_decider.admit(batch, group, positions, self.witnessed.open(domain), now_s)
        if taken:
            self._note_domain(domain, group.origins[taken[0]])

    def _settle_accepted(self, group: Group, position: int, verdict: Verdict) -> None:
        signed = group.records[position]
        self._note_domain(signed.record.domain, group.origins[position])
        if verdict is _FOUNDED:
            self.welcome.on_founded(signed.record)
        group.settle(position, Outcome(signed.signature, _ACCEPTED, signed.record, verdict))

    def _note_domain(self, domain: str, origin: Origin) -> None:
        """A record of this domain was taken, perhaps its first."""
        if domain not in self._domains:
            self._domains.add(domain)
            self._room.count_domain(origin)

    def _admits_domain(self, domain: str, group: Group, position: int) -> bool:
        """Whether this record may found its domain; if not, it is refused.

        Checked again here, because another group may have taken the last place for a domain.
        """
        try:
            self._check_domain(domain, group.origins[position])
            self._room.check_domain_quota(group.origins[position])
        except ProtocolError as error:
            group.refuse(position, error)
            return False
        return True

    def _check_domain(self, domain: str, origin: Origin) -> None:
        if domain in self._indexes.dropped:
            raise _dropped_error(domain)
        places = self._settings.domains_max
        if origin.trust is Trust.CLIENT and origin.address is not None:
            places = strangers_domains_max(places)
        is_full = len(self._domains) >= places
        check_domain(domain, self._settings.domains, self._domains, is_full=is_full)


def _dropped_error(domain: str) -> ProtocolError:
    return ProtocolError(
        Code.UNKNOWN_DOMAIN, f"the operator of this node dropped the domain {domain}, and does not keep it"
    )


def _refuse_all(group: Group, positions: Iterable[int], error: ProtocolError) -> None:
    for position in positions:
        group.refuse(position, error)


def _ordinary_states(batch: Batch) -> dict[LabelKey, State]:
    """The states in this batch but those of witnessed domains, whose labels are kept in another way."""
    if not batch.walked:
        return batch.states
    return {key: state for key, state in batch.states.items() if key[0] not in batch.walked}


def _enter(batch: Batch, ledger: Ledger, taken: Sequence[StoredRecord]) -> None:
    """Add to the batch what these records of one label changed."""
    first = taken[0].signed.record
    batch.records += taken
    batch.states[first.domain, first.label] = ledger.state
    batch.events += ledger.events
    if len(ledger.verdicts) > len(taken):
        new = {stored.signed.record.id for stored in taken}
        batch.verdicts |= {it: verdict for it, verdict in ledger.verdicts.items() if it not in new}
