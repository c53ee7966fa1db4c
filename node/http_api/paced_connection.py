"""A connection whose input has a price: what a stranger sends is read in pieces, within its address's share of a core.

Bytes can cost much before any request or frame of them is whole: chunks and fragments of one byte, heads that do not
end. aiohttp parses all bytes of a read at once, and those behind a full queue again and again, so that a read of
256 KiB held the loop for a second. Here a stranger's bytes reach the parser in pieces of `PIECE_BYTES_MAX`, the time of
each is counted, and meanwhile the socket is not read.

Requests that wait behind one under way, and heads that are not whole, are in no budget of memory. So a connection may
have only `QUEUED_BYTES_MAX` of them.
"""

from typing import Any, Final

from node.http_api.fast_connection import FastConnection
from node.http_api.input_meter import InputMeter, Wait

PIECE_BYTES_MAX: Final = 4_096
"""680 chunks or 580 fragments of one byte: 2 ms and more, with what reads them."""

QUEUED_BYTES_MAX: Final = 65_536
"""One head with 128 headers of 8 KiB would be 1 MiB, and aiohttp queues 32 requests."""


class PacedConnection(FastConnection):
    """aiohttp's connection. `meter` and `payer` are set before the first bytes come."""

    meter: InputMeter
    payer: str | None = None
    """The address that pays for the input; None: nobody does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = b""
        """Bytes that have come, of which those from `_read_to` on wait for their turn."""
        self._read_to = 0
        self._queued_bytes = 0
        """Bytes of requests that wait behind the one under way."""
        self._head_bytes = 0
        """Bytes of a head that is not whole."""
        self._requests_before = 0
        self._next_turn: Wait | None = None
        self._has_resumed = False
        self._is_held = False
        self.is_refused = False
        """Whether nothing more that comes matters."""

    def data_received(self, data: bytes) -> None:
        """Bytes have come. aiohttp itself calls this with none, to go on with what its parser holds."""
        if self.is_refused:
            return
        if self.payer is None:
            super().data_received(data)
            self.on_input()
        elif not data:
            self.meter.measure(self.payer, super().data_received, data)
            self.on_input()
        else:
            self._unread = self._unread[self._read_to :] + data if self._has_unread else data
            self._read_to = 0
            if self._next_turn is not None:
                return
            if self.meter.has_time:
                self._read_on()
            else:
                self._go_on(is_over=False)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The reader of a body or of frames takes more, so the parser may go on: in another turn of the loop.

        aiohttp lets the parser go on at once, so a reader of small chunks would never reach the end of the buffered
        bytes.
        """
        if self.payer is None or not resume_parser:
            super().resume_reading(resume_parser)
        elif not self._has_resumed:
            self._has_resumed = True
            if self._next_turn is None:
                self._go_on(is_over=False)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._unread, self._read_to = b"", 0
        if self._next_turn is not None:
            self._next_turn.cancel()
        super().connection_lost(exc)

    def on_input(self) -> None:
        """The parser has had some input."""
        self.begin_request()

    def on_long_head(self) -> None:
        """The head of a request does not end."""
        self.force_close()

    def _read_on(self) -> None:
        """Give the parser pieces for a moment, as long as it takes any, the address may cause work and nobody waits."""
        self._next_turn = None
        assert self.payer is not None
        is_over = self.meter.is_over(self.payer)
        while not is_over and not self.is_refused and self._read_piece(self.payer):
            is_over = self._has_queued_much() or self.meter.is_over(self.payer)
            if not self.meter.has_time:
                break
        self._go_on(is_over=is_over)

    def _has_queued_much(self) -> bool:
        return bool(self._messages) and self._queued_bytes > QUEUED_BYTES_MAX

    def _read_piece(self, payer: str) -> bool:
        """Give the parser a piece. Returns whether another one may follow in this turn of the loop.

        None may follow if there was none, if the parser takes none, or if the fast path has begun a request: its
        work belongs to this turn too.
        """
        if self._has_resumed:
            self._has_resumed = False
            super().resume_reading()
            return True
        if not self._has_unread or self._is_pressed():
            return False
        piece = self._unread[self._read_to : self._read_to + PIECE_BYTES_MAX]
        self._read_to += len(piece)
        if self._read_to == len(self._unread):
            self._unread, self._read_to = b"", 0
        was_waiting, fast_before = self._is_waiting(), self.fast_requests
        if not self._messages:
            self._queued_bytes = 0
        self.meter.measure(payer, super().data_received, piece)
        self._count_queued(payer, len(piece))
        if was_waiting and len(self._messages) == 1:
            self._queued_bytes = 0  # the request is under way from now on, so its bytes wait behind nothing
        self.on_input()
        return self.fast_requests == fast_before

    @property
    def _has_unread(self) -> bool:
        return self._read_to < len(self._unread)

    def _go_on(self, *, is_over: bool) -> None:
        """Read on, if there is anything to read: in another turn of the loop. `is_over`: read nothing before."""
        assert self.payer is not None, "the others read all that comes at once"
        if self.is_refused:
            self._unread, self._read_to = b"", 0
        elif is_over or self._has_resumed or (self._has_unread and not self._is_pressed()):
            wait = self.meter.pause if is_over and self._has_queued_much() else self.meter.wait
            self._next_turn = wait(self.payer, self._read_on)
        self._hold(is_held=self._next_turn is not None or self._has_unread)

    def _hold(self, *, is_held: bool) -> None:
        """Do not read the socket for now, or read it again."""
        if is_held == self._is_held:
            return
        self._is_held = is_held
        if is_held:
            self._pause_transport_reading()
        elif not self._is_pressed():
            super()._resume_transport_reading()

    def _is_pressed(self) -> bool:
        """Whether aiohttp takes no more input for now."""
        return self._reading_paused or self._buffer_paused

    def _resume_transport_reading(self) -> None:
        """Read on: aiohttp takes more input."""
        if not self._is_held:
            super()._resume_transport_reading()
        elif self._next_turn is None:
            self._go_on(is_over=False)

    def _count_queued(self, payer: str, piece_bytes: int) -> None:
        """Count the requests of a piece, and its bytes unless they belong to the body of the request under way."""
        begun = self._request_count - self._requests_before
        self._requests_before = self._request_count
        further = begun - 1 if self._recalled is None else begun  # the parsing of one request was measured
        if further > 0:
            self.meter.charge(payer, further)
        if begun:
            self._queued_bytes, self._head_bytes = self._queued_bytes + self._head_bytes + piece_bytes, 0
        elif self._messages:
            self._queued_bytes += piece_bytes
        elif self._is_waiting() or self._is_whole():
            self._head_bytes += piece_bytes
            if self._head_bytes > QUEUED_BYTES_MAX:
                self.on_long_head()

    def _is_whole(self) -> bool:
        """Whether the request under way is here with its whole body. A WebSocket has no end."""
        is_with_aiohttp = not self._upgraded and self._current_request is not None and not self._has_body_to_come()
        return is_with_aiohttp or self.is_answering

    def _has_body_to_come(self) -> bool:
        """Whether the body of the request under way is not whole yet."""
        return self._current_request is not None and not self._current_request.content.is_eof()
