"""Transport: one WebSocket as a link sees it, carried by one of two libraries.

The node accepts links through aiohttp, on the port that HTTP already has, and dials them with `websockets`, which does
nothing else. A link needs five things from either: send a text, receive a text, measure a round trip, close with a
code, and drop the connection at once if the peer no longer listens. Both libraries report the end of a connection in
their own ways; here it is always a `TransportEndedError`.
"""

import asyncio
import contextlib
import struct
from typing import Any, Final, Protocol

from aiohttp import WSMessage, WSMsgType, web
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from node.console.visible_text import clipped
from protocol.errors import Code, ProtocolError
from protocol.link.messages import FRAME_BYTES_MAX
from protocol.link.per_minute import PerMinute

CLOSE_S_MAX: Final = 2.0
"""Seconds for the closing handshake. A peer that has not answered by then is cut off."""

MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX + 16_384
"""Bytes of the longest message that is read. A text a little above the limit of a frame is read too, so that the answer
can say what is wrong with it. A text above this limit is cut off in the middle, and its sender, which still sends, may
get a reset before it learns why.

No more is read, because a message that is not whole is in no budget of memory: 192 links of strangers that each left
one of 2 MiB unfinished made the node grow by 341 MiB.
"""

CONTROL_FRAMES_PER_MINUTE_MAX: Final = 6_000
"""Pings and pongs of a peer. Its own pings need 3 a minute."""

_REASON_BYTES_MAX: Final = 123
"""RFC 6455, section 5.5: a control frame holds 125 bytes, and two of them are the code."""

_CLOSE_CODES: Final[dict[str, int]] = {
    Code.TOO_LARGE: 1009,
    Code.STOPPING: 1001,
    Code.RESTART: 1012,
    Code.RATE_LIMITED: 1013,
    Code.OVERLOADED: 1013,
    Code.STORAGE_FULL: 1013,
}
_BINARY: Final = "a binary frame: links speak text"

_POLICY_VIOLATION: Final = 1008
_MESSAGE_TOO_BIG: Final = 1009
_NORMAL_CLOSURE: Final = 1000
_PROTOCOL_ERROR: Final = 1002
_ABNORMAL_CLOSURE: Final = 1006


class TransportEndedError(Exception):
    """The connection is over."""

    def __init__(self, code: Code | None, detail: str) -> None:
        """`code` is None if the network ended the connection, or if the peer gave no reason that we know."""
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Transport(Protocol):
    """One WebSocket. `address` is the peer's `host:port`, for logs.

    Different methods may run at the same time, but no method twice.
    """

    address: str

    async def send(self, text: str) -> None:
        """Hand a text to the socket, and return when the socket takes more.

        Raises:
            TransportEndedError: the connection is over.
        """

    async def receive(self) -> str:
        """Return the next text.

        Raises:
            TransportEndedError: the peer closed, broke the rules of WebSocket, or is gone.
            ProtocolError: `malformed`: the message is binary; `rate_limited`: too many pings or pongs.
        """

    async def ping(self) -> float:
        """Return the seconds of one round trip.

        Raises:
            TransportEndedError: the connection is over.
        """

    async def close(self, code: str, detail: str) -> None:
        """Close, and return when the peer has answered, or `CLOSE_S_MAX` later."""

    def abort(self) -> None:
        """Drop the connection at once. A second call does nothing."""


def reason_of(code: str, detail: str) -> str:
    """Code and detail as the reason of a WebSocket close, cut to the size of a control frame."""
    return f"{code}: {detail}".encode()[:_REASON_BYTES_MAX].decode(errors="ignore")


def close_code_of(code: str) -> int:
    """The WebSocket close code (RFC 6455, section 7.4, and IANA's registry) for one of our codes."""
    return _CLOSE_CODES.get(code, _POLICY_VIOLATION)


def _error_of_close(close_code: int | None, reason: str) -> TransportEndedError:
    """The error for a close by the peer. Its `code` is the code that the reason begins with, if it is one of ours."""
    name, _, detail = reason.partition(": ")
    if name in frozenset(Code):
        return TransportEndedError(Code(name), clipped(detail, _REASON_BYTES_MAX))
    if close_code == _MESSAGE_TOO_BIG:
        return TransportEndedError(Code.TOO_LARGE, "a frame over the limit")
    detail = clipped(reason, _REASON_BYTES_MAX) or f"the connection ended ({close_code or 'without a word'})"
    return TransportEndedError(None, detail)


