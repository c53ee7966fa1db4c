"""Four linked nodes witness a domain, of which one may lie or be down."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from node.durable_files import write_durably
from node.intake.arrivals import BY_REQUEST, Origin
from node.node import Node
from node.witness.newest import path_of, spell_begin
from protocol.records.admission import Trust
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import make_policy
from tests.node.links.network import befriend, running, until, until_live

KEYS = [SigningKey(bytes([number]) * 32) for number in (11, 12, 13, 14)]
ALICE, BOB = (SigningKey(bytes([number]) * 32) for number in (1, 2))
POLICY = make_policy([key.public for key in KEYS], 1)
DOMAIN = f"com.example.{POLICY.name}"
CLIENT = Origin(Trust.CLIENT)


def signed(by: SigningKey, label: str = "garden", **fields: object) -> SignedRecord:
    record = {"domain": DOMAIN, "label": label, "signedby": by.public, "timestamp": int(time.time())} | fields
    return sign(make(record), by)


def prepare(folder: Path, key: SigningKey) -> Path:
    """A data folder with this key, whose operator has begun to witness."""
    folder.mkdir()
    (folder / "node.key").write_text(_seed(key))
    write_durably(path_of(folder, DOMAIN), spell_begin(None))
    return folder


def _seed(key: SigningKey) -> str:
    return {each.public: bytes([number]).hex() * 32 for each, number in zip(KEYS, (11, 12, 13, 14), strict=True)}[
        key.public
    ]


@asynccontextmanager
async def council(folder: Path, awake: int) -> AsyncIterator[list[Node]]:
    """So many of the four witnesses, each linked with each."""
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                running(prepare(folder / f"{number}", KEYS[number]), time.time, witness=[DOMAIN])
            )
            for number in range(awake)
        ]
        for number, node in enumerate(nodes):
            for other in nodes[number + 1 :]:
                await befriend(node, other)
        await until_live(*nodes)
        await nodes[0].ingest.take_records([signed(ALICE, "@policy", **POLICY.fields)], CLIENT, BY_REQUEST)
        yield nodes


def is_final(node: Node, record: Record) -> bool:
    domain = node.witnessed.get(DOMAIN)
    return domain is not None and record.id in domain and domain.certainty(record) == "final"


async def test_a_claim_is_final_on_all_four(tmp_path: Path) -> None:
    claim = signed(ALICE)
    async with council(tmp_path, awake=4) as nodes:
        await nodes[0].ingest.take_records([claim], CLIENT, BY_REQUEST)

        await until(lambda: all(is_final(node, claim.record) for node in nodes), *nodes)


async def test_three_of_four_decide(tmp_path: Path) -> None:
    claim = signed(ALICE)
    async with council(tmp_path, awake=3) as nodes:
        await nodes[2].ingest.take_records([claim], CLIENT, BY_REQUEST)

        await until(lambda: all(is_final(node, claim.record) for node in nodes), *nodes)


async def test_of_rivals_on_different_nodes_all_nodes_hold_the_same_one_final(tmp_path: Path) -> None:
    rivals = [signed(ALICE), signed(BOB)]
    async with council(tmp_path, awake=4) as nodes:
        await asyncio.gather(
            nodes[0].ingest.take_records([rivals[0]], CLIENT, BY_REQUEST),
            nodes[3].ingest.take_records([rivals[1]], CLIENT, BY_REQUEST),
        )

        def winners() -> list[str]:
            return [rival.record.id for rival in rivals for node in nodes if is_final(node, rival.record)]

        await until(lambda: len(winners()) == len(nodes), *nodes)
        final = set(winners())

    assert len(final) == 1
