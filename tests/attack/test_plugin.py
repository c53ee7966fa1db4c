"""An operator's program that takes its time, while strangers bring more records than it can answer for."""

import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import aiohttp

from tests.attack.harness import Attack, Wires, attacked, attacker, check, measure
from tests.attack.pace import pause
from tests.history import claim, signed
from tests.node.http_api.talking import batch
from tests.node.write_plugin.programs import program

ADDRESSES = 8
BATCH_RECORDS = 1_000
PAUSE_S = 0.1

SLOW = """
for it in lines():
    time.sleep(0.001)
    say(id=it['id'], action='accept')
"""


def bringing(number: int) -> Attack:
    """New batches again and again, each of labels of their own."""

    async def attack(wires: Wires) -> None:
        connector = aiohttp.TCPConnector(local_addr=(attacker(number, ADDRESSES), 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            for turn in count():
                at = int(time.time())
                records = [signed(claim(f"label-{number}-{turn}-{each}", at=at)) for each in range(BATCH_RECORDS)]
                with suppress(aiohttp.ClientError):
                    async with session.put(f"{wires.node.url}/claims", data=batch(records)) as answer:
                        await answer.read()
                await pause(PAUSE_S)

    return attack


async def test_more_records_than_a_slow_program_answers_for(tmp_path: Path) -> None:
    with attacked(tmp_path, "--write-plugin", ",".join(program(tmp_path, SLOW))) as node:
        cost = await measure(node, *[bringing(number) for number in range(2 * ADDRESSES)])
        check(f"batches of {ADDRESSES} addresses, and a program that takes 1 ms for a record", cost)