class DialledTransport:
    """A connection that this node dialled with `websockets`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.address = _address(connection.remote_address)

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise self._error_of(error) from error

    async def receive(self) -> str:
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise self._error_of(error) from error
        if isinstance(message, bytes):
            raise ProtocolError(Code.MALFORMED, _BINARY)
        return message

    async def ping(self) -> float:
        try:
            answered = await self._connection.ping()
            return float(await answered)
        except ConnectionClosed as error:
            raise self._error_of(error) from error

    async def close(self, code: str, detail: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._connection.close(close_code_of(code), reason_of(code, detail))
        except TimeoutError:
            pass

    def abort(self) -> None:
        self._connection.transport.abort()

    def _error_of(self, error: ConnectionClosed) -> TransportEndedError:
        if error.rcvd is not None and error.rcvd_then_sent:
            return _error_of_close(error.rcvd.code, error.rcvd.reason)
        if error.sent is not None:
            return _error_of_close(error.sent.code, error.sent.reason)
        return _error_of_close(None, "")


class AcceptedTransport:
    """A connection that this node accepted through aiohttp, which leaves the measurement of pings to us."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._transport = request.transport
        self._socket = socket
        self._pings: dict[bytes, asyncio.Future[float]] = {}
        self._ping_number = 0
        self._control_frames = PerMinute("pings and pongs", CONTROL_FRAMES_PER_MINUTE_MAX)
        self.address = _address(self._transport.get_extra_info("peername") if self._transport else None)

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except (ConnectionError, RuntimeError) as error:
            raise _error_of_close(self._socket.close_code, "") from error

    async def receive(self) -> str:
        while True:
            message: WSMessage = await self._socket.receive()
            match message.type:
                case WSMsgType.TEXT:
                    return str(message.data)
                case WSMsgType.PING:
                    await self._count_control_frame()
                    await self._pong(message.data)
                case WSMsgType.PONG:
                    self._on_pong(bytes(message.data))
                    await self._count_control_frame()
                case WSMsgType.BINARY:
                    raise ProtocolError(Code.MALFORMED, _BINARY)
                case WSMsgType.CLOSE:
                    await self._answer_close(int(message.data))
                    raise self._error_of(message)
                case _:
                    raise self._error_of(message)

    async def ping(self) -> float:
        loop = asyncio.get_running_loop()
        self._ping_number += 1
        payload = struct.pack(">Q", self._ping_number)
        answer: asyncio.Future[float] = loop.create_future()
        self._pings[payload] = answer
        begun_s = loop.time()
        try:
            await self._socket.ping(payload)
            return await answer - begun_s
        except (ConnectionError, RuntimeError) as error:
            raise _error_of_close(self._socket.close_code, "") from error
        finally:
            self._pings.pop(payload, None)

    async def close(self, code: str, detail: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._socket.close(code=close_code_of(code), message=reason_of(code, detail).encode())
        except (TimeoutError, ConnectionError):
            pass

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _count_control_frame(self) -> None:
        """Give others a turn, because thousands of frames may wait, and none of them waits for the peer.

        Raises:
            ProtocolError: `rate_limited`: a peer that floods with them would keep the loop busy.
        """
        self._control_frames.count(1, asyncio.get_running_loop().time())
        await asyncio.sleep(0)

    async def _pong(self, payload: bytes) -> None:
        # If the connection is over, the next receive says so.
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.pong(payload)

    async def _answer_close(self, code: int) -> None:
        """Answer with the same code, as RFC 6455 says (section 5.5.1).

        aiohttp shows a close without a code as 0. It also lets a received 1006 through, which must not be sent (7.4.1).
        """
        answer = _PROTOCOL_ERROR if code == _ABNORMAL_CLOSURE else code or _NORMAL_CLOSURE
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.close(code=answer, drain=False)

    def _on_pong(self, payload: bytes) -> None:
        answer = self._pings.get(payload)
        if answer is not None and not answer.done():
            answer.set_result(asyncio.get_running_loop().time())

    def _error_of(self, message: WSMessage) -> TransportEndedError:
        if message.type is WSMsgType.CLOSE:
            return _error_of_close(message.data, str(message.extra or ""))
        return _error_of_close(self._socket.close_code, "")


def _address(name: Any) -> str:
    """`host:port` of the other end of a socket; empty if the socket is closed already."""
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else ""
