"""Links of strangers that cause much work or hold much memory: row 5 of the list of attacks, and links nobody reads."""

import asyncio
import json
import struct
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from node.links.transport import MESSAGE_BYTES_MAX
from simulations.processes.process import LocalNode
from tests.attack.harness import IS_LONG, Attack, Wires, attacked, attacker, check, fill, give, measure
from tests.attack.links import flood, link_again, question
from tests.history import claim, signed

DOMAINS = 10_000 if IS_LONG else 1_000
UNREAD_LINKS = 200 if IS_LONG else 100
LINKS_MIN = 150 if IS_LONG else 5
"""Links that the attack has to get, so that it measures something."""

ADDRESSES = 20
LINKS_PER_ADDRESS = 16
"""As many as one address may have."""

LARGE_BYTES = 60_000
LARGE_RECORDS = 800 if IS_LONG else 100

STORED = 20_000 if IS_LONG else 100


def made_up(number: int) -> str:
    """An id of no record."""
    return f"{number:064x}"


def have(begin: int) -> str:
    return json.dumps({"type": "have", "ids": [made_up(number) for number in range(begin, begin + 1_000)]})


FRAMES = {
    "skipped ranges": [question("example", bytes.fromhex("01 00 00") * 43_000)],
    "empty lists of ids": [question("example", bytes.fromhex("01 00 02 00") * 16_000)],
    "fingerprints of empty ranges": [question("example", (bytes.fromhex("01 00 01") + b"x" * 16) * 6_800)],
    "lists of no domain": ['{"type":"domains","domains":{}}'],
    "frames of an unknown type": ['{"type":"x"}'] * 500,
}
MORE_FRAMES = {
    "fingerprints that differ everywhere": [question("example", b"\x00\x00\x01" + bytes([n]) * 16) for n in range(50)],
    "announcements of records that nobody has": [have(1_000 * n) for n in range(20)],
    "names of erased records": [
        json.dumps({"type": "erased", "domain": "example", "keys": [[n, made_up(n)] for n in range(1_000)]})
    ],
    "requests to send everything again": ['{"type":"since","domain":"example","timestamp":0}'],
}


def flooding(number: int, addresses: int, frames: list[str]) -> Attack:
    async def attack(wires: Wires) -> None:
        await flood(wires.node, attacker(number, addresses), frames)

    return attack


@pytest.mark.parametrize(("name", "frames"), FRAMES.items(), ids=FRAMES.keys())
async def test_frames_that_cost_much(tmp_path: Path, name: str, frames: list[str]) -> None:
    with attacked(tmp_path) as node:
        await fill(node, labels=100)
        await fill_domains(node, DOMAINS if "domain" in name else 1)
        attacks = [flooding(number, 4, frames) for number in range(4)]
        check(f"4 links that send {name}", await measure(node, *attacks))


@pytest.mark.skipif(not IS_LONG, reason="the short form plays frames of the kinds above")
@pytest.mark.parametrize(("name", "frames"), MORE_FRAMES.items(), ids=MORE_FRAMES.keys())
async def test_frames_about_many_records(tmp_path: Path, name: str, frames: list[str]) -> None:
    with attacked(tmp_path) as node:
        await fill(node, labels=STORED)
        check(f"4 links that send {name}", await measure(node, *[flooding(number, 4, frames) for number in range(4)]))


@pytest.mark.skipif(not IS_LONG, reason="compression is off by default")
async def test_frames_that_grow_a_thousandfold(tmp_path: Path) -> None:
    """As many bytes as a frame may have, of which nearly all are spaces."""

    async def attack(wires: Wires, address: str) -> None:
        await flood(wires.node, address, ['{"type":"x"}' + " " * 1_900_000], compression="deflate")

    with attacked(tmp_path, "--link-compression", "true") as node:
        cost = await measure(node, *[partial(attack, address=attacker(number, 4)) for number in range(4)])
        check("4 links that send frames of 2 kB that unpack to 1.9 MB", cost)


@pytest.mark.skipif(not IS_LONG, reason="an address opens 50 links a second at most")
async def test_links_that_say_nothing(tmp_path: Path) -> None:
    opened = 0

    async def attack(wires: Wires, address: str) -> None:
        nonlocal opened
        async with AsyncExitStack() as links:
            while True:
                await link_again(links, wires.node, address, opened)
                opened += 1

    with attacked(tmp_path) as node:
        cost = await measure(node, *[partial(attack, address=attacker(n, ADDRESSES)) for n in range(ADDRESSES)])
        check(f"{opened} links of {ADDRESSES} addresses that prove a key and say nothing", cost)


async def test_links_that_ask_and_do_not_read(tmp_path: Path) -> None:
    """The node refuses links that are opened too fast, so all addresses open theirs beside each other and come back."""
    opened = 0

    async def attack(wires: Wires, address: str) -> None:
        nonlocal opened
        async with AsyncExitStack() as links:
            for number in range(UNREAD_LINKS // ADDRESSES):
                connection = await link_again(links, wires.node, address, number)
                opened += 1
                connection.transport.pause_reading()
                await connection.send('{"type":"since","domain":"example","timestamp":0}')
                for _ in range(50):
                    await connection.send(question("example", bytes.fromhex("00 00 02 00")))
            await asyncio.Event().wait()

    with attacked(tmp_path) as node:
        await fill(node, labels=LARGE_RECORDS, padding_bytes=LARGE_BYTES)
        cost = await measure(node, *[partial(attack, address=attacker(n, ADDRESSES)) for n in range(ADDRESSES)])
        check(f"{opened} of {UNREAD_LINKS} links that ask and do not read", cost)
    assert opened >= LINKS_MIN


@pytest.mark.skipif(not IS_LONG, reason="an address opens 50 links a second at most")
async def test_links_with_messages_that_do_not_end(tmp_path: Path) -> None:
    """Each holds as much as the node reads of one message."""
    opened = 0
    begin = struct.pack(">BBQI", 0x81, 0xFF, MESSAGE_BYTES_MAX - 1, 0) + b" " * (MESSAGE_BYTES_MAX - 2)

    async def attack(wires: Wires, address: str) -> None:
        nonlocal opened
        async with AsyncExitStack() as links:
            for number in range(LINKS_PER_ADDRESS):
                connection = await link_again(links, wires.node, address, number)
                opened += 1
                connection.transport.write(begin)
            await asyncio.Event().wait()

    with attacked(tmp_path) as node:
        cost = await measure(node, *[partial(attack, address=attacker(n, ADDRESSES)) for n in range(ADDRESSES)])
        check(f"{opened} links with messages that do not end", cost)


async def fill_domains(node: LocalNode, domains: int) -> None:
    """Give the node so many domains with one record each, as its operator."""
    now = int(time.time())
    await give(node, [signed(claim("garden", at=now, domain=f"domain-{number}")) for number in range(domains)])
