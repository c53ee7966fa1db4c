"""What a page of a foreign origin may do in a browser beside a node: row 9 of the list of attacks."""

import time
from pathlib import Path

import aiohttp

from tests.attack.harness import Wires, attacked, attacker, check, measure
from tests.history import claim, signed
from tests.node.http_api.talking import batch

PAGE = {"Origin": "https://attacker.example"}
"""What a browser adds to the requests of a foreign page at http://0.0.0.0."""

DOMAINS = 500


async def test_a_foreign_page_opens_no_link_and_asks_for_no_sync(tmp_path: Path) -> None:
    refusals = []
    with attacked(tmp_path) as node:
        async with aiohttp.ClientSession(headers=PAGE) as session:
            for method, path in (("POST", "/sync/push"), ("PUT", "/claims"), ("GET", "/gossip"), ("DELETE", "/peers")):
                async with session.request(method, node.url + path, data=b"{}") as answer:
                    refusals.append((answer.status, (await answer.json(content_type=None))["code"]))

    assert refusals == [(403, "unauthorized")] * 4


async def test_a_stranger_that_founds_domains(tmp_path: Path) -> None:
    """It gets a few, and the honest client goes on in a domain that is known."""

    async def attack(wires: Wires) -> None:
        connector = aiohttp.TCPConnector(local_addr=(attacker(0, addresses=1), 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            for number in range(DOMAINS):
                one = signed(claim("garden", at=int(time.time()), domain=f"d{number}.example"))
                async with session.put(f"{wires.node.url}/claims", data=batch([one])) as answer:
                    await answer.read()

    with attacked(tmp_path) as node:
        cost = await measure(node, attack)
        with node.client() as operator:
            domains = operator.get("/domains")

    check("a stranger that founds 500 domains", cost)
    assert len(domains) < DOMAINS // 10
