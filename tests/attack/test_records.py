"""Records that take long to decode or to replay: rows 2 and 4 of the list of attacks."""

import io
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import aiohttp

from tests.attack.harness import IS_LONG, Attack, Wires, attacked, attacker, check, fill, measure
from tests.history import claim, signed
from tests.node.http_api.talking import batch

FRACTIONS = 4_000
BATCH_RECORDS = 32
ADDRESSES = 4
HISTORY = 25_000 if IS_LONG else 3_000
LATE_S = 40


def slow_batch(number: int) -> bytes:
    """Records of fractions, which take the exact path to canonical bytes."""
    at = int(time.time())
    labels = [f"slow-{number}-{each}" for each in range(BATCH_RECORDS)]
    return batch([signed(claim(label, at=at, f=[0.5] * FRACTIONS)) for label in labels])


def putting(number: int, body: bytes) -> Attack:
    """The same batch again and again. All but the first time, its records are known."""

    async def attack(wires: Wires) -> None:
        connector = aiohttp.TCPConnector(local_addr=(attacker(number, ADDRESSES), 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.put(f"{wires.node.url}/claims", data=io.BytesIO(body)) as answer:
                        await answer.read()

    return attack


async def test_records_that_take_long_to_decode(tmp_path: Path) -> None:
    bodies = [slow_batch(number) for number in range(ADDRESSES)]
    with attacked(tmp_path) as node:
        cost = await measure(node, *[putting(number, body) for number, body in enumerate(bodies)])
        check(f"batches of records of fractions from {ADDRESSES} addresses", cost)


async def test_late_records_of_a_listed_peer_that_turns(tmp_path: Path) -> None:
    """Each request brings a record newer than the head of a long label, and one slightly older than the head before."""

    async def attack(wires: Wires) -> None:
        token, at = (wires.node.data / "admin-token").read_text().strip(), int(time.time())
        connector = aiohttp.TCPConnector(local_addr=(attacker(0, 1), 0))
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, connector=connector) as session:
            for turn in count():
                newer = claim("stored-0", at=at + turn // 20, n=2 * turn)
                late = claim("stored-0", at=at - LATE_S, n=2 * turn + 1)
                body = batch([signed(newer), signed(late)])
                async with session.put(f"{wires.node.url}/claims", data=io.BytesIO(body)) as answer:
                    assert answer.status == 200

    with attacked(tmp_path) as node:
        await fill(node, labels=1, per_label=HISTORY)
        check(f"late records of a label of {HISTORY}", await measure(node, attack))
