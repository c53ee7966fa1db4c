"""Links through a process that follows: frames go between a peer and the writer as they come.

The peer proves its key to the writer, and the writer to the peer. So this process needs no trust, and decides nothing.
Each side reads only when the other side takes, so that little is held here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from node.fleet.errands import no_writer
from node.fleet.passport import Passport
from node.fleet.relay import Relay
from protocol.errors import Code, ProtocolError
from protocol.link.messages import FRAME_BYTES_MAX

CLOSE_S_MAX: Final = 2.0

_MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX + 32_768
"""More than the writer reads, so that the writer refuses a longer frame and not this process."""

_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def carry_link(
    relay: Relay, request: web.Request, headers: "CIMultiDict[str]", caller: Passport
) -> web.StreamResponse:
    """Open a link to the writer, and carry its frames until one side ends it.

    Raises:
        ProtocolError: `overloaded`: there is no writer, or no place; `rate_limited`: strangers open too many links; or
            what the writer refuses the link for.
    """
    socket = web.WebSocketResponse(
        autoping=False,
        compress=False,
        max_msg_size=_MESSAGE_BYTES_MAX,
        timeout=CLOSE_S_MAX,
        protocols=_offered(request),
    )
    if not socket.can_prepare(request):
        raise ProtocolError(Code.MALFORMED, "not the opening handshake of a WebSocket, version 13 (RFC 6455)")

    async def open_and_carry() -> None:
        async with _opened(relay, request, headers, caller) as upstream:
            await socket.prepare(request)
            await _carry(socket, upstream)

    try:
        await relay.errands.carry(open_and_carry(), caller.address)  # it has its place before the writer hears of it
    except ProtocolError:
        if not socket.prepared:
            raise
        await _close(socket, WSCloseCode.GOING_AWAY, b"")
    return socket


@asynccontextmanager
async def _opened(
    relay: Relay, request: web.Request, headers: "CIMultiDict[str]", caller: Passport
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Raises: ProtocolError: `overloaded`; or what the writer refuses the link for."""
    url = URL(f"{relay.errands.writer()}{request.raw_path}", encoded=True)
    sealed = relay.headers_of("GET", request.raw_path, headers, caller)
    try:
        upstream = await relay.session().ws_connect(
            url,
            headers=sealed,
            protocols=_offered(request),
            autoping=False,
            autoclose=False,
            max_msg_size=_MESSAGE_BYTES_MAX,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S_MAX),
        )
    except aiohttp.WSServerHandshakeError as error:
        raise _refusal(error) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        relay.errands.results["failed"] += 1
        raise no_writer() from error
    relay.errands.results["linked"] += 1
    try:
        yield upstream
    finally:
        await upstream.close()


def _refusal(error: aiohttp.WSServerHandshakeError) -> ProtocolError:
    """Aiohttp drops the body of a refusal. So the peer hears its kind by the status."""
    codes = {400: Code.MALFORMED, 429: Code.RATE_LIMITED}
    return ProtocolError(codes.get(error.status, Code.OVERLOADED), "the writer refuses the link", retry_after=5)


def _offered(request: web.BaseRequest) -> tuple[str, ...]:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return tuple(name for each in offered.split(",") if (name := each.strip()))


async def _carry(one: _Socket, other: _Socket) -> None:
    """Carry both ways until one way has ended."""
    ways = [asyncio.ensure_future(_carry_one_way(one, other)), asyncio.ensure_future(_carry_one_way(other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _carry_one_way(source: _Socket, target: _Socket) -> None:
    """Carry until the source ends. Its reason goes on to the target."""
    try:
        while await _pass_on(await source.receive(), target):
            pass
    except (ConnectionError, RuntimeError, aiohttp.ClientError):  # one of the two has gone
        return


async def _pass_on(message: WSMessage, target: _Socket) -> bool:
    """Send this message. False: it was the last one."""
    match message.type:
        case WSMsgType.TEXT:
            await target.send_str(message.data)
        case WSMsgType.BINARY:
            await target.send_bytes(message.data)
        case WSMsgType.PING:
            await target.ping(message.data)
        case WSMsgType.PONG:
            await target.pong(message.data)
        case WSMsgType.CLOSE:
            await _close(target, message.data, (message.extra or "").encode())
            return False
        case _:
            await _close(target, WSCloseCode.GOING_AWAY, b"")
            return False
    return True


async def _close(socket: _Socket, code: int, reason: bytes) -> None:
    await socket.close(code=code or WSCloseCode.OK, message=reason)
