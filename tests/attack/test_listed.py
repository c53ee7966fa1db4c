"""A listed peer that turns: it floods the node over its link with all that a stranger may send, and with more."""

import json
from pathlib import Path

import aiohttp
import pytest

from simulations.processes.process import LocalNode
from tests.attack.harness import IS_LONG, Wires, attacked, attacker, check, fill, measure
from tests.attack.links import flood, key_of
from tests.attack.test_links import FRAMES, MORE_FRAMES, made_up

STORED = 20_000 if IS_LONG else 100
ADDRESS = attacker(0, 1)

ERASED = [
    json.dumps({"type": "erased", "domain": "example", "keys": [[n, made_up(1_000 * page + n)] for n in range(1_000)]})
    for page in range(100 if IS_LONG else 5)
]
CAUGHT_UP = [
    json.dumps({"type": "caught_up", "domain": "example", "count": n, "fingerprint": f"{n:032x}"}) for n in range(2_000)
]
WANTS = [
    json.dumps({"type": "want", "ids": [made_up(1_000 * page + n) for n in range(1_000)], "eager": page % 2 == 0})
    for page in range(9)
]
TURNS = ['{"type":"prune"}', '{"type":"want","ids":[],"eager":true}'] * 200

OF_PEERS = {
    "names of 100,000 erased records, and then sets that differ": [*ERASED, *CAUGHT_UP],
    "requests for records that nobody has": WANTS,
    "prune and want by turns": TURNS,
}
ALL = [frame for frames in (*FRAMES.values(), *MORE_FRAMES.values(), *OF_PEERS.values()) for frame in frames]
KINDS = {**FRAMES, **MORE_FRAMES, **OF_PEERS} if IS_LONG else {"frames of all kinds": ALL}


async def list_peer(node: LocalNode) -> None:
    """List the key of the attacker, whose records are taken as those of a peer from now on."""
    token = (node.data / "admin-token").read_text().strip()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.put(f"{node.url}/peers", json={"key": key_of(ADDRESS).public, "accept": True}) as answer,
    ):
        answer.raise_for_status()


@pytest.mark.parametrize(("name", "frames"), KINDS.items(), ids=KINDS.keys())
async def test_floods_of_a_listed_peer(tmp_path: Path, name: str, frames: list[str]) -> None:
    async def attack(wires: Wires) -> None:
        await flood(wires.node, ADDRESS, frames)

    with attacked(tmp_path) as node:
        await list_peer(node)
        await fill(node, labels=STORED)
        check(f"a listed peer that sends {name}", await measure(node, attack))
