"""Records of witnessed domains: decided in slices, domain by domain, and nobody waits for them but their own domain.

Whoever has a key may be the only witness of a domain, name thousands of records in receipts, and make labels long. So
what these records touch is read from the store before the decision, while other domains are decided. One slice of a
domain is decided at a time, of one source of records after the other. A slice holds the loop for about 8 ms.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from node.fairness.fair_queue import FairQueue
from node.fairness.read_cost import READ_COST, ReadCost, Timed
from node.fairness.turns import Turns
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
from node.intake.witnessed import in_order
from node.store.contract import Batch
from protocol.errors import ProtocolError
from protocol.records.record import POLICY_LABEL, Record

SLICE_US: Final = 8_000
"""How long the event loop takes for a slice at most, as estimated. The longest receipt takes 6,600."""

UNCOMMITTED_US_MAX: Final = 4 * SLICE_US
"""A slice is decided only while the loop took less than this for all that is decided and not on disk. Commits keep
their order, so any other claim waits for what was decided before it. The writer takes about as long as the loop for an
id that a receipt names, and a third as long for a claim.
"""

RECORD_US: Final = 25
"""How long the loop takes for a record, beside the ids that it names."""

NAMED_US: Final = 8
"""How long the loop takes for an id that a receipt names: 3 us if nobody holds the record, 8 if its label changes."""

_NAMED_BYTES: Final = 80
"""Bytes of a receipt for each id that it names, at least."""

log = structlog.get_logger()


class Slice(msgspec.Struct, frozen=True):
    """Records of one domain and one group that are decided at once, in about `work_us` of the event loop."""

    entry: Entry
    work_us: int


class WitnessedRecords:
    """Decides on the records of witnessed domains."""

    def __init__(
        self,
        decider: Decider,
        commits: Commits,
        turns: Turns,
        deciding: asyncio.Lock,
        announce: Callable[[Batch, Delivery], None],
    ) -> None:
        """`deciding` is held by whoever decides on a group. `announce` tells others of new records."""
        self.spend: Callable[[str, float], None] = lambda _address, _seconds: None
        """Counts seconds of work for an address."""
        self._decider = decider
        self._commits = commits
        self._turns = turns
        self._deciding = deciding
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._waiting: defaultdict[str, FairQueue[Slice]] = defaultdict(FairQueue)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._uncommitted_us = 0
        self._committed = asyncio.Event()

    def start(self) -> None:
        """Count the receipts that the last run of the node left due."""
        for domain in self._decider.witnessed:
            if domain.has_due:
                self._start(domain.name)

    def put(self, group: Group, witnessed: Mapping[str, Sequence[int]]) -> Deferred:
        """Decide on these positions of the group later, by domain. Repeats of their records go with them."""
        settled: list[asyncio.Future[None]] = []
        for domain, positions in witnessed.items():
            for each in slices(group, positions, self._loop):
                each.entry.settled.add_done_callback(ignore)
                self._waiting[domain].put(_source_of(group, each.entry.positions[0]), each)
                settled.append(each.entry.settled)
            self._start(domain)
        deferred = frozenset(at for each in witnessed.values() for at in group.with_repeats(each))
        return Deferred(deferred, asyncio.gather(*settled))

    def _start(self, domain: str) -> None:
        if domain not in self._tasks:
            self._tasks[domain] = self._loop.create_task(self._run(domain), name="witnessed records")

    def close(self) -> None:
        """Stop. Whoever still waits is cancelled."""
        for task in self._tasks.values():
            task.cancel()
        for queue in self._waiting.values():
            while queue:
                queue.take().entry.settled.cancel()

    async def _run(self, domain: str) -> None:
        """Decide on this domain, as long as anything waits."""
        cost = ReadCost(_no_pace)
        READ_COST.set(cost)
        queue = self._waiting[domain]
        taken: list[Slice] = []
        try:
            while queue or self._has_due(domain):
                if queue:
                    taken, work_us = _take(queue)
                    await self._decide_entries(domain, [each.entry for each in taken], work_us, cost)
                    self._charge(taken, work_us, cost)
                if self._has_due(domain):  # for those who came last: they brought what was missing, or more of it
                    if not await self._decide_entries(domain, (), SLICE_US, cost):
                        break
                    self._charge(taken, sum(each.work_us for each in taken), cost)
        finally:
            del self._tasks[domain], self._waiting[domain]

    def _has_due(self, domain: str) -> bool:
        """Whether receipts of this domain are sound that are not counted yet."""
        found = self._decider.witnessed.get(domain)
        return found is not None and found.has_due

    async def _decide_entries(self, domain: str, entries: Sequence[Entry], work_us: int, cost: ReadCost) -> bool:
        """Decide on these records, and tell their callers what went wrong; returns whether nothing did."""
        try:
            await Timed(self._decide(domain, entries, work_us), cost)
        except ProtocolError as error:  # the disk does not answer, or the node stops
            refuse(entries, error)
        except asyncio.CancelledError as error:
            fail(entries, error)
            raise
        except Exception as error:  # whatever it is, every caller has to hear of it
            log.exception("records of a witnessed domain were not decided", domain=domain)
            fail(entries, error)
        else:
            return True
        return False

    async def _decide(self, domain: str, entries: Sequence[Entry], work_us: int) -> None:
        """Decide on these records, which nobody else decides on; if there are none, on receipts that are due."""
        while self._uncommitted_us >= UNCOMMITTED_US_MAX:
            self._committed.clear()
            await self._committed.wait()
        work = self._turns.begin(_source_of(entries[0].group, entries[0].positions[0]) if entries else domain)
        await work.rest()
        group = joined(entries)
        with self._decider.witnessed.kept(domain):
            brought = await self._decider.witnessed.read(domain, [signed.record for signed in group.records.values()])
            await self._deciding.acquire()
        try:
            batch = await self._decider.decide_witnessed(domain, group, brought)
            hand_back(entries, group)
            committed = self._commits.enqueue(batch, waits=wait_for_commits(entries))
            announce_each(self._announce, entries, batch)
            has_to_forget = self._decider.witnessed.shrink()
        finally:
            self._deciding.release()
        self._uncommitted_us += work_us
        committed.add_done_callback(lambda done: self._on_committed(done, entries, work_us))
        work.end()
        while has_to_forget:  # a receipt may touch many long labels
            await asyncio.sleep(0)
            async with self._deciding:
                has_to_forget = self._decider.witnessed.shrink()

    def _on_committed(self, committed: asyncio.Future[None], entries: Sequence[Entry], work_us: int) -> None:
        self._uncommitted_us -= work_us
        self._committed.set()
        settle(entries, committed)

    def _charge(self, taken: Sequence[Slice], work_us: int, cost: ReadCost) -> None:
        """Count the work for those who caused it."""
        for each in taken:
            address = each.entry.group.origins[each.entry.positions[0]].address
            if address is not None:
                self.spend(address, cost.seconds * each.work_us / work_us)
        cost.seconds = 0.0


async def _no_pace() -> None:
    """Whoever waits for these reads waits for the whole decision."""


def _take(queue: FairQueue[Slice]) -> tuple[list[Slice], int]:
    """The next slices, as many as may be decided at once, one at least; and for how long they take, in us."""
    taken = [queue.take()]
    work_us = taken[0].work_us
    while queue and work_us < SLICE_US // 2:
        taken.append(queue.take())
        work_us += taken[-1].work_us
    return taken, work_us


def _source_of(group: Group, position: int) -> Hashable:
    """Who brings this record: an address, or a link."""
    return group.origins[position].address or group.delivery.link


def slices(group: Group, positions: Sequence[int], loop: asyncio.AbstractEventLoop) -> list[Slice]:
    """These positions in parts that can be decided one after the other."""
    parts: list[tuple[list[int], int]] = []
    repeats = group.repeats
    for first in in_order(group, positions):
        work_us = _work_us(group.records[first].record)
        if not parts or parts[-1][1] + work_us > SLICE_US:
            parts.append(([], 0))
        places, before_us = parts[-1]
        if first in repeats:
            places += group.with_repeats([first])
        else:
            places.append(first)
        parts[-1] = (places, before_us + work_us)
    return [Slice(Entry(group, places, loop.create_future()), work_us) for places, work_us in parts]


def _work_us(record: Record) -> int:
    is_receipt = record.label[0] == "@" and record.is_of_witnesses and record.label != POLICY_LABEL
    return RECORD_US + (NAMED_US * (len(record.canonical) // _NAMED_BYTES) if is_receipt else 0)
