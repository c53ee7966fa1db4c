"""Streams of events: many that read on from the first event at once, some of them without reading, and their ends."""

import time
from asyncio import TaskGroup
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.attack.harness import IS_LONG, Attack, Wires, attacked, attacker, check, fill, measure
from tests.attack.pace import pause
from tests.attack.test_crowds import read_all
from tests.attack.test_input import frame
from tests.attack.test_requests import request
from tests.history import claim, signed
from tests.node.http_api.talking import batch

STREAMS = 400 if IS_LONG else 100
"""More than a node has for strangers."""

ADDRESSES = 60
READERS = 60 if IS_LONG else 20
LARGE_BYTES = 60_000
STORED = 20_000 if IS_LONG else 200
REPLAYED_BYTES_MAX = 8_000_000
READ_BYTES = 262_144
PAUSE_S = 0.05
BATCH_RECORDS = 250
BATCH_EVERY_S = 0.25

_REPLAY = b"GET /events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n"
_TEXT, _CLOSE = 1, 8


def upgrade(target: bytes) -> bytes:
    return (
        b"GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n" % target
    )


def opening(begin: bytes) -> Attack:
    return lambda wires: wires.open(STREAMS, ADDRESSES, begin)


async def test_streams_that_begin_at_the_first_event_and_are_not_read(tmp_path: Path) -> None:
    with attacked(tmp_path) as node:
        await fill(node, labels=100, padding_bytes=LARGE_BYTES)
        cost = await measure(node, opening(upgrade(b"/stream?since=0")))
        check(f"{STREAMS} streams of large records that nobody reads", cost)


def replaying(number: int) -> Attack:
    """Read all events again and again."""

    async def attack(wires: Wires) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await wires.connect(attacker(number, ADDRESSES))
                writer.write(_REPLAY)
                read_bytes = 0
                while read_bytes < REPLAYED_BYTES_MAX and (data := await reader.read(READ_BYTES)):
                    read_bytes += len(data)
                writer.transport.abort()
            await pause(PAUSE_S)

    return attack


async def test_streams_that_begin_at_the_first_event_again_and_again(tmp_path: Path) -> None:
    with attacked(tmp_path) as node:
        await fill(node, labels=STORED)
        cost = await measure(node, *[replaying(number) for number in range(READERS)])
        check(f"{READERS} addresses that read all {STORED} events again and again", cost)


def watching(number: int, streams: int) -> Attack:
    """Follow the domain of the honest client and some that nobody has, by streams that each name others of these."""

    async def attack(wires: Wires) -> None:
        async with TaskGroup() as reading:
            for each in range(streams):
                others = "".join(f"&domain=d-{number}-{each}-{other}" for other in range(50))
                reader, writer = await wires.connect(attacker(number, ADDRESSES))
                writer.write(upgrade(f"/stream?domain=example{others}".encode()))
                reading.create_task(read_all(reader))

    return attack


def bringing(number: int) -> Attack:
    """Put batches of new records of this domain, as many as an address may."""

    async def attack(wires: Wires) -> None:
        reader, writer = await wires.connect(attacker(number, ADDRESSES))
        async with TaskGroup() as reading:
            reading.create_task(read_all(reader))
            for round_number in count():
                at, name = int(time.time()), f"brought-{number}-{round_number}"
                records = [signed(claim(f"{name}-{each}", at=at)) for each in range(BATCH_RECORDS)]
                writer.write(request("PUT", "/claims", batch(records)))
                await pause(BATCH_EVERY_S)

    return attack


async def test_streams_with_selections_of_their_own_while_batches_come(tmp_path: Path) -> None:
    """An event costs a step for each of them."""
    with attacked(tmp_path) as node:
        streams = [watching(number, STREAMS // ADDRESSES) for number in range(ADDRESSES)]
        cost = await measure(node, *streams, *[bringing(number) for number in range(4)])
        check(f"{STREAMS // ADDRESSES * ADDRESSES} streams that each name other domains, and batches", cost)


ENDS = {"a goodbye": frame(_CLOSE, b"\x03\xe8"), "a message that is not allowed": frame(_TEXT, b"x")}


@pytest.mark.skipif(not IS_LONG, reason="silent connections cost what they cost in test_connections.py")
@pytest.mark.parametrize(("name", "end"), ENDS.items(), ids=ENDS.keys())
async def test_closing_handshakes_that_never_end(tmp_path: Path, name: str, end: bytes) -> None:
    with attacked(tmp_path) as node:
        cost = await measure(node, opening(upgrade(b"/stream") + end))
        check(f"{STREAMS} streams with {name}, and then silence", cost)
