"""Late records: those that go before a record of their label that is held, so that the label must be replayed.

A replay may take long, and a peer may bring one late record after the other. So nobody waits for it but the label
itself. Late records are taken out of their group, and gather by label. A round takes some labels: they are locked, what
was decided on them becomes durable, and each is replayed once for all its late records, in pieces. Meanwhile further
records of a locked label gather too.

The replays of one label take at most a tenth of the time, and all replays at most half of it. A label that took long
has a round of its own, so that others are not locked meanwhile.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
import structlog

from node.fairness.turns import Piece, Turns
from node.intake.arrivals import Delivery
from node.intake.commits import Commits
from node.intake.decider import Decider
from node.intake.deferred import (
    Deferred,
    Entry,
    announce_each,
    fail,
    hand_back,
    ignore,
    joined,
    refuse,
    settle,
    wait_for_commits,
)
from node.intake.group import Group
from node.store.contract import Batch, LabelKey, Store
from protocol.errors import ProtocolError
from protocol.records.replay import State
from protocol.records.timeline import Timeline
from protocol.steps import Steps

LABELS_MAX: Final = 256
"""Labels of one round."""

PAUSE: Final = 9.0
"""After a replay, its label waits so many times as long as it took, and gathers late records."""

SLOW_S: Final = 0.01
"""A label whose replay took longer has a round of its own the next time."""

_SLOW_MAX: Final = 10_000
"""Slow labels that are remembered."""

_SOURCE: Final = "late records"
"""All replays together take turns with the other sources of long work."""

_Result = TypeVar("_Result")

log = structlog.get_logger()


class Gathered(msgspec.Struct):
    """What waits for one label. `due_s`: when it may be replayed, by the loop's clock."""

    entries: list[Entry] = msgspec.field(default_factory=list)
    due_s: float = 0.0


