"""A node that witnesses a domain decides what comes in, and never says two things, whatever happens to it."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from node.client.answers import signed_record_of_line
from node.durable_files import write_durably
from node.http_api.handlers import walk
from node.store.removals import RemovalKind, Target
from node.witness.newest import path_of
from node.witness.own import Silence
from protocol.witness.proof import check_proof
from tests.node.http_api.listening import SERVER_SENT, WEBSOCKET, listening
from tests.node.witness.registrar import ALICE, BOB, LABEL, WITNESS, begin, registrar, take_key
from tests.waiting import until


@pytest.fixture(autouse=True)
def _key(tmp_path: Path) -> None:
    take_key(tmp_path)


def lose_store(folder: Path) -> None:
    for file in folder.glob("dnarc.db*"):
        file.unlink()


async def test_a_claim_becomes_final_and_a_stranger_can_check_it_offline(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        founded = it.claim(ALICE)

        status, outcome = await it.put(founded, wait_s=10)
        head, _, headers = await it.get(LABEL)
        final, shown, _ = await it.get(f"{LABEL}?final=true")
        _, proof, _ = await it.get(f"{LABEL}/proof")
        _, same_proof, _ = await it.ask(f"/proof?domain={it.domain}&label={LABEL}")
        _, history, _ = await it.get(f"{LABEL}/history")

    lines = [line for line in proof.splitlines() if line]
    signed = [signed_record_of_line(line.encode()) for line in lines]
    assert (status, outcome["verdict"], outcome["certainty"], it.preference) == (201, "founded", "final", "wait")
    assert same_proof == proof
    assert (head, headers["Dnarc-Certainty"], final) == (200, "final", 200)
    assert list(shown) == [founded.signature]
    (record,) = history["records"]
    witness = WITNESS.public
    assert (list(record["seen"]), record["votes"], record["commits"]) == ([witness], {witness: 0}, {witness: 0})
    assert check_proof(it.domain, LABEL, signed).head == founded.record


async def test_a_proof_that_needs_an_erased_record_answers_410_with_the_reason(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        founded = it.claim(ALICE)
        await it.put(founded, wait_s=10)
        removal = await it.node.removals.begin(
            RemovalKind.ERASE, Target(ids=(founded.record.id,)), "ann", "court order"
        )
        await it.node.removals.wait(removal.number, 60)

        status, problem, _ = await it.get(f"{LABEL}/proof")

    facts = {name: problem[name] for name in ("code", "id", "reason")}
    assert (status, facts) == (410, {"code": "erased", "id": founded.record.id, "reason": "court order"})


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
        finals = [await it.get(f"{LABEL}{more}") for more in ("?final=true", "/proof")]
        await until(lambda: it.own.silence is Silence.NOT_BEGUN)

    assert (status, outcome["status"], outcome["verdict"], outcome["certainty"]) == (
        202,
        "accepted",
        "pending",
        "pending",
    )
    assert it.preference is None
    assert (asked, problem["code"], problem["pending"]) == (404, "unknown_label", True)
    assert [(status, problem["code"]) for status, problem, _ in finals] == [(404, "not_final")] * 2


async def test_a_witness_goes_on_after_a_restart_and_forks_nothing(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        founded = it.claim(ALICE)
        await it.put(founded, wait_s=10)
    async with registrar(tmp_path) as it:
        status, outcome = await it.put(it.claim(ALICE, prev=founded.record.id, n=2), wait_s=10)

        assert (status, outcome["certainty"]) == (201, "final")
        assert list(it.own.domain.forks()) == []


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


async def test_a_listing_says_how_sure_each_head_of_a_witnessed_domain_is(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it, aiohttp.ClientSession(headers={"Accept": "application/x-ndjson"}) as client:
        await it.put(it.claim(ALICE), wait_s=10)
        await it.put(it.claim(BOB, domain="org.ordinary"))
        async with client.get(f"{it.node.url}/claims") as answer:
            lines = [json.loads(line) for line in (await answer.text()).splitlines()]
        async with client.get(f"{it.node.url}/claims/{it.domain}?limit=5") as answer:
            (line,) = [json.loads(line) for line in (await answer.text()).splitlines()]

    assert [(each["record"]["domain"], each.get("certainty")) for each in lines] == [
        (it.domain, "final"),
        ("org.ordinary", None),
    ]
    assert line["certainty"] == "final"


@pytest.mark.parametrize(
    ("votes", "last"),
    [({}, {}), ({0: {"a": "1", "b": "1"}, 3: {"a": "1"}, 1: {"a": "1"}}, {"a": 3, "b": 0})],
)
def test_of_many_ballots_of_one_witness_the_last_round_is_shown(
    votes: dict[int, dict[str, str]], last: dict[str, int]
) -> None:
    assert walk._last_rounds(votes) == last
