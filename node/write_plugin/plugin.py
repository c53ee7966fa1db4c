"""The write plug-in: asks the operator's program about records, and keeps the program running.

Records wait in a queue, from which the sources take turns, and a limited number of lines is on its way to the program.
So a batch of one client delays a record of another client by a few answers, and not by the whole batch. If the queue is
full, a record of the client with most records gives way.

Nothing waits for ever. A record that gets no answer within the timeout is refused as `overloaded`, and so is everything
while the program is down. A program that is silent for as long as the timeout, or whose answer makes no sense, is
killed. It is started again after a pause that doubles with each fault.
"""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from typing import Final

import msgspec
import structlog

from node.clocks import moment
from node.fairness.fair_queue import FairQueue
from node.metrics import SECONDS, Histogram
from node.world import World
from node.write_plugin.conversation import Answer, PluginFaultError, Question, read_answer
from node.write_plugin.process import PluginProcess
from protocol.errors import Code, ProtocolError

ASKED_MAX: Final = 4_096
"""Records that may wait for an answer. Past it clients get 503, that source first that has most records here."""

SENT_MAX: Final = 64
"""Lines that the program has and has not answered. Few, so that a record waits for few answers; and enough for a
program that looks something up for each record."""

PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 60.0
"""The pause before a new start: it doubles with each fault. A guess."""

STEADY_S: Final = 60.0
"""A program that ran for this many seconds without a fault is started again after the shortest pause."""

WARNED_S: Final = 60.0
"""Seconds that a warning stays after the last fault, or after the last record that waited too long."""

log = structlog.get_logger()


class PluginCounts:
    """What became of the records about which the program should be asked, and how often it was started again.

    `failed`: no answer in time, or no program. `answer_s`: seconds from question to answer.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self.rejected = 0
        self.failed = 0
        self.restarts = 0
        self.answer_s = Histogram(SECONDS)


class _Asked(msgspec.Struct):
    """A record that waits. `asked_s` is the loop's time of the question. `is_sent`: the program has the line."""

    question: Question
    asked_s: float
    answer: asyncio.Future[Answer]
    is_sent: bool = False


