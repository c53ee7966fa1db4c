"""Streams for clients: events as they happen, by WebSocket (RFC 6455) and as Server-Sent Events (WHATWG HTML, 9.2).

Both say the same: one JSON object an event. A refusal comes before anything is switched, as a problem. A stream ends
with a reason and the last cursor that it gave: in the close frame there, in an event named `close` here. While nothing
happens that a consumer wants, a sign of life comes every now and then, with the cursor where that has moved on: whoever
comes back with it is not made to wait for a search through all that it never wanted.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp import HttpVersion11, WSCloseCode, WSMsgType, web

from node.http_api.answers import PUBLIC_HEADERS
from node.http_api.caller import quota_address
from node.http_api.outlet import Outlet
from node.http_api.parts import ApiParts
from node.store.contract import Selection
from node.streams import Consumer, StreamedEvent
from protocol.errors import Code, ProtocolError
from protocol.records.record import is_domain, is_label

EVENTS_TYPE: Final = "text/event-stream"
CURSOR_HEADER: Final = "Dnarc-Cursor"
"""The cursor where a stream begins, for whoever is cut off before the first event."""

NAMES_MAX: Final = 100
"""Domains, and labels, that one stream may name. Who wants more takes all, and looks for itself."""

QUERY_CHARACTERS_MAX: Final = 4_096
"""A query is kept as long as its stream. Room for 100 labels of ordinary length; HTTP itself ends at 8,190."""

MESSAGE_BYTES_MAX: Final = 1_024
"""A consumer has nothing to say but pings, pongs and goodbye, of 125 bytes each."""

CLOSE_S_MAX: Final = 10.0
STOP_S_MAX: Final = 1.0
"""How long a consumer may take to read the rest and say goodbye; and where the node stops, which waits for it."""

SIGNS_UNANSWERED_MAX: Final = 3

_CLOSE_CODES: Final = {
    Code.STOPPING: WSCloseCode.GOING_AWAY,
    Code.MALFORMED: WSCloseCode.UNSUPPORTED_DATA,
    Code.TIMEOUT: WSCloseCode.POLICY_VIOLATION,
}

logger = logging.getLogger(__name__)

_FINAL_TEXT: Final = 0x81
_PING: Final = b"\x89\x00"

_RETRY_MS: Final = 1_000
"""How long a browser waits before it comes back."""

_EVENTS_HEADERS: Final = {
    **PUBLIC_HEADERS,
    "Access-Control-Expose-Headers": CURSOR_HEADER,
    "Content-Type": EVENTS_TYPE,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # or nginx would keep events back until it has a page of them
}


def text_frame(text: bytes) -> bytes:
    """A text frame of a server, which is the same for all clients (RFC 6455, section 5.2)."""
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
    """The event as a frame of its own."""
    return text_frame(event.json)


def server_sent(event: StreamedEvent) -> bytes:
    """The event, its cursor being the id that a browser comes back with."""
    return b"id: %s\ndata: %s\n\n" % (event.cursor.encode(), event.json)


def server_sent_chunk(event: StreamedEvent) -> bytes:
    return chunk(server_sent(event))


async def get_stream(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_S_MAX)
    if not socket.can_prepare(request):
        detail = "this is a WebSocket (RFC 6455): GET /events gives the same events without one"
        raise ProtocolError(Code.MALFORMED, detail)
    selection, cursor = _selection(parts, request), request.query.get("since")
    outlet = Outlet(request, socket)
    opened = parts.streams.opened(selection, event_frame, cursor, outlet.write, quota_address(request))
    async with opened as consumer:
        socket.headers[CURSOR_HEADER] = parts.streams.cursor(consumer)
        await socket.prepare(request)
        with outlet.telling(consumer.woken.set):
            await _Talk(parts, consumer, outlet, socket).run()
    return socket


class _Talk:
    """One WebSocket: events go out, and what the client says is listened to."""

    def __init__(self, parts: ApiParts, consumer: Consumer, outlet: Outlet, socket: web.WebSocketResponse) -> None:
        self._parts = parts
        self._consumer = consumer
        self._outlet = outlet
        self._socket = socket
        self._unanswered = 0

    async def run(self) -> None:
        listening = asyncio.create_task(self._listen(), name="stream")
        try:
            await _carry(self._parts, self._consumer, self._outlet, self._give_sign)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        error = self._consumer.ending
        if error is not None:
            reason = _goodbye(self._parts, self._consumer, error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_close_s(error)):
                    await self._socket.close(code=_CLOSE_CODES[error.code], message=reason, drain=False)

    async def _listen(self) -> None:
        """Until the client says goodbye, or something that it should not."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.PONG:
                self._unanswered = 0
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._consumer.end(ProtocolError(Code.MALFORMED, "a stream takes no messages"))
                return
            else:
                self._consumer.woken.set()
                return

    def _give_sign(self, cursor: bytes | None) -> None:
        if self._unanswered == SIGNS_UNANSWERED_MAX:
            self._consumer.end(_silent())
            return
        self._unanswered += 1
        progress = b"" if cursor is None else text_frame(b'{"cursor":"%s","type":"progress"}' % cursor)
        self._outlet.write(progress + _PING)


