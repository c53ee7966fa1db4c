"""A domain with one witness, which is a node in a folder of the test, and a client of that node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from node.durable_files import write_durably
from node.node import Node
from node.settings.settings import Settings
from node.witness.newest import path_of, spell_begin
from node.witness.own import OwnWitness
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import Policy, make_policy

LABEL = "garden"
ALICE, BOB, WITNESS = (SigningKey(bytes([number]) * 32) for number in (1, 2, 7))
WITNESS_SEED = "07" * 32


class Registrar:
    """A domain with one witness, which is a node in this folder, and a client of that node. `preference`: the one that
    the last answer says was applied.
    """

    def __init__(self, node: Node, client: aiohttp.ClientSession, policy: Policy) -> None:
        self.node = node
        self.domain = f"com.example.{policy.name}"
        self.preference: str | None = None
        self._client = client

    @property
    def own(self) -> OwnWitness:
        (own,) = self.node.witnessing
        return own

    def claim(self, by: SigningKey, **fields: Any) -> SignedRecord:
        now_s = int(self.node.world.now_s())
        record = {"domain": self.domain, "label": LABEL, "signedby": by.public, "timestamp": now_s} | fields
        return sign(make(record), by)

    async def put(self, signed: SignedRecord, wait_s: int | None = None) -> tuple[int, dict[str, Any]]:
        headers = {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
        url = f"{self.node.url}/claims/{signed.signature}"
        async with self._client.put(url, data=signed.record.canonical, headers=headers) as answer:
            (outcome,) = (await answer.json()).values()
            self.preference = answer.headers.get("Preference-Applied")
            return answer.status, outcome

    async def get(self, path: str) -> tuple[int, Any, dict[str, str]]:
        return await self.ask(f"/claims/{self.domain}/{path}")

    async def ask(self, path: str) -> tuple[int, Any, dict[str, str]]:
        async with self._client.get(f"{self.node.url}{path}") as answer:
            is_json = answer.content_type != "application/x-ndjson"
            return answer.status, await (answer.json() if is_json else answer.text()), dict(answer.headers)


@asynccontextmanager
async def registrar(folder: Path, **settings: Any) -> AsyncIterator[Registrar]:
    """A node that is the only witness of its domain, with these settings."""
    policy = make_policy([WITNESS.public], 0)
    domain = f"com.example.{policy.name}"
    chosen = Settings(port=0, data=folder, witness=[domain], **settings)
    async with Node(chosen) as node, aiohttp.ClientSession() as client:
        it = Registrar(node, client, policy)
        await it.put(it.claim(BOB, label="@policy", **policy.fields))
        yield it


def begin(folder: Path) -> None:
    """What `dnarc witness begin` does."""
    domain = f"com.example.{make_policy([WITNESS.public], 0).name}"
    write_durably(path_of(folder, domain), spell_begin(None))


def take_key(folder: Path) -> None:
    """Let a node in this folder have the key of the witness."""
    (folder / "node.key").write_text(WITNESS_SEED)
