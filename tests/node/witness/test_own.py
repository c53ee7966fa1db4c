"""A node that witnesses a domain decides what comes in, and never says two things, whatever happens to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.disk import write_durably
from node.node import Node
from node.settings import Settings
from node.witness.newest import path_of, spell_begin
from node.witness.own import OwnWitness, Silence
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import Policy, make_policy
from protocol.witness.proof import check_proof
from tests.node.http_api.listening import SERVER_SENT, WEBSOCKET, listening, until

LABEL = "garden"
ALICE, BOB, WITNESS = (SigningKey(bytes([number]) * 32) for number in (1, 2, 7))
WITNESS_SEED = "07" * 32


class Registrar:
    """A domain with one witness, which is a node in this folder, and a client of that node."""

    def __init__(self, node: Node, client: aiohttp.ClientSession, policy: Policy) -> None:
        self.node = node
        self.domain = f"com.example.{policy.name}"
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
            return answer.status, outcome

    async def get(self, path: str) -> tuple[int, Any, dict[str, str]]:
        async with self._client.get(f"{self.node.url}/claims/{self.domain}/{path}") as answer:
            is_json = answer.content_type != "application/x-ndjson"
            return answer.status, await (answer.json() if is_json else answer.text()), dict(answer.headers)


@asynccontextmanager
async def registrar(folder: Path) -> AsyncIterator[Registrar]:
    """A node that is the only witness of its domain."""
    policy = make_policy([WITNESS.public], 0)
    domain = f"com.example.{policy.name}"
    settings = Settings(port=0, data=folder, witness=[domain])
    async with Node(settings) as node, aiohttp.ClientSession() as client:
        it = Registrar(node, client, policy)
        fields = {"faulty": 0, "witnesses": list(policy.witnesses)}
        await it.put(it.claim(BOB, label="@policy", **fields))
        yield it


@pytest.fixture(autouse=True)
def _key(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_text(WITNESS_SEED)


def lose_store(folder: Path) -> None:
    for file in folder.glob("dnarc.db*"):
        file.unlink()


def begin(folder: Path) -> None:
    """What `dnarc witness begin` does."""
    domain = f"com.example.{make_policy([WITNESS.public], 0).name}"
    write_durably(path_of(folder, domain), spell_begin(None))


async def test_a_claim_becomes_final_and_a_stranger_can_check_it_offline(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        founded = it.claim(ALICE)

        status, outcome = await it.put(founded, wait_s=10)
        head, _, headers = await it.get(LABEL)
        final, shown, _ = await it.get(f"{LABEL}?final=true")
        _, proof, _ = await it.get(f"{LABEL}/proof")

    lines = [line for line in proof.splitlines() if line]
    signed = [_signed(line) for line in lines]
    assert (status, outcome["verdict"], outcome["certainty"]) == (201, "founded", "final")
    assert (head, headers["Dnarc-Certainty"], final) == (200, "final", 200)
    assert list(shown) == [founded.signature]
    assert check_proof(it.domain, LABEL, signed).head == founded.record


async def test_of_two_rivals_one_is_final_and_the_other_is_told_who_won(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        one, other = it.claim(ALICE), it.claim(BOB)

        first, second = await asyncio.gather(it.put(one, wait_s=10), it.put(other, wait_s=10))

    outcomes = {201: one, 409: other} if first[0] == 201 else {201: other, 409: one}
    lost = second if first[0] == 201 else first
    assert {first[0], second[0]} == {201, 409}
    assert (lost[1]["code"], lost[1].get("winner")) == ("stale", outcomes[201].record.id)


async def test_a_claim_is_pending_while_the_witness_is_silent(tmp_path: Path) -> None:
    async with registrar(tmp_path) as it:
        status, outcome = await it.put(it.claim(ALICE))
        asked, problem, _ = await it.get(LABEL)
        await until(lambda: it.own.silence is Silence.NOT_BEGUN)

    assert (status, outcome["status"], outcome["verdict"], outcome["certainty"]) == (
        202,
        "accepted",
        "pending",
        "pending",
    )
    assert (asked, problem["code"], problem["pending"]) == (404, "unknown_label", True)


async def test_a_witness_goes_on_after_a_restart_and_forks_nothing(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        founded = it.claim(ALICE)
        await it.put(founded, wait_s=10)
    async with registrar(tmp_path) as it:
        status, outcome = await it.put(it.claim(ALICE, prev=founded.record.id, n=2), wait_s=10)
        testimony = it.own.domain.testimony

        assert (status, outcome["certainty"]) == (201, "final")
        assert testimony is not None
        assert testimony.forks == {}


async def test_a_witness_whose_file_is_damaged_is_silent_and_the_node_works(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        await it.put(it.claim(ALICE), wait_s=10)
        path = path_of(tmp_path, it.domain)
    write_durably(path, b"{")

    async with registrar(tmp_path) as it:
        await until(lambda: it.own.silence is Silence.UNREADABLE)
        status, _ = await it.put(it.claim(BOB, label="tower"))

    assert status == 202


async def test_a_witness_whose_store_was_restored_is_silent_until_it_knows_what_it_said(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        founded = it.claim(ALICE)
        await it.put(founded, wait_s=10)
        await it.put(it.claim(ALICE, prev=founded.record.id), wait_s=10)
    lose_store(tmp_path)

    async with registrar(tmp_path) as it:
        await until(lambda: it.own.silence is Silence.CHAIN_MISSING)
        status, outcome = await it.put(it.claim(BOB))

    assert (status, outcome["certainty"]) == (202, "pending")


def _signed(line: str) -> SignedRecord:
    fields = json.loads(line)
    return SignedRecord(fields["signature"], make(fields["record"]))


@pytest.mark.parametrize("path", [WEBSOCKET, SERVER_SENT])
async def test_a_stream_of_final_events_has_no_others(tmp_path: Path, path: str) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        founded = it.claim(ALICE)
        await it.put(founded, wait_s=5)
        follower = it.claim(ALICE, prev=founded.record.id)
        async with (
            listening(it.node, path, f"?since=0&label={LABEL}") as all_types,
            listening(it.node, path, "?since=0&certainty=final") as final,
        ):
            await it.put(follower, wait_s=5)
            told = [[await each.event() for _ in range(number)] for each, number in ((all_types, 4), (final, 2))]

    ids = [founded.record.id, follower.record.id]
    assert [[(event["type"], event["id"]) for event in events] for events in told] == [
        [(event_type, each) for each in ids for event_type in ("accepted", "final")],
        [("final", each) for each in ids],
    ]