async def get_events(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    selection = _selection(parts, request)
    cursor = request.headers.get("Last-Event-ID") or request.query.get("since")
    is_chunked = request.version >= HttpVersion11
    outlet = Outlet(request)
    form = server_sent_chunk if is_chunked else server_sent
    async with parts.streams.opened(selection, form, cursor, outlet.write, quota_address(request)) as consumer:
        begin = parts.streams.cursor(consumer)
        response = web.StreamResponse(headers={**_EVENTS_HEADERS, CURSOR_HEADER: begin})
        if request.method == "HEAD":
            return response
        response.force_close()  # after a stream nobody asks for more
        await response.prepare(request)
        await response.write(b"retry: %d\nid: %s\n\n" % (_RETRY_MS, begin.encode()))

        def write(text: bytes) -> None:
            outlet.write(chunk(text) if is_chunked else text)

        def give_sign(cursor: bytes | None) -> None:
            write(b": alive\n\n" if cursor is None else b": alive\nid: %s\n\n" % cursor)

        with outlet.telling(consumer.woken.set):
            await _carry(parts, consumer, outlet, give_sign)
            if consumer.ending is not None:
                write(b"event: close\ndata: %s\n\n" % _goodbye(parts, consumer, consumer.ending))
                await outlet.emptied(_close_s(consumer.ending))
    return response


async def _carry(
    parts: ApiParts, consumer: Consumer, outlet: Outlet, give_sign: Callable[[bytes | None], None]
) -> None:
    """Bring a consumer what it wants, until it ends or its connection does. `give_sign` gets the cursor where that has
    moved on since the consumer last saw one.
    """
    try:
        while consumer.ending is None and not outlet.is_gone:
            await _step(parts, consumer, outlet, give_sign)
    except Exception:
        logger.exception("a stream broke off")
        outlet.abort()


async def _step(parts: ApiParts, consumer: Consumer, outlet: Outlet, give_sign: Callable[[bytes | None], None]) -> None:
    """Give it what there is, then wait: for room, for the end, or to give a sign of life."""
    consumer.woken.clear()
    consumer.is_full = outlet.is_full
    await parts.streams.feed(consumer)
    held_bytes = outlet.held_bytes
    wait_s = parts.settings.stream_stall if consumer.is_full else parts.settings.stream_keepalive
    if await _is_woken(consumer, wait_s):
        return
    if not consumer.is_full:
        give_sign(_news(parts, consumer))
    elif outlet.held_bytes >= held_bytes:
        consumer.end(_silent())


async def _is_woken(consumer: Consumer, wait_s: float) -> bool:
    try:
        async with asyncio.timeout(wait_s):
            await consumer.woken.wait()
    except TimeoutError:
        return False
    return True


def _news(parts: ApiParts, consumer: Consumer) -> bytes | None:
    """The cursor, where the consumer has not seen it."""
    seq = parts.streams.place(consumer).seq
    if seq == consumer.told_seq:
        return None
    consumer.told_seq = seq
    return parts.streams.cursor(consumer).encode()


def _goodbye(parts: ApiParts, consumer: Consumer, error: ProtocolError) -> bytes:
    """At most 123 bytes, as a close frame has room for."""
    return msgspec.json.encode({"code": error.code, "cursor": parts.streams.cursor(consumer)})


def _close_s(error: ProtocolError) -> float:
    return STOP_S_MAX if error.code is Code.STOPPING else CLOSE_S_MAX


def _silent() -> ProtocolError:
    return ProtocolError(Code.TIMEOUT, "this consumer reads nothing")


def _selection(parts: ApiParts, request: web.Request) -> Selection:
    """What the query asks for.

    Raises:
        ProtocolError: `malformed`.
    """
    if len(request.rel_url.raw_query_string) > QUERY_CHARACTERS_MAX:
        raise ProtocolError(Code.MALFORMED, f"the query of a stream has at most {QUERY_CHARACTERS_MAX} characters")
    domains = _names(request, "domain", is_domain)
    return parts.streams.selection(domains, _names(request, "label", is_label))


def _names(request: web.Request, parameter: str, is_name: Callable[[str], bool]) -> frozenset[str] | None:
    names = request.query.getall(parameter, None)
    if names is None:
        return None
    if len(names) > NAMES_MAX:
        raise ProtocolError(Code.MALFORMED, f"`{parameter}` stands at most {NAMES_MAX} times", parameter=parameter)
    if not all(map(is_name, names)):
        raise ProtocolError(Code.MALFORMED, f"`{parameter}` is the name of a {parameter}", parameter=parameter)
    return frozenset(names)
