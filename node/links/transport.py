"""The wire: one WebSocket as a link sees it, whichever of two libraries carries it.

We accept through aiohttp, on the port that HTTP has already, and dial with `websockets`, which does nothing else. A
link needs five things of either: send a text, receive one, measure a round trip, close with a code, and be gone at once
where the other end no longer listens. What ends a connection is one error, whichever library says it.
"""

import asyncio
import contextlib
import struct
from typing import Any, Final, Protocol

from aiohttp import WSMessage, WSMsgType, web
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from protocol.errors import Code, ProtocolError
from protocol.link.messages import FRAME_BYTES_MAX

CLOSE_S_MAX: Final = 2.0
"""For the goodbye: whoever has not answered it by then is cut off."""

MESSAGE_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""A text longer than a frame may be is read up to here, and the answer says what is wrong with it. A longer one is cut
off in the middle, and its sender, which is still sending, may meet a reset before it hears why.
"""

_REASON_BYTES_MAX: Final = 123
"""RFC 6455, section 5.5: a control frame holds 125 bytes, two of which are the code."""

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


class WireEndedError(Exception):
    """The connection is over. `code` is None where the network ended it and nobody said why."""

    def __init__(self, code: Code | None, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Wire(Protocol):
    """One WebSocket. `address` is the other end's, for people; methods may run beside each other, each once."""

    address: str

    async def send(self, text: str) -> None:
        """Hand a text to the socket; returns when the socket takes more. Raises: WireEndedError."""

    async def receive(self) -> str:
        """The next text.

        Raises:
            WireEndedError: the other end closed, broke the rules of WebSocket, or is gone.
            ProtocolError: `malformed`: it is binary.
        """

    async def ping(self) -> float:
        """Seconds of one round trip. Raises: WireEndedError."""

    async def close(self, code: str, detail: str) -> None:
        """Say goodbye; returns when the other end has answered it, or `CLOSE_S_MAX` later."""

    def abort(self) -> None:
        """Be gone at once. May be called again."""


def reason_of(code: str, detail: str) -> str:
    """Code and detail as the reason of a WebSocket close, cut to what a control frame holds."""
    return f"{code}: {detail}".encode()[:_REASON_BYTES_MAX].decode(errors="ignore")


def close_code_of(code: str) -> int:
    """The WebSocket close code (RFC 6455, section 7.4, and IANA's registry) that goes with ours."""
    return _CLOSE_CODES.get(code, _POLICY_VIOLATION)


def _ended(close_code: int | None, reason: str) -> WireEndedError:
    """Why the other end closed, as far as its reason says so in our words."""
    name, _, detail = reason.partition(": ")
    if name in frozenset(Code):
        return WireEndedError(Code(name), _printable(detail))
    if close_code == _MESSAGE_TOO_BIG:
        return WireEndedError(Code.TOO_LARGE, "a frame over the limit")
    return WireEndedError(None, _printable(reason) or f"the connection ended ({close_code or 'without a word'})")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:_REASON_BYTES_MAX])


class DialledWire:
    """What `websockets` connected."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.address = _address(connection.remote_address)

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise self._ended(error) from error

    async def receive(self) -> str:
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise self._ended(error) from error
        if isinstance(message, bytes):
            raise ProtocolError(Code.MALFORMED, _BINARY)
        return message

    async def ping(self) -> float:
        try:
            answered = await self._connection.ping()
            return float(await answered)
        except ConnectionClosed as error:
            raise self._ended(error) from error

    async def close(self, code: str, detail: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._connection.close(close_code_of(code), reason_of(code, detail))
        except TimeoutError:
            pass

    def abort(self) -> None:
        self._connection.transport.abort()

    def _ended(self, error: ConnectionClosed) -> WireEndedError:
        if error.rcvd is not None and error.rcvd_then_sent:
            return _ended(error.rcvd.code, error.rcvd.reason)
        if error.sent is not None:
            return _ended(error.sent.code, error.sent.reason)
        return _ended(None, "")


class AcceptedWire:
    """What aiohttp accepted. It leaves pings to us, because it measures none."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._transport = request.transport
        self._socket = socket
        self._pings: dict[bytes, asyncio.Future[float]] = {}
        self._ping_number = 0
        self.address = _address(self._transport.get_extra_info("peername") if self._transport else None)

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except (ConnectionError, RuntimeError) as error:
            raise _ended(self._socket.close_code, "") from error

    async def receive(self) -> str:
        while True:
            message: WSMessage = await self._socket.receive()
            match message.type:
                case WSMsgType.TEXT:
                    return str(message.data)
                case WSMsgType.PING:
                    await self._pong(message.data)
                case WSMsgType.PONG:
                    self._on_pong(bytes(message.data))
                case WSMsgType.BINARY:
                    raise ProtocolError(Code.MALFORMED, _BINARY)
                case WSMsgType.CLOSE:
                    await self._answer_close(int(message.data))
                    raise self._ended(message)
                case _:
                    raise self._ended(message)

    async def ping(self) -> float:
        loop = asyncio.get_running_loop()
        self._ping_number += 1
        payload = struct.pack(">Q", self._ping_number)
        answer: asyncio.Future[float] = loop.create_future()
        self._pings[payload] = answer
        begun = loop.time()
        try:
            await self._socket.ping(payload)
            return await answer - begun
        except (ConnectionError, RuntimeError) as error:
            raise _ended(self._socket.close_code, "") from error
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

    async def _pong(self, payload: bytes) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # the next receive says that it is over
            await self._socket.pong(payload)

    async def _answer_close(self, code: int) -> None:
        """With the same code, as RFC 6455 wants it (section 5.5.1); 0 is aiohttp's word for a close without one. 1006
        must not be sent (7.4.1), but aiohttp lets it through.
        """
        answer = _PROTOCOL_ERROR if code == _ABNORMAL_CLOSURE else code or _NORMAL_CLOSURE
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.close(code=answer, drain=False)

    def _on_pong(self, payload: bytes) -> None:
        answer = self._pings.get(payload)
        if answer is not None and not answer.done():
            answer.set_result(asyncio.get_running_loop().time())

    def _ended(self, message: WSMessage) -> WireEndedError:
        if message.type is WSMsgType.CLOSE:
            return _ended(message.data, str(message.extra or ""))
        return _ended(self._socket.close_code, "")


def _address(name: Any) -> str:
    """`host:port` of a socket's other end; empty where there is none any more."""
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else ""
