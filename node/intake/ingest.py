"""The one way in: everything that arrives, from anybody, goes through here in groups.

    decode -> known already? -> verify in threads -> ask the operator's program, if there is one
    -> admit and replay -> one transaction -> answers

Decisions are made one group after another, on states in memory that run ahead of the disk. The writer commits
everything that was decided since its last commit (group commit: DeWitt et al., 1984), so that one `fdatasync` serves
all groups that waited for it. Nobody is answered before the commit. What is in flight is bounded in records and bytes:
past the bounds a client is told to come back, and a peer is not read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from node.fairness.turns import Turns
from node.intake.arrivals import BY_REQUEST, Delivery, Origin, Submission
from node.intake.asking import Asking, asked_positions
from node.intake.commits import Commits, stalled
from node.intake.counts import IntakeCounts
from node.intake.decider import Decider, Decision, Stored
from node.intake.decoding import Decoding
from node.intake.deferred import Deferred
from node.intake.gathering import Caller, Gathering, Single, tell
from node.intake.group import Group
from node.intake.late import LateRecords
from node.intake.room import Room
from node.intake.usage import Usage
from node.intake.witnessed_records import WitnessedRecords
from node.settings.settings import Settings
from node.store.contract import Batch
from node.world import World
from node.write_plugin.plugin import WritePlugin
from protocol.errors import Code, ProtocolError
from protocol.records.outcome import Outcome, Status
from protocol.records.record import SignedRecord, is_witnessed

# Python 3.11 needs 0.2 us for a member of an enum, and 0.01 us for a global. Every record needs it.
_REFUSED: Final = Status.REFUSED


class Ingest:
    """Takes records in.

    `intake` counts what became of the records. `usage` is what each domain and key has here. `unverified` is the number
    of records whose signatures are being checked. `announcers` are called with the records of a group in the turn of
    the loop in which they are decided, before their commit. `decoding` turns bytes into records.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        stored: Stored,
        commits: Commits,
        turns: Turns,
        plugin: WritePlugin | None = None,
    ) -> None:
        """`stored` is what the node holds already. `turns` are shared by all long work of the node. `plugin` runs the
        operator's program, None if the settings name no program.
        """
        self.room = Room(settings, world)
        self.intake = IntakeCounts()
        self.unverified = 0
        self.announcers: list[Callable[[Sequence[SignedRecord], Delivery], None]] = []
        self._store = stored.store
        self._indexes = stored.indexes
        self._commits = commits
        self._verifier = world.open_verifier(settings.verify_threads)
        self.usage = Usage(settings, stored.store, commits, stored.usage)
        self._decider = Decider(settings, world, stored, commits, self.room, self.usage)
        self._decoder = world.open_decoder()
        self.decoding = Decoding(self._decoder, self.room, turns)
        self._deciding = asyncio.Lock()
        self._late = LateRecords(self._decider, commits, self._store, turns, self._deciding, self._announce)
        self._witnessed = WitnessedRecords(self._decider, commits, turns, self._deciding, self._announce)
        self._asking = None if plugin is None else Asking(plugin, self._decider, self._deciding, turns)
        self._clock = asyncio.get_running_loop().time
        self._gathering = Gathering(self)
        commits.count_arrived = lambda: self.unverified + self._gathering.waiting

    async def take(
        self, submissions: Sequence[Submission], origin: Origin, delivery: Delivery = BY_REQUEST
    ) -> list[Outcome]:
        """Take these submissions in, in order-key order; returns their outcomes in the order given, after the commit.

        Raises:
            ProtocolError: `overloaded`, `rate_limited` or `storage_full`, with `retry_after` (s): nothing was taken.
        """
        return await self._take(Group.of(submissions, [origin] * len(submissions), delivery), origin)

    async def take_one(self, submission: Submission, origin: Origin) -> Outcome:
        """Take one submission in, with all others that wait in this turn of the loop; returns after the commit.

        Raises:
            ProtocolError: as for `take`.
        """
        caller: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.begin_one(submission, origin, caller)
        return await caller

    def begin_one(self, submission: Submission, origin: Origin, caller: Caller) -> None:
        """Take one submission in as `take_one` does. The caller is told the outcome after the commit, or the error.

        If the bytes are no record, the caller is told before this returns.

        Raises:
            ProtocolError: as for `take`.
        """
        try:
            if self._commits.is_stalled:
                raise stalled()
            self.room.enter_now(1, len(submission.body), origin)
        except ProtocolError as error:
            self.intake.refused[origin.trust, error.code] += 1
            raise
        arrived_s = self._clock()
        try:
            signed = self.decoding.decode_now(submission)
        except ProtocolError as error:
            self._refuse_one(submission, origin, arrived_s, caller, error)
            return
        if signed is None:
            self._gathering.start(self._decode_one(submission, origin, arrived_s, caller), "exact decoding")
        else:
            self._gathering.put(Single(signed, origin, caller, len(submission.body), arrived_s))

    async def refuse(
        self, submissions: Sequence[Submission], origin: Origin, delivery: Delivery, error: ProtocolError
    ) -> list[Outcome]:
        """The outcomes of submissions that are not taken now: the error, for each that is a record."""
        group = Group.of(submissions, [origin] * len(submissions), delivery)
        await group.decode(self.decoding)
        for position in list(group.records):
            group.refuse(position, error)
        return group.settled()

    async def take_records(self, records: Sequence[SignedRecord], origin: Origin, delivery: Delivery) -> list[Outcome]:
        """The same as `take`, for records that were decoded before."""
        return await self._take(Group.of_records(records, [origin] * len(records), delivery), origin)

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Everything that was decided is on disk, and nobody decides meanwhile."""
        async with self._deciding:
            await self._commits.enqueue(Batch())
            yield

    def count_work(self, spend: Callable[[str, float], None]) -> None:
        """Count the work for records of witnessed domains with `spend`, in seconds of a core by address."""
        self._witnessed.spend = spend

    def start(self) -> None:
        """Go on with what the last run of the node did not finish."""
        self._witnessed.start()

    def close(self) -> None:
        self._late.close()
        self._witnessed.close()
        self._verifier.close()
        self._decoder.close()

    async def _decode_one(self, submission: Submission, origin: Origin, arrived_s: float, caller: Caller) -> None:
        """Take a submission in that only the exact path can decode."""
        size_bytes = len(submission.body)
        try:
            signed = await self.decoding.decode_exactly(submission, origin)
        except ProtocolError as error:
            self._refuse_one(submission, origin, arrived_s, caller, error)
        except asyncio.CancelledError:
            self.room.leave(1, size_bytes, origin)
            caller.cancel()
            raise
        except Exception as error:  # whatever it is, the caller has to hear of it
            self.room.leave(1, size_bytes, origin)
            tell(caller, error)
        else:
            self._gathering.put(Single(signed, origin, caller, size_bytes, arrived_s))

    def _refuse_one(
        self, submission: Submission, origin: Origin, arrived_s: float, caller: Caller, error: ProtocolError
    ) -> None:
        """The bytes of a submission are no record."""
        outcome = Outcome.refused(submission.signature, error)
        self._leave_one(len(submission.body), origin, arrived_s, outcome)
        tell(caller, outcome)

    async def _take(self, group: Group, origin: Origin) -> list[Outcome]:
        """Take a group of one origin through the pipeline."""
        begun_s, waits = self._clock(), group.delivery.waits
        count, size_bytes = len(group), group.size_bytes
        try:
            if self._commits.is_stalled and not waits:
                raise stalled()
            await self.room.enter(count, size_bytes, origin, waits=waits)
            try:
                await self.check(group)
                await self.ask(group)
                deferred = await self.decide(group)
                if deferred is not None:
                    await deferred.settled
            finally:
                self.end(group)
                self.room.leave(count, size_bytes, origin)
        except ProtocolError as error:
            self.intake.refused[origin.trust, error.code] += count
            raise
        outcomes = group.settled()
        self.room.count_refused(origin, sum(map(_is_offence, outcomes)))
        self.intake.count(origin.trust, outcomes)
        self.intake.admission_s.observe(self._clock() - begun_s)
        return outcomes

    def leave(self, singles: Sequence[Single], outcomes: Sequence[Outcome]) -> None:
        """Single submissions have left the pipeline; see `Stages`."""
        for single, outcome in zip(singles, outcomes, strict=True):
            self._leave_one(single.size_bytes, single.origin, single.arrived_s, outcome)

    def leave_failed(self, singles: Sequence[Single], error: BaseException) -> None:
        """The same for submissions without an outcome."""
        for single in singles:
            self.room.leave(1, single.size_bytes, single.origin)
            if isinstance(error, ProtocolError):
                self.intake.refused[single.origin.trust, error.code] += 1

    def _leave_one(self, size_bytes: int, origin: Origin, arrived_s: float, outcome: Outcome) -> None:
        self.room.leave(1, size_bytes, origin)
        if _is_offence(outcome):
            self.room.count_refused(origin, 1)
        self.intake.count(origin.trust, (outcome,))
        self.intake.admission_s.observe(self._clock() - arrived_s)

    async def check(self, group: Group) -> None:
        """Decode the group, and settle what needs no decision: bad records, known records, forged records."""
        if group.submissions:
            await group.decode(self.decoding)
        self._decider.check_places(group)
        await self._settle_known(group)
        if group.records:
            await self._verify(group)

    def asked(self, group: Group) -> list[int]:
        """The positions about which the operator's program has to be asked. None of them without a program."""
        return [] if self._asking is None else asked_positions(group)

    async def ask(self, group: Group) -> None:
        """Refuse what the operator's program does not take, or does not answer. `end` has to follow."""
        if self._asking is not None:
            await self._asking.ask(group)

    def end(self, group: Group) -> None:
        """The group is decided, or will not be."""
        if self._asking is not None:
            self._asking.leave(group)

    async def decide(self, group: Group) -> Deferred | None:
        """Decide on the records without an outcome; returns after the commit.

        Late records, and those of witnessed domains, are decided later. They are returned; None: there are none.
        """
        if not group.records:
            return None
        count = len(group.records)
        async with self._deciding:
            decision = await self._decider.decide(group)
            deferred = self._defer(group, decision)
            if deferred is not None and len(deferred.positions) == count:  # nothing is decided yet
                return deferred
            committed = self._commits.enqueue(decision.batch, waits=group.delivery.waits)
            self._announce(decision.batch, group.delivery)
        await committed
        return deferred

    def _defer(self, group: Group, decision: Decision) -> Deferred | None:
        late = self._late.put(group, decision.late) if decision.late else None
        witnessed = self._witnessed.put(group, decision.witnessed) if decision.witnessed else None
        return late if witnessed is None else witnessed.with_others(late)

    async def _settle_known(self, group: Group) -> None:
        """A known record under its stored signature needs no second verification."""
        held = {at: signed for at, signed in group.records.items() if self._indexes.holds(signed.record)}
        if not held:
            return
        stored = await self._store.records([signed.record.id for signed in held.values()])
        for position, signed in held.items():
            known = stored[signed.record.id]
            if known.signed.signature == signed.signature:
                outcome = Outcome(signed.signature, Status.KNOWN, signed.record, known.verdict)
                group.settle(position, outcome)

    async def _verify(self, group: Group) -> None:
        """Check the signatures; meanwhile read the labels that the group will be decided on.

        The check begins before others get a turn: if several groups come at once, the first one is verified while the
        next one is decoded.
        """
        labels = self._decider.labels
        if len(group.records) <= labels.few:
            await self._refuse_forged(group)
            return
        records = (signed.record for signed in group.records.values())
        missing = labels.missing((it.domain, it.label) for it in records if not is_witnessed(it.domain))
        fetching = asyncio.create_task(labels.fetch(missing)) if missing else None
        try:
            await self._refuse_forged(group)
            if fetching is not None:
                await fetching
        finally:
            if fetching is not None:
                fetching.cancel()

    async def _refuse_forged(self, group: Group) -> None:
        begun_s, positions = self._clock(), list(group.records)
        signed = [group.records[position] for position in positions]
        self.unverified += len(signed)
        try:
            is_alone = group.delivery is BY_REQUEST or self.room.records == len(group)
            genuine = await self._verifier.verify(signed, is_alone=is_alone)
        finally:
            self.unverified -= len(signed)
        self.intake.verified += len(signed)
        self.intake.verification_s.observe(self._clock() - begun_s)
        for position, record, is_genuine in zip(positions, signed, genuine, strict=True):
            if not is_genuine:
                detail = f"not a signature of {record.record.signedby} over the canonical bytes of this record"
                group.refuse(position, ProtocolError(Code.BAD_SIGNATURE, detail))

    def _announce(self, batch: Batch, delivery: Delivery) -> None:
        """Others may know at once, though nobody is answered before the commit."""
        records = [stored.signed for stored in batch.records]
        for announce in self.announcers if records else ():
            announce(records, delivery)


def _is_offence(outcome: Outcome) -> bool:
    """Whether a refusal counts against the quota of its address. A node that has no time has to blame itself."""
    return outcome.status is _REFUSED and outcome.code is not Code.OVERLOADED
