"""A real node gives the state of a vector, whatever the order and the pieces in which its records arrive."""

import json
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from node.node import Node
from node.settings.settings import Settings
from tests.paths import VECTORS

FILES = sorted((VECTORS / "witnessed").glob("*.json"))
PIECE = 7
"""Records in one request."""


def read(path: Path) -> dict[str, Any]:
    vector: dict[str, Any] = json.loads(path.read_text())
    return vector


async def put_in_pieces(client: aiohttp.ClientSession, node: Node, records: list[dict[str, Any]]) -> None:
    headers = {"Authorization": f"Bearer {node.admin_token}"}
    for begin in range(0, len(records), PIECE):
        batch = {signed["signature"]: signed["record"] for signed in records[begin : begin + PIECE]}
        async with client.put(f"{node.url}/claims", json=batch, headers=headers) as answer:
            outcomes = await answer.json()
        assert {outcome["status"] for outcome in outcomes.values()} <= {"accepted", "known"}, outcomes


async def state_of(client: aiohttp.ClientSession, node: Node, domain: str, label: str) -> dict[str, Any]:
    """The state of a label as the vectors spell it, by its history."""
    async with client.get(f"{node.url}/history", params={"domain": domain, "label": label}) as answer:
        history = await answer.json()
    entries = {entry["id"]: entry for entry in history["records"]}
    verdicts = {record_id: entry["verdict"] for record_id, entry in entries.items()}
    chain: list[str] = []
    head = history["head"]
    while head is not None:
        chain.insert(0, head)
        head = entries[head]["record"].get("prev")
    final = chain.index(history["final"]) + 1 if history["final"] else 0
    ordered = {record_id: entry["ordered"] for record_id, entry in entries.items()}
    return {"chain": chain, "final": final, "verdicts": verdicts, "ordered": ordered}


@pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_node_gives_the_state_of_a_vector_in_any_order(path: Path, tmp_path: Path) -> None:
    vector = read(path)
    records = vector["records"]
    Random(path.stem).shuffle(records)
    settings = Settings(port=0, data=tmp_path)

    async with Node(settings) as node, aiohttp.ClientSession() as client:
        await put_in_pieces(client, node, records)
        states = {label: await state_of(client, node, vector["domain"], label) for label in vector["expect"]}
    async with Node(settings) as node, aiohttp.ClientSession() as client:
        after_restart = {label: await state_of(client, node, vector["domain"], label) for label in vector["expect"]}

    assert states == vector["expect"]
    assert after_restart == states
