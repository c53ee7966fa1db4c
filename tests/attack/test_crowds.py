"""A client with an account of addresses: each of them causes little, and together they could fill the loop."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.attack.harness import IS_LONG, Wires, attacked, attacker, check, fill, measure
from tests.attack.pace import pause
from tests.attack.test_requests import forged, request

ADDRESSES = 576 if IS_LONG else 60
"""As many connections as strangers may have, each of another address."""

REQUESTS = 20
EVERY_S = 0.1
READ_BYTES = 65_536

KINDS = {
    "heads": request("GET", "/claims/example/stored-1"),
    "paths that lead nowhere": request("GET", "/x"),
    "listings": request("GET", "/claims?limit=50"),
    "forged claims to be stored": forged(1),
    "a tunnel (`CONNECT`)": request("CONNECT", "example.org:443"),
    "methods that no path has": request("BREW", "/claims"),
}


async def ask(wires: Wires, number: int, text: bytes) -> None:
    """Send some requests in one piece, again and again, and read the answers."""
    while True:
        with suppress(OSError):
            reader, writer = await wires.connect(attacker(number, ADDRESSES))
            reading = asyncio.create_task(read_all(reader))
            try:
                while not reading.done():
                    writer.write(text * REQUESTS)
                    await writer.drain()
                    await pause(EVERY_S)
            finally:
                reading.cancel()
                writer.transport.abort()
        await pause(EVERY_S)


async def read_all(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(READ_BYTES):
            pass


@pytest.mark.parametrize(("name", "text"), KINDS.items(), ids=KINDS.keys())
async def test_many_addresses_that_ask_for_little_each(tmp_path: Path, name: str, text: bytes) -> None:
    with attacked(tmp_path) as node:
        await fill(node, labels=100)
        cost = await measure(node, *[partial(ask, number=number, text=text) for number in range(ADDRESSES)])
        check(f"{ADDRESSES} addresses that ask for {name}", cost)
