"""A meter of the input of strangers: how much work it causes, and which connections wait.

A connection waits for its turn of the loop: networks take turns, then the addresses in each, then the connections of
each address. When the share of its address is used up, the address has no turns until its share has grown again.

Connections share one timer and one callback in each turn of the loop. With a timer each, 300 of them woke up 6,000
times a second, each to learn that another one had just used the share: half a core for nothing. With a callback each,
466 of them asked in each turn of the loop whether it had time left, and always the same ones got it: a claim of another
address waited for 1.4 s.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from node.fairness.crowd import Crowd
from node.fairness.fair_queue import FairQueue
from node.fairness.shares import Shares
from node.fairness.turns import Turns

INPUT_SHARE_MAX: Final = 0.1
"""Of a core, for the input of one address."""

REQUEST_S: Final = 0.0001
"""What each further request of a piece counts, and each request that needs no parser. To parse 80 of them takes 0.3 ms,
to answer them 16 ms. A request that comes alone takes as much of the share by its parsing, so one address may send
1,000 a second either way.
"""

INPUT_BURST_S: Final = 1.0

INPUT_TURN_S: Final = 0.002
"""Seconds of one turn of the loop that all input of strangers may take: 20 requests, or a piece of the dearest bytes.
The answers to these requests take as long again, and a claim takes about ten turns.
"""

PAUSE_S: Final = 0.05
"""Seconds between two looks at the addresses whose share is used up."""


class Wait:
    """A connection that waits for a turn. `read_on` is called when its turn comes."""

    __slots__ = ("_queue", "address", "read_on")

    def __init__(self, address: str, read_on: Callable[[], None]) -> None:
        self.address = address
        self.read_on = read_on
        self._queue: dict[Wait, None] = {}

    def join(self, queue: "dict[Wait, None]") -> None:
        """Wait in this queue, and no longer in another one."""
        self.cancel()
        self._queue = queue
        queue[self] = None

    def cancel(self) -> None:
        """Wait no longer."""
        self._queue.pop(self, None)


class InputMeter:
    """Counts the work for the input of each address. All input together takes about `INPUT_TURN_S` of a turn.

    Work is processor time, because the clock of uvloop has whole milliseconds, and because other programs take nothing
    from the share of a stranger.
    """

    def __init__(
        self,
        share_max: float = INPUT_SHARE_MAX,
        crowd: Crowd | None = None,
        processor_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """`share_max` is the share of a core for one address. `crowd` counts the work with that of other kinds.
        `processor_s` is the processor time of this thread.
        """
        self._shares = Shares(share_max, INPUT_BURST_S, crowd)
        self._turns = Turns(INPUT_TURN_S)
        self._processor_s = processor_s
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, dict[Wait, None]] = {}
        """The connections that wait, by address. Each of these addresses is in `_next` or in `_resting`."""
        self._next: FairQueue[str] = FairQueue()
        """Addresses in the order of their turns."""
        self._resting: dict[str, None] = {}
        """Addresses whose share is used up."""
        self._pausing: dict[Wait, None] = {}
        """Connections that wait for a moment, whatever the share of their address."""
        self._is_turn_due = False
        self._is_alarm_set = False

    @property
    def has_time(self) -> bool:
        """Whether input that has just come may be read at once: this turn of the loop has time left, and nobody waits
        for it.
        """
        return not self._next and not self._turns.is_used_up

    def measure(self, address: str, work: Callable[[bytes], None], piece: bytes) -> None:
        """Do the work for a piece of input, and count it twice, because what reads the piece takes as long."""
        begun_s = self._processor_s()
        work(piece)
        seconds = self._processor_s() - begun_s
        self._turns.count(seconds)
        self._shares.spend(address, 2 * seconds, self._loop.time())

    def charge(self, address: str, requests: int) -> None:
        """Count so many further requests that came in one piece with another one, in this turn of the loop too."""
        self._turns.count(requests * REQUEST_S)
        self._shares.spend(address, requests * REQUEST_S, self._loop.time())

    def is_over(self, address: str) -> bool:
        """Whether the input of this address has to wait."""
        return self._shares.wait_s(address, self._loop.time()) > 0

    def wait(self, address: str, read_on: Callable[[], None]) -> Wait:
        """Call `read_on` once, in another turn of the loop, when it is the turn of this connection."""
        waiting = Wait(address, read_on)
        self._enqueue(waiting)
        return waiting

    def pause(self, address: str, read_on: Callable[[], None]) -> Wait:
        """Call `read_on` once, when it is the turn of this connection after `PAUSE_S` seconds at most."""
        waiting = Wait(address, read_on)
        waiting.join(self._pausing)
        self._set_alarm()
        return waiting

    def _enqueue(self, waiting: Wait) -> None:
        if waiting.address not in self._waiting:
            self._waiting[waiting.address] = {}
            self._next.put(waiting.address, waiting.address)
            self._set_turn()
        waiting.join(self._waiting[waiting.address])

    def _set_turn(self) -> None:
        if not self._is_turn_due and self._next:
            self._is_turn_due = True
            self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        """Let connections read on, one after the other, until the time for input of this turn of the loop is over."""
        self._is_turn_due = False
        for _ in range(len(self._waiting)):  # an address has one turn at most, also if its input takes no time
            if self._turns.is_used_up or not self._next:
                break
            address = self._next.take()
            queue = self._waiting[address]
            if queue and self.is_over(address):
                self._resting[address] = None
                self._shares.counts.delayed += 1
                self._set_alarm()
                continue
            if queue:
                waiting = next(iter(queue))
                waiting.cancel()
                waiting.read_on()
            if queue:
                self._next.put(address, address)
            else:
                del self._waiting[address]
        self._set_turn()

    def _set_alarm(self) -> None:
        if not self._is_alarm_set and (self._resting or self._pausing):
            self._is_alarm_set = True
            self._loop.call_later(PAUSE_S, self._on_time)

    def _on_time(self) -> None:
        """Give turns to the connections that paused, and to the addresses whose share has grown."""
        self._is_alarm_set = False
        for waiting in list(self._pausing):
            self._enqueue(waiting)
        for address in [each for each in self._resting if not self._waiting[each] or not self.is_over(each)]:
            del self._resting[address]
            self._next.put(address, address)
        self._set_turn()
        self._set_alarm()
