"""Requests that cost more than they seem to: refusals that nobody counts, long paths, bodies of many small parts."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.attack.harness import IS_LONG, Attack, Wires, attacked, attacker, check, fill, measure
from tests.attack.pace import pause
from tests.history import claim, signed

CONNECTIONS = 8
ADDRESSES = 4
PAUSE_S = 0.1
"""Between two connections of one attacker, if the node ends them."""

STORED = 20_000 if IS_LONG else 100
READ_BYTES = 65_536


def request(method: str, target: str, body: bytes = b"", headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if method in ("PUT", "POST") else b""
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n".encode() + headers + length + b"\r\n" + body


def forged(count: int = 50) -> bytes:
    """Claims whose signatures somebody made up."""
    at = int(time.time())
    made_up = [signed(claim(f"forged-{number}", at=at)) for number in range(count)]
    return b"".join(request("PUT", f"/claims/{'0' * 64}{one.signature[64:]}", one.record.canonical) for one in made_up)


def tiny_entries() -> bytes:
    """A batch of as many entries as fit into 8 MiB."""
    return request("PUT", "/claims", b"{%s}" % b",".join(b'"%d":0' % number for number in range(700_000)))


_MANY_TAGS = b"".join(b"If-None-Match: %s\r\n" % b",".join([b'"a"'] * 1_300) for _ in range(6))


def conditional() -> bytes:
    """A claim on the condition that the head is none of 8,000 others."""
    one = signed(claim("conditional", at=int(time.time())))
    return request("PUT", f"/claims/{one.signature}", one.record.canonical, _MANY_TAGS)


FLOODS: dict[str, Callable[[], bytes]] = {
    "paths of 4,000 slashes": lambda: request("GET", "/" + "a/" * 4_000) * 2,
    "paths that lead nowhere": lambda: request("GET", "/x") * 200,
    "requests without the token": lambda: request("DELETE", f"/records/{'0' * 64}") * 200,
    "questions for the health": lambda: request("GET", "/health") * 200,
    "queries of 1,000 parameters": lambda: request("GET", "/claims?" + "&".join(f"a{n}=1" for n in range(1_000))) * 5,
    "conditions of 8,000 tags": lambda: request("GET", "/claims/example/stored-1", headers=_MANY_TAGS),
    "claims on conditions of 8,000 tags": conditional,
    "searches that find nothing": lambda: request("GET", f"/claims/example?signedby={'0' * 64}") * 5,
    "forged signatures": forged,
    "batches of 700,000 entries": tiny_entries,
}
SHORT: dict[str, Callable[[], bytes]] = {
    "all kinds of requests": lambda: b"".join(make() for name, make in FLOODS.items() if "batches" not in name)
}


def flooding(number: int, data: bytes) -> Attack:
    """Send this again and again over one connection after the other, and read all answers."""

    async def attack(wires: Wires) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await wires.connect(attacker(number, ADDRESSES))
                writing = asyncio.create_task(write_on(writer, data))
                try:
                    while await reader.read(READ_BYTES):
                        pass
                finally:
                    writing.cancel()
                    writer.transport.abort()
            await pause(PAUSE_S)

    return attack


async def write_on(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):
        while True:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)


@pytest.mark.parametrize(("name", "make"), (FLOODS if IS_LONG else SHORT).items(), ids=(FLOODS if IS_LONG else SHORT))
async def test_floods_of_requests(tmp_path: Path, name: str, make: Callable[[], bytes]) -> None:
    data = make()
    with attacked(tmp_path) as node:
        await fill(node, labels=STORED)
        cost = await measure(node, *[flooding(number, data) for number in range(CONNECTIONS)])
        check(f"{CONNECTIONS} connections with {name}", cost)
