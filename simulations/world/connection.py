"""The two ends of a TCP connection in memory, each an asyncio transport on its host.

`close` sends the written bytes, then the goodbye (TCP's FIN). `abort` and a reset lose the bytes that are on their way.
An end whose host loses its power sends nothing. The other end notices this when it writes, or never: the connection is
half open. Each asyncio protocol is called in the context in which it was attached, so that the loop knows at any time
on which host the code runs.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Any, Final, Protocol

from simulations.world.pipe import GOODBYE, Pipe

HIGH_BYTES: Final = 65_536
LOW_BYTES: Final = 16_384
"""The limits of a write buffer, with asyncio's values: above the high one the writer is paused, and it goes on when the
buffer has shrunk to the low one.
"""


class EndHost(Protocol):
    """What an end needs of its host. `ends`: the host's ends of open connections."""

    is_up: bool
    loop: asyncio.AbstractEventLoop
    ends: "dict[End, None]"


class End(asyncio.Transport):
    """One end of a connection. `is_gone`: the end is closed for good, and answers every further segment
    with a reset.
    """

    other: "End"
    outgoing: Pipe
    incoming: Pipe

    def __init__(self, host: EndHost, address: tuple[str, int], other: tuple[str, int]) -> None:
        """`address`: IP address and port of this end. `other`: those of the other end."""
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
        """Give the end its protocol. Segments that arrived earlier are delivered after that."""
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
        assert isinstance(protocol, asyncio.Protocol), "no library here uses a BufferedProtocol"
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
        """Tell the protocol if its write buffer has become full, or has room again."""
        low, high = self._limits
        size, protocol = self.outgoing.waiting_bytes, self._protocol
        if self.is_gone or protocol is None:
            return
        if size > high and not self._is_writing_paused:
            self._is_writing_paused = True
            protocol.pause_writing()  # called at once, because the writer runs in this end's context
        elif size <= low and self._is_writing_paused:
            self._is_writing_paused = False
            self._call_soon(protocol.resume_writing)

    def close(self) -> None:
        """Send the written bytes, then the goodbye."""
        if self._is_closing:
            return
        self._is_closing = True
        if self.outgoing.has_said_goodbye:
            self.on_flushed()
        else:
            self.outgoing.send(GOODBYE)

    def on_flushed(self) -> None:
        """The pipe has sent everything, the goodbye included."""
        if self._is_closing:
            self._finish(None)

    def abort(self) -> None:
        """End the connection now. The other end gets a reset, unless the wire is cut."""
        if not self.is_gone:
            self.outgoing.reset()
            self._finish(None)

    def end(self, error: Exception) -> None:
        """End this side because of an error from outside. Only this end's own protocol is told."""
        if not self.is_gone:
            self.outgoing.drop()
            self._finish(error)

    def vanish(self) -> None:
        """The host has lost its power: end this side without telling anybody."""
        self.is_gone = self._is_closing = True
        self.outgoing.drop()

    def take(self, segment: bytes) -> None:
        """Hand bytes, or the goodbye, to the protocol. As in asyncio, a protocol that raises loses its connection."""
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
