"""One direction of a TCP connection in memory: bytes that come late, and never wrong.

Bytes travel in order, in segments of any size, through a wire that delays, loses and cuts. As in TCP (RFC 9293), a lost
segment comes late and holds up all that follow; what is cut off waits until the wire is whole again, or until the
sender gives up; at most a window of bytes is under way, so a receiver that does not read fills the sender's buffer. A
model that drops single messages inside a living connection is not TCP, and the right protocol fails on it.
"""

import asyncio
import errno
import zlib
from collections import deque
from contextvars import Context
from typing import Final, Protocol

from simulations.world.wire import Wire

WINDOW_BYTES: Final = 65_536
"""Under way in one direction, as in TCP without window scaling."""

GIVE_UP_S: Final = 60.0
"""A sender whose bytes nobody acknowledges ends the connection. Linux takes a quarter of an hour, to the same end."""

GOODBYE: Final = b""
"""What no segment is: the sender writes no more (FIN)."""


class PipeHost(Protocol):
    """What a pipe asks of the host at one of its ends."""

    @property
    def is_up(self) -> bool:
        """Whether the host has power."""


class PipeEnd(Protocol):
    """What a pipe asks of the end of a connection at each of its sides."""

    context: Context
    """Whatever happens at this end happens in this context."""

    is_gone: bool

    @property
    def host(self) -> PipeHost: ...

    @property
    def is_readable(self) -> bool: ...

    def take(self, segment: bytes) -> None:
        """A segment, or the goodbye, has arrived."""

    def end(self, error: Exception) -> None:
        """The connection is over, because of this error."""

    def on_flushed(self) -> None:
        """All that was written is under way, the goodbye included."""

    def check_buffer(self) -> None:
        """There may be room in the write buffer again."""


class Pipe:
    """From a sender to the other end, through a wire; acknowledgements come back through the other wire."""

    def __init__(self, sender: PipeEnd, receiver: PipeEnd, wire: Wire, back: Wire) -> None:
        self.waiting_bytes = 0
        """Written and not yet under way."""
        self.has_said_goodbye = False
        self._sender = sender
        self._receiver = receiver
        self._wire = wire
        self._back = back
        self._loop = wire.loop
        self._waiting: deque[bytes] = deque()
        self._flying: deque[bytes] = deque()
        self._flying_bytes = 0
        self._arrived = 0
        """Segments of `_flying` that are there, or would be if the wire were whole."""
        self._unacknowledged_bytes = 0
        self._departure_s = 0.0
        self._arrival_s = 0.0
        self._giving_up: asyncio.TimerHandle | None = None
        wire.pipes[self] = None
        back.returns[self] = None

    def send(self, data: bytes) -> None:
        """Bytes, or the goodbye, after which nothing is sent any more."""
        if not self.has_said_goodbye:
            self.has_said_goodbye = not data
            self._waiting.append(data)
            self.waiting_bytes += len(data)
            self._pump()

    def deliver_soon(self, delay_s: float = 0.0) -> None:
        """Something changed at the receiver or on the wire: see whether what has arrived can be taken."""
        self._loop.call_later(delay_s, self._deliver, context=self._receiver.context)

    def on_healed_back(self) -> None:
        """Acknowledgements find their way again."""
        self._unacknowledged_bytes, size = 0, self._unacknowledged_bytes
        self._acknowledge(size)

    def reset(self) -> None:
        """Lose all that is under way, and tell the receiver so, if the wire is whole when that arrives."""
        at_s = max(self._arrival_s, self._loop.time() + self._wire.delay_s(0))
        self.drop()
        self._loop.call_at(at_s, self._tell_reset, context=self._receiver.context)

    def drop(self) -> None:
        """Lose all that is under way; nobody is told."""
        self._waiting.clear()
        self._flying.clear()
        self.waiting_bytes = self._flying_bytes = self._arrived = 0
        self._stop_giving_up()
        self._wire.pipes.pop(self, None)
        self._back.returns.pop(self, None)

    def _pump(self) -> None:
        """Send on while there is room in the window."""
        while self._waiting:
            data = self._waiting[0]
            room_bytes = min(WINDOW_BYTES - self._flying_bytes, self._wire.weather.segment_bytes)
            if data and room_bytes <= 0:
                return
            segment = data[:room_bytes]
            if len(segment) < len(data):
                self._waiting[0] = data[len(segment) :]
            else:
                self._waiting.popleft()
            self._fly(segment)
            if not segment:
                self._sender.on_flushed()

    def _fly(self, segment: bytes) -> None:
        self.waiting_bytes -= len(segment)
        self._flying.append(segment)
        self._flying_bytes += len(segment)
        now_s = self._loop.time()
        self._departure_s = max(now_s, self._departure_s) + self._wire.sending_s(len(segment))
        self._arrival_s = max(self._arrival_s, self._departure_s + self._wire.delay_s(len(segment)))
        self._loop.call_at(self._arrival_s, self._arrive, context=self._receiver.context)

    def _arrive(self) -> None:
        if self._arrived < len(self._flying):
            self._arrived += 1
            self._deliver()

    def _deliver(self) -> None:
        """Hand over what has arrived, as far as the wire is whole and the receiver reads."""
        while self._arrived:
            if self._wire.is_cut or not self._receiver.host.is_up:
                self._start_giving_up()
                return
            if self._receiver.is_gone:
                self._refuse()
                return
            if not self._receiver.is_readable:
                return
            self._arrived -= 1
            self._hand_over(self._flying.popleft())

    def _hand_over(self, segment: bytes) -> None:
        self._stop_giving_up()
        self._wire.trace.mix(self._wire.name, len(segment), zlib.crc32(segment))
        self._wire.carried_bytes += len(segment)
        self._receiver.take(segment)
        if not segment:
            self.drop()
        else:
            self._acknowledge(len(segment))

    def _acknowledge(self, size_bytes: int) -> None:
        if self._back.is_cut or not self._sender.host.is_up:
            self._unacknowledged_bytes += size_bytes
            self._start_giving_up()
            return
        self._flying_bytes = max(0, self._flying_bytes - size_bytes)  # it may have been dropped meanwhile
        self._pump()
        self._sender.check_buffer()

    def _refuse(self) -> None:
        """The receiver is no more: a sender that lives on hears it."""
        delay_s = self._back.delay_s(0)
        self.drop()
        if not self._sender.is_gone:
            error = ConnectionResetError(errno.ECONNRESET, "the other end is gone")
            self._loop.call_later(delay_s, self._sender.end, error, context=self._sender.context)

    def _tell_reset(self) -> None:
        if not self._wire.is_cut and self._receiver.host.is_up:
            self._receiver.end(ConnectionResetError(errno.ECONNRESET, "the other end reset the connection"))

    def _start_giving_up(self) -> None:
        if self._giving_up is None:
            self._giving_up = self._loop.call_later(GIVE_UP_S, self._give_up, context=self._sender.context)

    def _stop_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self) -> None:
        self._giving_up = None
        self.drop()
        self._sender.end(TimeoutError(errno.ETIMEDOUT, "nothing was acknowledged for too long"))
