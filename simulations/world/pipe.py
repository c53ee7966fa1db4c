"""One direction of a TCP connection in memory: bytes may come late, and never wrong.

Bytes travel in order, in segments of any size, through a wire that delays and loses segments and can be cut. As in TCP
(RFC 9293), a lost segment comes late and holds up all segments after it. Segments on a wire that is cut wait until the
wire heals or the sender gives up. At most one window of bytes is on its way, so a receiver that does not read fills the
sender's buffer. Single messages inside a living connection are never dropped, because TCP does not do that: a correct
protocol would fail on it.
"""

import asyncio
import errno
import zlib
from collections import deque
from contextvars import Context
from typing import Final, Protocol

from simulations.world.wire import Wire

WINDOW_BYTES: Final = 65_536
"""Bytes that may be on their way in one direction, as in TCP without window scaling."""

GIVE_UP_S: Final = 60.0
"""After this time without an acknowledgement the sender ends the connection. Linux waits about 15 minutes, with the
same result.
"""

GOODBYE: Final = b""
"""The last segment: the sender writes no more (TCP's FIN). No segment of data is empty."""


class PipeHost(Protocol):
    """What a pipe needs of the host at each end."""

    @property
    def is_up(self) -> bool:
        """Whether the host has power."""


class PipeEnd(Protocol):
    """What a pipe needs of the connection's end on each side."""

    context: Context
    """The context in which the end's callbacks run."""

    is_gone: bool

    @property
    def host(self) -> PipeHost: ...

    @property
    def is_readable(self) -> bool: ...

    def take(self, segment: bytes) -> None:
        """A segment, or the goodbye, has arrived."""

    def end(self, error: Exception) -> None:
        """This error has ended the connection."""

    def on_flushed(self) -> None:
        """Everything that was written has been sent, the goodbye included."""

    def check_buffer(self) -> None:
        """The write buffer may have room again."""


class Pipe:
    """Carries bytes from the sender to the receiver. `waiting_bytes`: bytes that were written and are not sent yet."""

    def __init__(self, sender: PipeEnd, receiver: PipeEnd, wire: Wire, back: Wire) -> None:
        """`wire`: carries the segments. `back`: carries the acknowledgements, in the other direction."""
        self.waiting_bytes = 0
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
        """How many segments of `_flying` have arrived, or would have arrived if the wire were not cut."""
        self._unacknowledged_bytes = 0
        self._departure_s = 0.0
        self._arrival_s = 0.0
        self._giving_up: asyncio.TimerHandle | None = None
        wire.pipes[self] = None
        back.acknowledging[self] = None

    def send(self, data: bytes) -> None:
        """Send bytes, or the goodbye. After the goodbye nothing is sent any more."""
        if not self.has_said_goodbye:
            self.has_said_goodbye = not data
            self._waiting.append(data)
            self.waiting_bytes += len(data)
            self._pump()

    def deliver_soon(self, delay_s: float = 0.0) -> None:
        """The receiver or the wire has changed: after this delay, hand over what has arrived, as far as possible."""
        self._loop.call_later(delay_s, self._deliver, context=self._receiver.context)

    def on_healed_back(self) -> None:
        """The wire back is whole again: send the acknowledgements that waited for it."""
        self._unacknowledged_bytes, size = 0, self._unacknowledged_bytes
        self._acknowledge(size)

    def reset(self) -> None:
        """Lose everything that is on its way, and send the receiver a reset. If the wire is cut when the reset arrives,
        the reset is lost too.
        """
        at_s = max(self._arrival_s, self._loop.time() + self._wire.delay_s(0))
        self.drop()
        self._loop.call_at(at_s, self._tell_reset, context=self._receiver.context)

    def drop(self) -> None:
        """Lose everything that is on its way, and tell nobody."""
        self._waiting.clear()
        self._flying.clear()
        self.waiting_bytes = self._flying_bytes = self._arrived = 0
        self._stop_giving_up()
        self._wire.pipes.pop(self, None)
        self._back.acknowledging.pop(self, None)

    def _pump(self) -> None:
        """Send as much as the window has room for."""
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
        """Hand over the segments that have arrived, while the wire is whole and the receiver reads."""
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
        self._flying_bytes = max(0, self._flying_bytes - size_bytes)  # `drop` may have set it to 0 meanwhile
        self._pump()
        self._sender.check_buffer()

    def _refuse(self) -> None:
        """The receiver is gone: a sender that is still there gets a reset."""
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
