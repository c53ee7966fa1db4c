"""A process of a fleet that follows, under attack: what it answers itself, and what it has to pass on to the writer."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from simulations.processes.process import LocalNode, running
from tests.attack.harness import (
    GROWTH_BYTES_MAX,
    IS_LONG,
    STRANGERS,
    Attack,
    Wires,
    attacked,
    attacker,
    check,
    fill,
    measure,
    memory_bytes,
)
from tests.attack.links import link_again, question
from tests.attack.test_crowds import ADDRESSES as CROWD
from tests.attack.test_crowds import KINDS as ASKED
from tests.attack.test_crowds import ask
from tests.attack.test_requests import FLOODS, flooding, request
from tests.attack.test_streams import upgrade

ADDRESSES = 20
LINKS = 10
"""Links that each address tries to open. All strangers have 72 through a process that follows."""

LARGE_BYTES = 60_000
LARGE_RECORDS = 400 if IS_LONG else 50
OPENED_AT_ONCE = 8
READ_BYTES = 65_536
UPLOAD_BYTES = 7_900_000 if IS_LONG else 500_000

_LINK = upgrade(b"/gossip").replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: dnarc.v1\r\n\r\n")


async def leave_unread(wires: Wires, number: int) -> None:
    """Open links that ask for everything, and read nothing."""
    async with AsyncExitStack() as links:
        for each in range(LINKS):
            link = await link_again(links, wires.node, attacker(number, ADDRESSES), each)
            link.transport.pause_reading()
            await link.send('{"type":"since","domain":"example","timestamp":0}')
            for _ in range(50):
                await link.send(question("example", bytes.fromhex("00 00 02 00")))
        await asyncio.Event().wait()


def opening(number: int) -> Attack:
    """Open links and close them at once, over eight connections at a time."""

    async def attack(wires: Wires) -> None:
        async with asyncio.TaskGroup() as together:
            for _ in range(OPENED_AT_ONCE):
                together.create_task(open_again(wires, attacker(number, ADDRESSES)))

    return attack


async def open_again(wires: Wires, address: str) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await wires.connect(address)
            writer.write(_LINK)
            await reader.read(READ_BYTES)
            writer.transport.abort()


def opened_again() -> list[Attack]:
    return [opening(number) for number in range(ADDRESSES)]


def crowd() -> list[Attack]:
    return [partial(ask, number=number, text=ASKED["heads"]) for number in range(CROWD)]


def passed_on() -> list[Attack]:
    """Requests that only the writer can refuse."""
    data = FLOODS["forged signatures"]() + FLOODS["requests without the token"]()
    return [flooding(number, data) for number in range(8)]


def unread() -> list[Attack]:
    return [partial(leave_unread, number=number) for number in range(ADDRESSES)]


def stalling() -> list[Attack]:
    begin = request("PUT", "/claims", b" " * UPLOAD_BYTES).removesuffix(b" ")
    return [lambda wires: wires.open(16, 8, begin)]


KINDS: dict[str, Callable[[], list[Attack]]] = {
    f"{CROWD} addresses that ask for heads": crowd,
    "8 connections with forged claims, and requests without the token": passed_on,
    f"{ADDRESSES * LINKS} links that ask and do not read": unread,
    f"{ADDRESSES} addresses that open and close links": opened_again,
    "16 uploads that stall, of 8 addresses": stalling,
}
SHORT: dict[str, Callable[[], list[Attack]]] = {
    "all kinds at once": lambda: [attack for make in KINDS.values() for attack in make()]
}


@pytest.mark.parametrize(("name", "make"), (KINDS if IS_LONG else SHORT).items(), ids=KINDS if IS_LONG else SHORT)
async def test_attacks_on_a_process_that_follows(
    tmp_path: Path, schema_url: Callable[[str], str], name: str, make: Callable[[], list[Attack]]
) -> None:
    """Neither this process nor the writer grows, and a claim that has to be passed on is not refused."""
    store = ("--store", schema_url("one"))
    with running("writer", tmp_path / "writer", *STRANGERS, *store) as writer, attacked(tmp_path, *store) as node:
        await fill(writer, labels=100)
        await fill(writer, labels=LARGE_RECORDS, padding_bytes=LARGE_BYTES)
        before_bytes = memory_of(writer)
        cost = await measure(node, *make())
        check(f"a process that follows, and {name}", cost)
        assert memory_of(writer) - before_bytes < GROWTH_BYTES_MAX


def memory_of(node: LocalNode) -> int:
    return memory_bytes(psutil.Process(node.process.pid))
