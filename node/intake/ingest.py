"""The one way in: everything that arrives, from whomever, goes through here in batches.

    decode -> known already? -> verify in threads -> admit and replay -> one transaction -> answers

Decisions are made one group after another, on states in memory that run ahead of the disk; the writer commits
whatever has been decided since its last commit (group commit: DeWitt et al., 1984), so that one `fdatasync` serves
all that waited for it. Nobody is answered before the commit. What is in flight is bounded in records and bytes: past
it a client is told to come back, and a peer is not read.
"""

import asyncio
from collections.abc import Callable, Sequence

from node.indexes import Indexes
from node.intake.arrivals import Origin, Submission
from node.intake.commits import Commits, Decided, stalled
from node.intake.counts import IntakeCounts
from node.intake.group import Group
from node.intake.labels import Labels
from node.intake.ledger import Ledger, Terms, needs_history
from node.intake.room import Room
from node.settings import Settings
from node.store.contract import LabelKey, Past, Store, StoredRecord
from node.world import World
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Window, check_domain, check_not_reserved
from protocol.records.outcome import Outcome, Status
from protocol.records.record import SignedRecord
from protocol.records.replay import EMPTY


class Ingest:
    """Takes records in. `commits` tells whoever watches what was committed, `intake` counts what became of them;
    `unverified` records have signatures that are being checked. `announcers` are called with the records of a group in
    the turn in which they are decided, before their commit.
    """

    def __init__(self, settings: Settings, world: World, store: Store, indexes: Indexes, commits: Commits) -> None:
        self._settings = settings
        self._world = world
        self._store = store
        self._indexes = indexes
        self._commits = commits
        self._verifier = world.open_verifier(settings.verify_threads)
        self._labels = Labels(store, settings.labels_cached_max)
        self.room = Room(settings, world)
        self.intake = IntakeCounts()
        self.unverified = 0
        self.announcers: list[Callable[[Sequence[SignedRecord], Origin], None]] = []
        self._deciding = asyncio.Lock()
        self._domains = set(indexes.domains())
        self._window = Window(settings.max_age, settings.max_skew)
        commits.watchers.append(self._labels.on_committed)

    async def take(self, submissions: Sequence[Submission], origin: Origin) -> list[Outcome]:
        """Admit these, in order-key order; answer in the order given, after the commit.

        Raises:
            ProtocolError: `overloaded`, `rate_limited` or `storage_full`, with `retry_after` (s): nothing taken.
        """
        begun = _clock()
        try:
            outcomes = await self._taken(submissions, origin)
        except ProtocolError as error:
            self.intake.refused[origin.trust, error.code] += len(submissions)
            raise
        self.intake.count(origin.trust, outcomes)
        self.intake.admission_s.observe(_clock() - begun)
        return outcomes

    async def _taken(self, submissions: Sequence[Submission], origin: Origin) -> list[Outcome]:
        if self._commits.is_stalled and not origin.waits:
            raise stalled()
        size_bytes = sum(len(submission.body) for submission in submissions)
        async with self.room.entered(len(submissions), size_bytes, origin):
            group = await Group.decode(submissions, origin)
            self._check_places(group)
            await self._settle_known(group)
            await self._verify(group)
            if group.records:
                await self._decide(group)
            outcomes = group.settled()
        self.room.count_refused(origin, sum(outcome.status is Status.REFUSED for outcome in outcomes))
        return outcomes

    def close(self) -> None:
        self._verifier.close()

    def _check_places(self, group: Group) -> None:
        """Refuse the records whose domain or label this node does not keep."""
        kept: set[str] = set()
        for position, signed in list(group.records.items()):
            record = signed.record
            try:
                check_not_reserved(record)
                if record.domain not in kept:
                    self._check_domain(record.domain)
                    kept.add(record.domain)
            except ProtocolError as error:
                group.refuse(position, error)

    def _check_domain(self, domain: str) -> None:
        is_full = len(self._domains) >= self._settings.domains_max
        check_domain(domain, self._settings.domains, self._domains, is_full=is_full)

    async def _settle_known(self, group: Group) -> None:
        """A known record under its stored signature needs no second verification."""
        held = {at: signed for at, signed in group.records.items() if self._indexes.holds(signed.record)}
        if not held:
            return
        stored = await self._store.records([signed.record.id for signed in held.values()])
        for position, signed in held.items():
            known = stored[signed.record.id]
            if known.signed.signature == signed.signature:
                group.settle(position, _known(signed, known))

    async def _verify(self, group: Group) -> None:
        """Verify, and meanwhile have the labels read that will be decided on."""
        if not group.records:
            return
        labels = self._labels.missing((it.record.domain, it.record.label) for it in group.records.values())
        if labels:
            await asyncio.gather(self._labels.fetch(labels), self._settle_forged(group))
        else:
            await self._settle_forged(group)

    async def _settle_forged(self, group: Group) -> None:
        begun, positions = _clock(), list(group.records)
        signed = [group.records[position] for position in positions]
        self.unverified += len(signed)
        try:
            genuine = await self._verifier.verify(signed, is_alone=self.room.records == len(group.outcomes))
        finally:
            self.unverified -= len(signed)
        self.intake.verified += len(signed)
        self.intake.verification_s.observe(_clock() - begun)
        for position, record, is_genuine in zip(positions, signed, genuine, strict=True):
            if not is_genuine:
                detail = f"not a signature of {record.record.signedby} over the canonical bytes of this record"
                group.refuse(position, ProtocolError(Code.BAD_SIGNATURE, detail))

    async def _decide(self, group: Group) -> None:
        async with self._deciding:
            self._labels.shrink()
            decided = await self._decided(group)
            committed = self._commits.enqueue(decided, waits=group.origin.waits)
            self._announce(decided, group.origin)
        await committed

    def _announce(self, decided: Decided, origin: Origin) -> None:
        """Others may know at once, though nobody is answered before the commit."""
        records = [stored.signed for stored in decided.batch.records]
        for announce in self.announcers if records else ():
            announce(records, origin)

    async def _decided(self, group: Group) -> Decided:
        """Nothing here waits once the first state has moved, so a caller that is cancelled leaves nothing half done."""
        fresh = self._fresh(group)
        await self._labels.load(fresh)
        histories = await self._histories(group, fresh)
        now_s = self._world.now_s()
        terms = Terms(group.origin.trust, self._window, now_s, group.origin.if_match)
        decided = Decided()
        for key, positions in fresh.items():
            ledger = Ledger(self._labels.state(key), histories.get(key, []))
            taken = self._admit(group, positions, ledger, terms)
            stored = [StoredRecord(signed, ledger.verdicts[signed.record.id], int(now_s)) for signed in taken]
            decided.write(key, ledger, stored)
        self._labels.on_decided(decided.batch.states)
        return decided

    def _fresh(self, group: Group) -> dict[LabelKey, list[int]]:
        """The positions of what is new here, by label, in order-key order; repeats are settled as known.

        A repeat of what is not committed yet is still answered after that commit, because commits keep the
        order of decisions.
        """
        fresh: dict[LabelKey, list[int]] = {}
        seen: set[str] = set()
        for position, signed in sorted(group.records.items(), key=lambda item: item[1].record.order_key):
            record = signed.record
            if record.id in seen or record.id in self._commits.uncommitted or self._indexes.holds(record):
                group.settle(position, Outcome(signed.signature, Status.KNOWN, record))
                continue
            seen.add(record.id)
            fresh.setdefault((record.domain, record.label), []).append(position)
        return fresh

    async def _histories(self, group: Group, fresh: dict[LabelKey, list[int]]) -> dict[LabelKey, list[Past]]:
        """The histories of the labels whose past these records go into, with everything decided so far committed."""
        late = []
        for key, positions in fresh.items():
            state = self._labels.state(key)
            if state is EMPTY:  # new here, as most labels are in a catch-up
                continue
            if needs_history(state, [group.records[position].record for position in positions], group.origin.trust):
                late.append(key)
        if late:
            await self._commits.drained()
        return {key: await self._store.history(*key) for key in late}

    def _admit(self, group: Group, positions: list[int], ledger: Ledger, terms: Terms) -> list[SignedRecord]:
        """Settle these records of one label; returns those taken."""
        signed = [group.records[position] for position in positions]
        domain = signed[0].record.domain
        try:
            self._check_new_domain(domain, group.origin)
            refusals = ledger.admit([it.record for it in signed], terms)
        except ProtocolError as error:
            refusals = {it.record.id: error for it in signed}
        taken = []
        for position, it in zip(positions, signed, strict=True):
            error_or_none = refusals.get(it.record.id)
            if error_or_none is not None:
                group.refuse(position, error_or_none)
                continue
            verdict = ledger.verdicts[it.record.id]
            group.settle(position, Outcome(it.signature, Status.ACCEPTED, it.record, verdict))
            taken.append(it)
        if taken and domain not in self._domains:
            self._domains.add(domain)
            self.room.count_domain(group.origin)
        return taken

    def _check_new_domain(self, domain: str, origin: Origin) -> None:
        """Asked again here, as what was decided in between may have taken the last place."""
        if domain not in self._domains:
            self._check_domain(domain)
            self.room.check_domain_quota(origin)


def _clock() -> float:
    """Seconds of the loop's clock, which never goes back."""
    return asyncio.get_running_loop().time()


def _known(signed: SignedRecord, stored: StoredRecord) -> Outcome:
    return Outcome(signed.signature, Status.KNOWN, signed.record, stored.verdict)