class WritePlugin:
    """The program of one node. `counts` are for the metrics, `timeout_s` is how long a record may wait."""

    def __init__(
        self, command: Sequence[str], timeout_s: float, world: World, pause_s_min: float = PAUSE_S_MIN
    ) -> None:
        """`pause_s_min`: seconds until a new start after the first fault."""
        self.counts = PluginCounts()
        self.timeout_s = timeout_s
        self._command = command
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._queue: FairQueue[_Asked] = FairQueue()
        self._asked: dict[str, _Asked] = {}
        self._sent = 0
        self._progress_s = 0.0
        self._process: PluginProcess | None = None
        self._last: PluginProcess | None = None
        self._started_s = 0.0
        self._pause_s_min = self._pause_s = pause_s_min
        self._fault: tuple[str, float] | None = None
        self._slow_s: float | None = None
        self._down = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[_Asked] = deque()

    async def start(self) -> None:
        """Start the program, and start it again whenever it fails. Raises: OSError: it cannot be started."""
        await self._start_process()
        self._supervisor = self._loop.create_task(self._supervise(), name="write plug-in")

    def ask(self, question: Question, source: Hashable) -> asyncio.Future[Answer]:
        """The answer to come. It ends with `overloaded` if there is none in time. Sources take turns.

        Raises:
            ProtocolError: `overloaded` if the program is down, or too many records wait.
        """
        try:
            return self._ask(question, source)
        except ProtocolError:
            self.counts.failed += 1
            raise

    @property
    def waiting(self) -> int:
        """Records that wait for an answer, those that nobody waits for any more included."""
        return len(self._asked)

    @property
    def last_fault(self) -> str | None:
        """How the program failed the last time, in words; None: it has not failed."""
        return None if self._fault is None else self._fault[0]

    def warnings(self) -> Iterator[str]:
        """What an operator should know of the program, one sentence each."""
        now_s = self._loop.time()
        if self._process is None or (self._fault is not None and now_s - self._fault[1] < WARNED_S):
            reason, at_s = self._fault or ("it has not started", now_s)
            since = moment(self._world.now_s() - (now_s - at_s))
            now = "it runs again" if self._process is not None else "clients get 503 until it runs again"
            yield f"the write plug-in failed at {since}: {reason}; {now}; `dnarc plugin test` shows what it answers"
        elif self._slow_s is not None and now_s - self._slow_s < WARNED_S:
            yield (
                f"the write plug-in is slow: records waited longer than {self.timeout_s:g} s for its answer, and their "
                "clients got 503"
            )

    async def close(self) -> None:
        """End the program. Whoever still waits gets `overloaded`, and so does everybody who asks later."""
        if self._timer is not None:
            self._timer.cancel()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        self._process, last, self._last = None, self._last, None
        self._fail_all("this node is stopping: ask another")
        if last is not None:
            await last.close()

    def _ask(self, question: Question, source: Hashable) -> asyncio.Future[Answer]:
        if self._process is None:
            raise _overloaded("the operator's program that decides about records is down", self._pause_s)
        record_id = question.record.id
        if record_id in self._asked:  # its last answer came too late, and is still to come
            raise _overloaded("the operator's program is still asked about this record", self.timeout_s)
        if len(self._asked) >= ASKED_MAX:
            self._make_room(source)
        asked = self._asked[record_id] = _Asked(question, self._loop.time(), self._loop.create_future())
        self._waiting.append(asked)
        self._queue.put(source, asked)
        self._send()
        if self._timer is None:
            self._timer = self._loop.call_later(self.timeout_s, self._on_time)
        return asked.answer

    def _make_room(self, source: Hashable) -> None:
        """Refuse the newest record of the source with most records in the place of this source's next one.

        Raises:
            ProtocolError: `overloaded`, because no source has many more records here.
        """
        error = _overloaded("too many records wait for the operator's program", 1)
        dropped = self._queue.drop_for(source)
        if dropped is None:
            raise error
        del self._asked[dropped.question.record.id]
        if not dropped.answer.done():
            self._fail(dropped, error)

    def _send(self) -> None:
        """Send as many lines as the program may have."""
        lines = []
        while self._queue and self._sent < SENT_MAX:
            asked = self._queue.take()
            if asked.answer.done():  # nobody waits for it any more
                self._asked.pop(asked.question.record.id, None)
                continue
            if not self._sent:
                self._progress_s = self._loop.time()
            self._sent += 1
            asked.is_sent = True
            lines.append(asked.question.as_line())
        if lines and self._process is not None:
            self._process.write(b"".join(lines))

    def _on_line(self, line: bytes) -> None:
        try:
            answer = read_answer(line)
            asked = self._asked.get(answer.id)
            if asked is None or not asked.is_sent:
                raise PluginFaultError(f"it answered about {answer.id[:64]!r}, about which it was not asked, or twice")
        except PluginFaultError as fault:
            self._on_fault(str(fault))
            return
        del self._asked[answer.id]
        self._sent -= 1
        self._progress_s = self._loop.time()
        self.counts.answer_s.observe(self._progress_s - asked.asked_s)
        if not asked.answer.done():
            self.counts.accepted += answer.is_accepted
            self.counts.rejected += not answer.is_accepted
            asked.answer.set_result(answer)
        self._send()

    def _on_time(self) -> None:
        """Refuse what has waited too long, and give up a program that has been silent too long."""
        self._timer = None
        now_s = self._loop.time()
        if self._sent and now_s - self._progress_s >= self.timeout_s:
            self._on_fault(f"it answered nothing for {self.timeout_s:g} s")
            return
        while self._waiting and (self._waiting[0].answer.done() or self._waiting[0].asked_s + self.timeout_s <= now_s):
            asked = self._waiting.popleft()
            if not asked.answer.done():
                self._slow_s = now_s
                self._fail(asked, _overloaded("the operator's program takes too long", self.timeout_s))
        if self._asked:
            oldest_s = self._waiting[0].asked_s if self._waiting else now_s
            due_s = min(oldest_s, self._progress_s) + self.timeout_s
            self._timer = self._loop.call_at(max(due_s, now_s + self.timeout_s / 10), self._on_time)

    def _on_fault(self, reason: str) -> None:
        """The program has ended, or cannot be believed any more."""
        if self._process is None:
            return
        self._process.kill()
        self._process = None
        now_s = self._loop.time()
        if now_s - self._started_s >= STEADY_S:
            self._pause_s = self._pause_s_min
        self._fault = (reason, now_s)
        log.error("the write plug-in failed", reason=reason, again_in_s=self._pause_s)
        self._fail_all("the operator's program that decides about records has failed")
        self._down.set()

    async def _supervise(self) -> None:
        """Start the program again whenever it is down, and again if that fails."""
        while True:
            await self._down.wait()
            await asyncio.sleep(self._pause_s)
            if self._last is not None:
                await self._last.close()  # it was killed, and has ended long since
            self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)
            self.counts.restarts += 1
            try:
                await self._start_process()
            except OSError as error:
                self._fault = (f"it cannot be started: {error.strerror or error}", self._loop.time())
                log.error("the write plug-in cannot be started", error=str(error), again_in_s=self._pause_s)

    async def _start_process(self) -> None:
        """Raises: OSError: the program cannot be started."""
        process = await PluginProcess.start(self._command, self._on_line, self._on_fault)
        self._process = self._last = process
        self._started_s = self._loop.time()
        self._down.clear()
        if process.end is not None:  # it ended before anybody could hear of it
            self._on_fault(process.end)

    def _fail_all(self, detail: str) -> None:
        error = _overloaded(detail, self._pause_s)
        for asked in self._asked.values():
            if not asked.answer.done():
                self._fail(asked, error)
        self._asked.clear()
        self._waiting.clear()
        self._queue, self._sent = FairQueue(), 0

    def _fail(self, asked: _Asked, error: ProtocolError) -> None:
        self.counts.failed += 1
        asked.answer.set_exception(error)


def _overloaded(detail: str, retry_after_s: float) -> ProtocolError:
    return ProtocolError(Code.OVERLOADED, f"{detail}: send the record again later", retry_after=retry_after_s)