class LateRecords:
    """Gathers late records, and decides on them label by label."""

    def __init__(
        self,
        decider: Decider,
        commits: Commits,
        store: Store,
        turns: Turns,
        deciding: asyncio.Lock,
        announce: Callable[[Batch, Delivery], None],
    ) -> None:
        """`deciding` is held by whoever decides on a group. `announce` tells others of new records."""
        self._decider = decider
        self._commits = commits
        self._store = store
        self._turns = turns
        self._deciding = deciding
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._gathered: dict[LabelKey, Gathered] = {}
        self._slow: OrderedDict[LabelKey, None] = OrderedDict()
        self._has_more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, group: Group, late: Mapping[LabelKey, Sequence[int]]) -> Deferred:
        """Decide on these positions of the group later, by label."""
        settled: list[asyncio.Future[None]] = []
        for key, positions in late.items():
            entry = Entry(group, positions, self._loop.create_future())
            entry.settled.add_done_callback(ignore)
            self._gathered.setdefault(key, Gathered()).entries.append(entry)
            settled.append(entry.settled)
        self._has_more.set()
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run(), name="late records")
        deferred = frozenset(at for each in late.values() for at in each)
        return Deferred(deferred, asyncio.gather(*settled))

    def close(self) -> None:
        """Stop. Whoever still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
        for key in self._gathered:
            for entry in self._take(key):
                entry.settled.cancel()

    async def _run(self) -> None:
        """Decide round by round, as long as anything waits."""
        while self._gathered:
            rounds = self._rounds()
            if not rounds:
                await self._wait()
            for keys in rounds:
                seconds = await self._decide_round(keys)
                await asyncio.sleep(seconds)

    def _rounds(self) -> list[list[LabelKey]]:
        """The labels of the next rounds: those that are quick together, then the slow one that waits the longest.

        None if all of them have to wait. Labels of which nothing waits are forgotten.
        """
        now_s = self._loop.time()
        due = {key: it for key, it in self._gathered.items() if it.due_s <= now_s}
        for key in [key for key, it in due.items() if not it.entries]:
            del self._gathered[key], due[key]
        quick = [key for key in due if key not in self._slow]
        slow = sorted((key for key in due if key in self._slow), key=lambda key: due[key].due_s)
        return [keys for keys in (quick[:LABELS_MAX], slow[:1]) if keys]

    async def _wait(self) -> None:
        """Wait until a label is due, or more records come."""
        self._has_more.clear()
        if not self._gathered:
            return
        due_s = min(it.due_s for it in self._gathered.values())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due_s):
                await self._has_more.wait()

    async def _decide_round(self, keys: Sequence[LabelKey]) -> float:
        """Lock these labels and decide on what waits for them; returns the seconds that it took."""
        locked = self._decider.locked
        work = self._turns.begin(_SOURCE)
        async with self._deciding:  # nobody is in the middle of a decision on them
            locked.update(keys)
        try:
            await self._commits.drain()
            for key in keys:
                await self._decide_label(key, work)
                locked.discard(key)
        except ProtocolError as error:  # the disk does not answer, or the node stops
            for key in keys:
                refuse(self._take(key), error)
        except Exception as error:  # whatever it is, every caller has to hear of it
            log.exception("late records were not decided")
            for key in keys:
                fail(self._take(key), error)
        finally:
            locked.difference_update(keys)
        work.end()
        return work.seconds

    async def _decide_label(self, key: LabelKey, work: Piece) -> None:
        """Decide on all that waits for a locked label, and on newer records that come meanwhile."""
        begun_s = self._loop.time()
        await self._decider.labels.load([key])
        state = self._decider.labels.state(key)
        timeline = self._decider.timelines.take(key, state) or await self._read(key, work)
        entries = self._take(key)
        while entries:
            try:
                state = await self._decide_entries(entries, state, timeline, work)
            except BaseException as error:
                fail(entries, error)
                raise
            entries = self._take_newer(key, state)
        self._pause(key, self._loop.time() - begun_s)

    async def _read(self, key: LabelKey, work: Piece) -> Timeline:
        work.end()
        history = await self._store.history(*key)
        await work.rest()
        return await self._do(Timeline.of((past.record, past.verdict) for past in history), work)

    async def _decide_entries(self, entries: Sequence[Entry], state: State, timeline: Timeline, work: Piece) -> State:
        """Decide on these; returns the state of the label afterwards."""
        group = joined(entries)
        await self._decider.read_usage(group)
        batch = await self._do(self._decider.decide_late(group, state, timeline), work)
        hand_back(entries, group)
        committed = self._commits.enqueue(batch, waits=wait_for_commits(entries))
        committed.add_done_callback(lambda done: settle(entries, done))
        announce_each(self._announce, entries, batch)
        return next(iter(batch.states.values()), state)

    async def _do(self, steps: Steps[_Result], work: Piece) -> _Result:
        """Do all steps, with rests in between."""
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: _Result = stop.value
                return result
            if work.is_long:
                await work.rest()

    def _take(self, key: LabelKey) -> list[Entry]:
        gathered = self._gathered[key]
        entries, gathered.entries = gathered.entries, []
        return entries

    def _take_newer(self, key: LabelKey, state: State) -> list[Entry]:
        """What came while the label was locked, if nothing of it is late: it would not have waited otherwise."""
        gathered = self._gathered[key]
        newer = [
            entry
            for entry in gathered.entries
            if all(state.is_extended_by(entry.group.records[at].record) for at in entry.positions)
        ]
        gathered.entries = [entry for entry in gathered.entries if entry not in newer]
        return newer

    def _pause(self, key: LabelKey, seconds: float) -> None:
        """This label was replayed in so many seconds."""
        self._gathered[key].due_s = self._loop.time() + PAUSE * seconds
        self._slow.pop(key, None)
        if seconds >= SLOW_S:
            self._slow[key] = None
            if len(self._slow) > _SLOW_MAX:
                self._slow.popitem(last=False)
