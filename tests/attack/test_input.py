"""Bytes that cost much before a request or a frame of them is whole: attacks of the kinds of rows 1, 5 and 7."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.attack.harness import Attack, Wires, attacked, attacker, check, measure
from tests.attack.links import drop_all, linked
from tests.attack.pace import pause

ADDRESSES = 4
HEADS = 300
PAUSE_S = 0.2
"""Between two connections of one attacker, if the node ends them."""

_CHUNKED = b"PUT /claims HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
_REQUESTS = b"GET /claims/example/stored-0 HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000
_LONG_HEAD = b"GET /claims HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 8_000) for n in range(120))


def again(number: int, one: Callable[[Wires, str], Awaitable[None]]) -> Attack:
    """Do this again and again, from one of the addresses."""

    async def attack(wires: Wires) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, ConnectionClosed):
                await one(wires, attacker(number, ADDRESSES))
            await pause(PAUSE_S)

    return attack


async def stream(wires: Wires, address: str, begin: bytes, rest: bytes) -> None:
    """Send `rest` for ever, as fast as the node reads."""
    _, writer = await wires.connect(address)
    writer.write(begin)
    while True:
        writer.write(rest)
        await writer.drain()
        await asyncio.sleep(0)


STREAMS = {
    "chunks of one byte": (_CHUNKED, b"1\r\n \r\n" * 10_000),
    "requests without a pause": (b"", _REQUESTS),
}


@pytest.mark.parametrize(("name", "texts"), STREAMS.items(), ids=STREAMS.keys())
async def test_input_of_many_small_parts(tmp_path: Path, name: str, texts: tuple[bytes, bytes]) -> None:
    async def one(wires: Wires, address: str) -> None:
        await stream(wires, address, *texts)

    with attacked(tmp_path) as node:
        cost = await measure(node, *[again(number, one) for number in range(2 * ADDRESSES)])
        check(f"8 connections with {name}", cost)


async def test_long_heads_that_do_not_end(tmp_path: Path) -> None:
    async def one(wires: Wires, address: str) -> None:
        reader, writer = await wires.connect(address)
        writer.write(_LONG_HEAD)
        await writer.drain()
        await reader.read()

    with attacked(tmp_path) as node:
        cost = await measure(node, *[again(number, one) for number in range(HEADS)])
        check(f"{HEADS} heads of 1 MiB that do not end", cost)


def frame(opcode: int, payload: bytes, *, is_last: bool = True) -> bytes:
    """A WebSocket frame of a client, with a mask of zeros."""
    assert len(payload) < 126
    return struct.pack(">BBI", (0x80 if is_last else 0) | opcode, 0x80 | len(payload), 0) + payload


_TEXT, _CONTINUATION, _PING = 1, 0, 9
FRAMES = {
    "messages in fragments of one byte": (
        frame(_TEXT, b'{"type":"x"', is_last=False)
        + frame(_CONTINUATION, b" ", is_last=False) * 20_000
        + frame(_CONTINUATION, b"}")
    ),
    "pings": frame(_PING, b"") * 5_000,
}


@pytest.mark.parametrize(("name", "data"), FRAMES.items(), ids=FRAMES.keys())
async def test_links_that_send_small_frames(tmp_path: Path, name: str, data: bytes) -> None:
    async def one(wires: Wires, address: str) -> None:
        async with linked(wires.node, address) as connection:
            reading = asyncio.create_task(drop_all(connection))
            try:
                while not connection.transport.is_closing():
                    connection.transport.write(data)
                    await connection.drain()
            finally:
                reading.cancel()

    with attacked(tmp_path) as node:
        cost = await measure(node, *[again(number, one) for number in range(ADDRESSES)])
        check(f"4 links that send {name}", cost)
