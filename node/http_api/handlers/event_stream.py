"""Event streams for clients, by WebSocket (RFC 6455) and as Server-Sent Events (WHATWG HTML, section 9.2).

Both carry the same: one JSON object for each event. A refusal comes as a problem, before the protocol is switched. A
stream ends with a reason and with the last cursor that it gave: in the close frame of a WebSocket, or in an event named
`close`. While nothing happens that a consumer wants, a sign of life goes out at intervals. It carries the cursor if the
cursor has moved. A consumer that comes back with this cursor does not wait for a search through events that it never
wanted.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp import HttpVersion11, WSCloseCode, WSMessage, WSMsgType, web

from node.http_api.answers.direct_writer import DirectWriter
from node.http_api.answers.json_answer import CURSOR_HEADER, PUBLIC_HEADERS
from node.http_api.requests.caller import quota_address
from node.http_api.requests.parts import ApiParts
from node.store.contract import Selection
from node.streams import Consumer, StreamedEvent
from protocol.errors import Code, ProtocolError
from protocol.link.per_minute import PerMinute
from protocol.records.record import is_domain, is_label
from protocol.witness.walk import Certainty

EVENTS_TYPE: Final = "text/event-stream"

NAMES_MAX: Final = 100
"""Domains, and labels, that one stream may name. A client that wants more takes all events and filters them itself."""

QUERY_CHARACTERS_MAX: Final = 4_096
"""A query stays in memory as long as its stream. This is room for 100 labels of ordinary length. HTTP's own limit is
8,190 characters.
"""

MESSAGE_BYTES_MAX: Final = 1_024
"""A consumer sends only pings, pongs and a close frame, of 125 bytes each."""

CONTROL_FRAMES_PER_MINUTE_MAX: Final = 600
"""Pings and pongs of a consumer. A flood of them would never leave the loop."""

CLOSE_S_MAX: Final = 10.0
"""Seconds that a consumer may take to read the rest and to answer the close frame."""

STOP_S_MAX: Final = 1.0
"""The same when the node stops, because the node waits for it."""

SIGNS_UNANSWERED_MAX: Final = 3
"""Pings in a row without an answer, after which a WebSocket is closed."""

_CLOSE_CODES: Final = {
    Code.STOPPING: WSCloseCode.GOING_AWAY,
    Code.MALFORMED: WSCloseCode.UNSUPPORTED_DATA,
    Code.TIMEOUT: WSCloseCode.POLICY_VIOLATION,
    Code.RATE_LIMITED: WSCloseCode.TRY_AGAIN_LATER,
}

logger = logging.getLogger(__name__)

_FINAL_TEXT: Final = 0x81
_PING: Final = b"\x89\x00"

_RETRY_MS: Final = 1_000
"""Milliseconds that a browser waits before it connects again."""

_EVENTS_HEADERS: Final = {
    **PUBLIC_HEADERS,
    "Content-Type": EVENTS_TYPE,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # without it, nginx holds events back until it has a page of them
}


def text_frame(text: bytes) -> bytes:
    """A text frame of a server (RFC 6455, section 5.2). It is not masked, so all clients can get the same bytes."""
    size_bytes = len(text)
    if size_bytes < 126:
        return struct.pack("!BB", _FINAL_TEXT, size_bytes) + text
    if size_bytes < 65_536:
        return struct.pack("!BBH", _FINAL_TEXT, 126, size_bytes) + text
    return struct.pack("!BBQ", _FINAL_TEXT, 127, size_bytes) + text


def chunk(data: bytes) -> bytes:
    """A chunk of HTTP/1.1 (RFC 9112, section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event_frame(event: StreamedEvent) -> bytes:
    """The event as a WebSocket frame."""
    return text_frame(event.json)


def server_sent(event: StreamedEvent) -> bytes:
    """The event as a Server-Sent Event. Its cursor is the id that a browser comes back with."""
    return b"id: %s\ndata: %s\n\n" % (event.cursor.encode(), event.json)


def server_sent_chunk(event: StreamedEvent) -> bytes:
    """The same, as a chunk of HTTP/1.1."""
    return chunk(server_sent(event))


async def get_stream(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_S_MAX)
    if not socket.can_prepare(request):
        detail = "this is a WebSocket (RFC 6455): GET /events gives the same events without one"
        raise ProtocolError(Code.MALFORMED, detail)
    selection, cursor = _read_selection(parts, request), request.query.get("since")
    writer = DirectWriter(request, socket)
    async with parts.streams.open(
        selection, event_frame, cursor, writer.write, quota_address(parts, request)
    ) as consumer:
        socket.headers[CURSOR_HEADER] = parts.streams.cursor(consumer)
        await socket.prepare(request)
        with writer.notify(consumer.woken.set):
            await _WebSocketStream(_Carrier(parts, consumer, writer), socket).run()
    return socket


async def get_events(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    selection = _read_selection(parts, request)
    cursor = request.headers.get("Last-Event-ID") or request.query.get("since")
    is_chunked = request.version >= HttpVersion11
    writer = DirectWriter(request)
    framing = server_sent_chunk if is_chunked else server_sent
    async with parts.streams.open(selection, framing, cursor, writer.write, quota_address(parts, request)) as consumer:
        begin = parts.streams.cursor(consumer)
        response = web.StreamResponse(headers={**_EVENTS_HEADERS, CURSOR_HEADER: begin})
        if request.method == "HEAD":
            return response
        response.force_close()  # the connection carries nothing after a stream
        await response.prepare(request)
        await response.write(b"retry: %d\nid: %s\n\n" % (_RETRY_MS, begin.encode()))
        with writer.notify(consumer.woken.set):
            await _run_server_sent(_Carrier(parts, consumer, writer), is_chunked=is_chunked)
    return response


class _Carrier:
    """Carries events to one consumer, whatever the protocol."""

    def __init__(self, parts: ApiParts, consumer: Consumer, writer: DirectWriter) -> None:
        """`writer` must wake the consumer when its client reads again or has gone."""
        self.consumer = consumer
        self.writer = writer
        self._streams = parts.streams
        self._settings = parts.settings

    async def run(self, give_sign: Callable[[bytes | None], None]) -> None:
        """Give the consumer its events until it ends or its connection has gone.

        `give_sign` sends a sign of life. Its argument is the cursor, or None if the consumer has seen it already.
        """
        try:
            while self.consumer.ending is None and not self.writer.is_gone:
                await self._step(give_sign)
        except Exception:
            logger.exception("a stream broke off")
            self.writer.abort()

    async def _step(self, give_sign: Callable[[bytes | None], None]) -> None:
        """Give what there is, then wait for more events, for room, for the end, or for the next sign of life."""
        consumer, writer = self.consumer, self.writer
        consumer.woken.clear()
        consumer.is_full = writer.is_full
        await self._streams.feed(consumer)
        held_bytes = writer.held_bytes
        wait_s = self._settings.stream_stall if consumer.is_full else self._settings.stream_keepalive
        if await _wait(consumer.woken, wait_s):
            return
        if not consumer.is_full:
            give_sign(self._new_cursor())
        elif writer.held_bytes >= held_bytes:
            consumer.end(_silent())

    def _new_cursor(self) -> bytes | None:
        """The cursor; None if the consumer has seen it."""
        seq = self._streams.place(self.consumer).seq
        if seq == self.consumer.told_seq:
            return None
        self.consumer.told_seq = seq
        return self._streams.cursor(self.consumer).encode()

    def goodbye(self, error: ProtocolError) -> bytes:
        """The reason and the last cursor, in at most 123 bytes, which is what a close frame has room for."""
        return msgspec.json.encode({"code": error.code, "cursor": self._streams.cursor(self.consumer)})


class _WebSocketStream:
    """One WebSocket: sends events, and listens to the client's pongs and to its goodbye."""

    def __init__(self, carrier: _Carrier, socket: web.WebSocketResponse) -> None:
        self._carrier = carrier
        self._consumer = carrier.consumer
        self._socket = socket
        self._unanswered = 0
        self._control_frames = PerMinute("pings and pongs", CONTROL_FRAMES_PER_MINUTE_MAX)

    async def run(self) -> None:
        listening = asyncio.create_task(self._listen(), name="stream")
        try:
            await self._carrier.run(self._give_sign)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        error = self._consumer.ending
        if error is not None:
            reason = self._carrier.goodbye(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_close_s(error)):
                    await self._socket.close(code=_CLOSE_CODES[error.code], message=reason, drain=False)

    async def _listen(self) -> None:
        """Listen until the client says goodbye, or sends a message that it must not send."""
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.PING, WSMsgType.PONG):
                try:
                    await self._on_control_frame(message)
                except ProtocolError as error:
                    self._consumer.end(error)
                    return
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._consumer.end(ProtocolError(Code.MALFORMED, "a stream takes no messages"))
                return
            else:
                self._consumer.woken.set()
                return

    async def _on_control_frame(self, message: WSMessage) -> None:
        """Raises: ProtocolError: `rate_limited`."""
        self._control_frames.count(1, asyncio.get_running_loop().time())
        if message.type is WSMsgType.PONG:
            self._unanswered = 0
        else:
            await self._socket.pong(message.data)

    def _give_sign(self, cursor: bytes | None) -> None:
        if self._unanswered == SIGNS_UNANSWERED_MAX:
            self._consumer.end(_silent())
            return
        self._unanswered += 1
        progress = b"" if cursor is None else text_frame(b'{"cursor":"%s","type":"progress"}' % cursor)
        self._carrier.writer.write(progress + _PING)


async def _run_server_sent(carrier: _Carrier, *, is_chunked: bool) -> None:
    def write(text: bytes) -> None:
        carrier.writer.write(chunk(text) if is_chunked else text)

    def give_sign(cursor: bytes | None) -> None:
        write(b": alive\n\n" if cursor is None else b": alive\nid: %s\n\n" % cursor)

    await carrier.run(give_sign)
    error = carrier.consumer.ending
    if error is not None:
        write(b"event: close\ndata: %s\n\n" % carrier.goodbye(error))
        await carrier.writer.flush(_close_s(error))


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came within this many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _close_s(error: ProtocolError) -> float:
    return STOP_S_MAX if error.code is Code.STOPPING else CLOSE_S_MAX


def _silent() -> ProtocolError:
    return ProtocolError(Code.TIMEOUT, "this consumer reads nothing")


def _read_selection(parts: ApiParts, request: web.Request) -> Selection:
    """The events that the query asks for.

    Raises:
        ProtocolError: `malformed`.
    """
    if len(request.rel_url.raw_query_string) > QUERY_CHARACTERS_MAX:
        raise ProtocolError(Code.MALFORMED, f"the query of a stream has at most {QUERY_CHARACTERS_MAX} characters")
    if request.query.get("certainty", Certainty.FINAL) != Certainty.FINAL:
        detail = f"`certainty` is `{Certainty.FINAL}`, or absent: all events"
        raise ProtocolError(Code.MALFORMED, detail, parameter="certainty")
    selection = Selection(
        _read_names(request, "domain", is_domain),
        _read_names(request, "label", is_label),
        only_final="certainty" in request.query,
    )
    return parts.streams.within_shown(selection)


def _read_names(request: web.Request, parameter: str, is_name: Callable[[str], bool]) -> frozenset[str] | None:
    """The values of this parameter. None if the query does not have it."""
    names = request.query.getall(parameter, None)
    if names is None:
        return None
    if len(names) > NAMES_MAX:
        raise ProtocolError(
            Code.MALFORMED, f"`{parameter}` may be given at most {NAMES_MAX} times", parameter=parameter
        )
    if not all(map(is_name, names)):
        raise ProtocolError(Code.MALFORMED, f"`{parameter}` is the name of a {parameter}", parameter=parameter)
    return frozenset(names)
