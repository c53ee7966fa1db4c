"""Gathering: single submissions that wait in the same turn of the loop become one group.

On its own, a single submission costs as much as a group: a hand-over to a verifying thread, a decision, a commit. So
all submissions that came since the last turn share one group. While two groups are on their way to the end of
verification, newer submissions wait and gather. A lone submission waits only for the next turn. Submissions are decoded
before they gather, so that no submission waits for another that takes long to decode.

If the operator has a program that decides about records, each submission waits for its own answer. Submissions that are
answered in one turn of the loop are decided together.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from node.intake.arrivals import BY_REQUEST, Origin
from node.intake.deferred import Deferred
from node.intake.group import Group
from protocol.records.outcome import Outcome
from protocol.records.record import SignedRecord

SINGLES_MAX: Final = 128
"""Submissions in one group: two chunks of verification. With more, the first submission would wait for the last."""

UNVERIFIED_GROUPS_MAX: Final = 2
"""Groups between their start and the end of verification: one is verified while the next begins."""


class Stages(Protocol):
    """The stages of the pipeline, for a group of single submissions."""

    async def check(self, group: Group) -> None:
        """Settle what needs no decision: known records, forged records."""

    def asked(self, group: Group) -> list[int]:
        """The positions about which the operator's program has to be asked."""

    async def ask(self, group: Group) -> None:
        """Settle what the program does not take. `end` has to follow."""

    def end(self, group: Group) -> None:
        """The group is decided, or will not be."""

    async def decide(self, group: Group) -> Deferred | None:
        """Decide on the rest; returns after the commit, with the submissions that are decided later."""

    def leave(self, singles: Sequence["Single"], outcomes: Sequence[Outcome]) -> None:
        """These submissions have left the pipeline."""

    def leave_failed(self, singles: Sequence["Single"], error: BaseException) -> None:
        """These submissions have left the pipeline without an outcome."""


class Caller(Protocol):
    """Whoever waits for the outcome of a single submission: a future, or what behaves like one."""

    def done(self) -> bool:
        """Whether the caller has gone."""

    def set_result(self, result: Outcome, /) -> None: ...

    def set_exception(self, exception: Exception, /) -> None: ...

    def cancel(self) -> object:
        """The node stops, and nobody knows what becomes of the submission."""


class Single(msgspec.Struct, frozen=True):
    """A single submission, decoded, and its origin.

    `caller` is told the outcome. `size_bytes` is the size of the submission as it came. `arrived_s` is the loop's time
    of the arrival.
    """

    signed: SignedRecord
    origin: Origin
    caller: Caller
    size_bytes: int
    arrived_s: float


class Gathering:
    """The submissions that wait for a group. The room of the intake bounds their number."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Single] = deque()
        self._answered: deque[tuple[Single, Group]] = deque()
        self._unverified_groups = 0
        self._is_beginning = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Submissions that are in no group yet."""
        return len(self._waiting)

    def put(self, single: Single) -> None:
        """Add a submission to the next group."""
        self._waiting.append(single)
        self._begin()

    def _begin(self) -> None:
        """Start a task for the next group, unless one is about to run: it takes all submissions that wait by then."""
        if self._waiting and not self._is_beginning and self._unverified_groups < UNVERIFIED_GROUPS_MAX:
            self._is_beginning = True
            self._unverified_groups += 1
            self.start(self._carry(), "singles")

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do this work in a task."""
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self) -> None:
        singles = [self._waiting.popleft() for _ in range(min(len(self._waiting), SINGLES_MAX))]
        self._is_beginning = False
        self._begin()
        group, left = _group_of(singles)
        try:
            try:
                await self._stages.check(group)
            finally:
                self._unverified_groups -= 1
                self._begin()
            for position in self._stages.asked(group):
                del group.records[position]
                self.start(self._ask(left.pop(position)), "asked single")
            await self._decide(group, left)
        except (Exception, asyncio.CancelledError) as error:
            self._fail(left, error)

    async def _ask(self, single: Single) -> None:
        """Ask the operator's program about a submission. It goes on together with all that are answered by then."""
        group, left = _group_of([single])
        try:
            try:
                await self._stages.ask(group)
            except BaseException:
                self._stages.end(group)
                raise
            if not group.records:
                self._stages.end(group)
                self._settle(group, left, left.keys())
                return
            left.clear()
            self._answered.append((single, group))  # its turn at the label goes with it
            if len(self._answered) == 1:
                self.start(self._carry_answered(), "answered singles")
        except (Exception, asyncio.CancelledError) as error:
            self._fail(left, error)

    async def _carry_answered(self) -> None:
        answered = [self._answered.popleft() for _ in range(len(self._answered))]
        group, left = _group_of([single for single, _ in answered])
        group.origins = [each.origins[0] for _, each in answered]
        group.turns = [turn for _, each in answered for turn in each.turns]
        try:
            try:
                await self._decide(group, left)
            finally:
                self._stages.end(group)
        except (Exception, asyncio.CancelledError) as error:
            self._fail(left, error)

    async def _decide(self, group: Group, left: dict[int, Single]) -> None:
        deferred = await self._stages.decide(group)
        if deferred is not None:
            self._settle(group, left, left.keys() - deferred.positions)
            await deferred.settled
        self._settle(group, left, left.keys())

    def _fail(self, left: dict[int, Single], error: Exception | asyncio.CancelledError) -> None:
        """Whatever has ended the work, tell the callers of the submissions that are left.

        Raises:
            CancelledError: the work was cancelled.
        """
        self._stages.leave_failed(list(left.values()), error)
        for single in left.values():
            if isinstance(error, Exception):
                tell(single.caller, error)
            else:
                single.caller.cancel()
        if not isinstance(error, Exception):
            raise error

    def _settle(self, group: Group, left: dict[int, Single], positions: Iterable[int]) -> None:
        """Tell the callers at these positions, and take them out of those that are left."""
        singles, outcomes = [], []
        for position in sorted(positions):
            outcome = group.outcomes[position]
            assert outcome is not None, "every submission has its outcome"
            singles.append(left.pop(position))
            outcomes.append(outcome)
        self._stages.leave(singles, outcomes)
        for single, outcome in zip(singles, outcomes, strict=True):
            tell(single.caller, outcome)


def _group_of(singles: Sequence[Single]) -> tuple[Group, dict[int, Single]]:
    """A group of these submissions, and the submissions by their positions."""
    origins = [single.origin for single in singles]
    return Group.of_records([single.signed for single in singles], origins, BY_REQUEST), dict(enumerate(singles))


def tell(caller: Caller, end: Outcome | Exception) -> None:
    """Tell the caller how the submission ended, unless the caller has gone."""
    if caller.done():
        return
    if isinstance(end, Exception):
        caller.set_exception(end)
    else:
        caller.set_result(end)
