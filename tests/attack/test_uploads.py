"""Uploads that stall near their end keep nobody from writing, and slow ones keep nobody out: row 8 of the list."""

from pathlib import Path

import pytest

from tests.attack.harness import Wires, attacked, attacker, check, measure
from tests.attack.pace import pause

UPLOADS = 16
UPLOAD_BYTES = 8 * 2**20
SLOW_UPLOADS = 900
SLOW_ADDRESSES = 60
PIECE_BYTES = 5_000
PIECE_EVERY_S = 1.0


@pytest.mark.parametrize("addresses", [1, 8])
async def test_uploads_that_stall(tmp_path: Path, addresses: int) -> None:
    head = b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % UPLOAD_BYTES

    async def attack(wires: Wires) -> None:
        await wires.open(UPLOADS, addresses, head + b" " * (UPLOAD_BYTES - 1))

    with attacked(tmp_path) as node:
        check(f"16 uploads of 8 MiB that stall, of {addresses} addresses", await measure(node, attack))


async def test_uploads_that_go_on_for_long(tmp_path: Path) -> None:
    """More than a node has places for, each a little faster than the least speed for a body."""
    head = b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (UPLOAD_BYTES - 1)

    async def attack(wires: Wires) -> None:
        writers = [(await wires.connect(attacker(number, SLOW_ADDRESSES)))[1] for number in range(SLOW_UPLOADS)]
        for writer in writers:
            writer.write(head)
        while True:
            for writer in writers:
                writer.write(b" " * PIECE_BYTES)
            await pause(PIECE_EVERY_S)

    with attacked(tmp_path) as node:
        check(f"{SLOW_UPLOADS} slow uploads of {SLOW_ADDRESSES} addresses", await measure(node, attack))
