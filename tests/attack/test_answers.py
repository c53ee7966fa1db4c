"""Answers that nobody reads, and reads that cost much: row 1 of the list of attacks, and reads without a quota."""

import asyncio
from contextlib import suppress
from pathlib import Path

from tests.attack.harness import IS_LONG, Wires, attacked, attacker, check, fill, measure
from tests.attack.test_links import fill_domains
from tests.attack.test_requests import flooding

READERS = 100
LARGE_BYTES = 60_000
DOMAINS = 9_990 if IS_LONG else 300


async def test_answers_that_nobody_reads(tmp_path: Path) -> None:
    async def attack(wires: Wires) -> None:
        await wires.open(READERS, 10, b"GET /claims?history=true HTTP/1.1\r\nHost: x\r\n\r\n")

    with attacked(tmp_path) as node:
        await fill(node, labels=400 if IS_LONG else 100, padding_bytes=LARGE_BYTES)
        check("100 answers of large records that nobody reads", await measure(node, attack))


async def test_reads_that_cost_much(tmp_path: Path) -> None:
    """Each request has 60 bytes and no body in its answer, and reads a whole history."""

    async def attack(wires: Wires) -> None:
        reader, writer = await wires.connect(attacker(0, addresses=1))
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                writer.write(b"HEAD /claims/example/stored-0/history HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")

    with attacked(tmp_path, "--read-share-max", "0.1") as node:
        await fill(node, labels=1, per_label=20_000 if IS_LONG else 2_000)
        cost = await measure(node, *[attack] * 20)
        check("20 connections of one address that ask for a long history", cost)


async def test_listings_of_the_records_of_all_domains(tmp_path: Path) -> None:
    """Each of them has to look where every domain begins."""
    text = b"GET /claims?history=true&limit=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    with attacked(tmp_path) as node:
        await fill(node, labels=1)
        await fill_domains(node, DOMAINS)
        cost = await measure(node, *[flooding(number, text) for number in range(8)])
        check(f"8 connections that list all records of {DOMAINS} domains", cost)
