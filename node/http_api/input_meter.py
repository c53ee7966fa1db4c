"""A meter of the input of strangers: how much work it causes, and who waits for the share of their address.

Connections that wait share one timer. With a timer each, 300 of them woke up 6,000 times a second, each to learn that
another one had just used the share: half a core for nothing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from node.fairness.crowd import Crowd
from node.fairness.shares import Shares
from node.fairness.turns import TURN_S, Turns

INPUT_SHARE_MAX: Final = 0.1
"""Of a core, for the input of one address."""

REQUEST_S: Final = 0.0001
"""What each further request of a piece counts. To parse 80 of them takes 0.3 ms, to answer them 16 ms. A request that
comes alone takes as much of the share by its parsing, so one address may send 1,000 a second either way.
"""

INPUT_BURST_S: Final = 1.0

PAUSE_S_MIN: Final = 0.05
"""The shortest pause, and the time between two looks at those that wait."""


class Wait:
    """A connection that waits for the share of its address. `read_on` is called when it may go on."""

    __slots__ = ("_queue", "read_on")

    def __init__(self, queue: "dict[Wait, None]", read_on: Callable[[], None]) -> None:
        self.read_on = read_on
        self._queue = queue

    def cancel(self) -> None:
        """Wait no longer."""
        self._queue.pop(self, None)


class InputMeter:
    """Counts the work for the input of each address. All input together takes about `TURN_S` of a turn of the loop.

    Time is measured by the clock of the loop, which stands still in a simulation, so nothing ever waits there.
    """

    def __init__(self, share_max: float = INPUT_SHARE_MAX, crowd: Crowd | None = None) -> None:
        """`share_max` is the share of a core for one address. `crowd` counts the work with that of other kinds."""
        self._shares = Shares(share_max, INPUT_BURST_S, crowd)
        self._turns = Turns()
        self._loop = asyncio.get_running_loop()
        self._waiting: OrderedDict[str, dict[Wait, None]] = OrderedDict()
        self._is_alarm_set = False

    @property
    def is_turn_over(self) -> bool:
        """Whether this turn of the loop has no time left for input."""
        return self._turns.is_used_up

    def measure(self, address: str, work: Callable[[bytes], None], piece: bytes) -> None:
        """Do the work for a piece of input, and count it twice, because what reads the piece takes as long."""
        begun_s = self._loop.time()
        work(piece)
        now_s = self._loop.time()
        self._turns.count(now_s - begun_s)
        self._shares.spend(address, 2 * (now_s - begun_s), now_s)

    def charge(self, address: str, requests: int) -> None:
        """Count so many further requests that came in one piece with another one, in this turn of the loop too."""
        self._turns.count(requests * REQUEST_S)
        self._shares.spend(address, requests * REQUEST_S, self._loop.time())

    def is_over(self, address: str) -> bool:
        """Whether the input of this address has to wait."""
        return self._shares.wait_s(address, self._loop.time()) > 0

    def wait(self, address: str, read_on: Callable[[], None]) -> Wait:
        """Call `read_on` once, when the address may cause work again and the connections before this one had a turn."""
        queue = self._waiting.setdefault(address, {})
        waiting = Wait(queue, read_on)
        queue[waiting] = None
        self._set_alarm(PAUSE_S_MIN)
        return waiting

    def _set_alarm(self, pause_s: float) -> None:
        if not self._is_alarm_set and self._waiting:
            self._is_alarm_set = True
            self._loop.call_later(pause_s, self._on_time)

    def _on_time(self) -> None:
        """Let connections read on, one address after the other, until the time for input of this turn is over.

        If it is over before all had a turn, go on soon: with 576 addresses and 5 ms of input every 50 ms, an address
        waited for 10 s until all others had a turn.
        """
        self._is_alarm_set = False
        pause_s = PAUSE_S_MIN
        for address in list(self._waiting):
            if self.is_turn_over:
                pause_s = TURN_S
                break
            self._let_read(address, self._waiting[address])
            if self._waiting[address]:
                self._waiting.move_to_end(address)
            else:
                del self._waiting[address]
        self._set_alarm(pause_s)

    def _let_read(self, address: str, queue: dict[Wait, None]) -> None:
        """Let connections of this address read on while its share lasts, each of them once."""
        for _ in range(len(queue)):
            if not queue or self.is_turn_over or self.is_over(address):
                return
            waiting = next(iter(queue))
            del queue[waiting]
            waiting.read_on()
