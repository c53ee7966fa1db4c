"""The two ends of a TCP connection in memory, each an asyncio transport on its host.

`close` sends what is written and then says goodbye; `abort` and a reset lose what is under way. An end whose host lost
its power says nothing at all: the other notices when it writes, or never (a half-open connection). Each protocol is
called in the context in which it was attached, so that the loop knows at any time on which host it is.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Any, Final, Protocol

from simulations.world.pipe import GOODBYE, Pipe

HIGH_BYTES: Final = 65_536
LOW_BYTES: Final = 16_384
"""Of the write buffer, as asyncio has them."""


class EndHost(Protocol):
    """What an end asks of its host. `ends` are the host's open connections."""

    is_up: bool
    loop: asyncio.AbstractEventLoop
    ends: "dict[End, None]"


class End(asyncio.Transport):
    """One end. `is_gone`: closed for good, so whatever still comes is answered by a reset."""

    other: "End"
    outgoing: Pipe
    incoming: Pipe

    def __init__(self, host: EndHost, address: tuple[str, int], other: tuple[str, int]) -> None:
        super().__init__({"sockname": address, "peername": other})
        self.host = host
        self.context: Context = copy_context()
        self.is_gone = False
        self._protocol: asyncio.Protocol | None = None
        self._is_closing = False
        self._is_paused = False
        self._is_writing_paused = False
        self._limits = (LOW_BYTES, HIGH_BYTES)

    def attach(self, protocol: asyncio.BaseProtocol) -> "End":
        """Give the end its protocol; what has come already is delivered afterwards."""
        self.context = copy_context()
        self.set_protocol(protocol)
        protocol.connection_made(self)
        self.incoming.deliver_soon()
        return self

    @property
    def is_readable(self) -> bool:
        return self._protocol is not None and not self._is_paused

    def is_closing(self) -> bool:
        return self._is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None, "the end is attached"
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol), "a protocol with buffers of its own is not needed here"
        self._protocol = protocol

    def is_reading(self) -> bool:
        return not self._is_paused and not self._is_closing

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.incoming.deliver_soon()

    def write(self, data: Any) -> None:
        if data and not self._is_closing:
            self.outgoing.send(bytes(data))
            self.check_buffer()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._is_closing:
            self.outgoing.send(GOODBYE)

    def get_write_buffer_size(self) -> int:
        return self.outgoing.waiting_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        high = (HIGH_BYTES if low is None else 4 * low) if high is None else high
        self._limits = (high // 4 if low is None else low, high)
        self.check_buffer()

    def check_buffer(self) -> None:
        """Tell the protocol when its buffer is full, and when there is room again."""
        low, high = self._limits
        size, protocol = self.outgoing.waiting_bytes, self._protocol
        if self.is_gone or protocol is None:
            return
        if size > high and not self._is_writing_paused:
            self._is_writing_paused = True
            protocol.pause_writing()  # who writes is on this host already
        elif size <= low and self._is_writing_paused:
            self._is_writing_paused = False
            self._call_soon(protocol.resume_writing)

    def close(self) -> None:
        """Send what is written, then say goodbye."""
        if self._is_closing:
            return
        self._is_closing = True
        if self.outgoing.has_said_goodbye:
            self.on_flushed()
        else:
            self.outgoing.send(GOODBYE)

    def on_flushed(self) -> None:
        """All is under way, the goodbye too."""
        if self._is_closing:
            self._finish(None)

    def abort(self) -> None:
        """End it now. The other end hears a reset, unless the wire is cut."""
        if not self.is_gone:
            self.outgoing.reset()
            self._finish(None)

    def end(self, error: Exception) -> None:
        """It was ended from outside; only its own protocol is told."""
        if not self.is_gone:
            self.outgoing.drop()
            self._finish(error)

    def vanish(self) -> None:
        """The host lost its power, so nobody is told."""
        self.is_gone = self._is_closing = True
        self.outgoing.drop()

    def take(self, segment: bytes) -> None:
        """Bytes, or the goodbye, from the other end. As in asyncio, a protocol that raises loses its connection."""
        protocol = self._protocol
        assert protocol is not None, "the end is readable"
        try:
            if segment:
                protocol.data_received(segment)
            elif not protocol.eof_received():
                self.close()
        except Exception as error:
            fault = {"message": "a protocol raised", "exception": error, "transport": self}
            self.host.loop.call_exception_handler(fault)
            self.abort()

    def _finish(self, error: Exception | None) -> None:
        if self.is_gone:
            return
        self.is_gone = self._is_closing = True
        self.host.ends.pop(self, None)
        if self._protocol is not None:
            self._call_soon(self._protocol.connection_lost, error)

    def _call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self.host.loop.call_soon(callback, *args, context=self.context)
