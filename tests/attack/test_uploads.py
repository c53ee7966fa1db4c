"""Uploads that stall near their end keep nobody from writing: row 8 of the list of attacks."""

from pathlib import Path

import pytest

from tests.attack.harness import Wires, attacked, check, measure

UPLOADS = 16
UPLOAD_BYTES = 8 * 2**20


@pytest.mark.parametrize("addresses", [1, 8])
async def test_uploads_that_stall(tmp_path: Path, addresses: int) -> None:
    head = b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % UPLOAD_BYTES

    async def attack(wires: Wires) -> None:
        await wires.open(UPLOADS, addresses, head + b" " * (UPLOAD_BYTES - 1))

    with attacked(tmp_path) as node:
        check(f"16 uploads of 8 MiB that stall, of {addresses} addresses", await measure(node, attack))
