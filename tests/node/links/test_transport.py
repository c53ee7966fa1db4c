"""An accepted transport leaves the loop to others between two control frames."""

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from node.links.opening import make_socket
from node.links.transport import AcceptedTransport

PINGS = 300


async def count_turns(turns: list[None]) -> None:
    while True:
        turns.append(None)
        await asyncio.sleep(0)


async def test_others_have_a_turn_between_two_pings_that_came_together() -> None:
    """A peer may send 6,000 of them at once: the loop stood for 93 ms while it answered."""
    turns: list[None] = []
    received: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = make_socket(is_compressed=False)
        await socket.prepare(request)
        counting = asyncio.create_task(count_turns(turns))
        received.set_result((await AcceptedTransport(request, socket).receive(), len(turns)))
        counting.cancel()
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    together = [*[Frame(Opcode.PING, b"")] * PINGS, Frame(Opcode.TEXT, b"end")]

    async with TestServer(app) as server, connect(f"ws://127.0.0.1:{server.port}/", compression=None) as client:
        client.transport.write(b"".join(frame.serialize(mask=True) for frame in together))
        text, turns_until_end = await received

    assert text == "end"
    assert turns_until_end >= PINGS
