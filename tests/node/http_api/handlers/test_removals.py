"""Taking records down over HTTP: what an operator asks for, and what everybody is shown afterwards."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from node.http_api.handlers.removals import REMOVAL_BYTES_MAX
from node.node import Node
from node.removal.work import QUEUE_MAX
from node.settings.settings import Settings
from node.store.removals import BY_CHARACTERS_MAX, IDS_MAX, REASON_CHARACTERS_MAX, RemovalKind, Target
from protocol.errors import Code, ProtocolError
from protocol.records.record import Record
from tests.history import ALICE, BOB, NOWHERE, claim, offer
from tests.node.http_api.listening import BOTH, listening
from tests.node.http_api.talking import NOW, Client, as_admin, fresh, listed, shown
from tests.node.intake.pipeline import pipeline

WITNESSED = "w" + "a" * 52
SECRET = "sesame" * 4


def garden() -> list[Record]:
    """A founder, an offer, and a head of another owner with a secret."""
    return [
        claim("garden", ALICE, NOW - 2, text=SECRET),
        offer("garden", ALICE, BOB, NOW - 1),
        claim("garden", BOB, NOW, text=f"{SECRET} the end"),
    ]


async def planted(client: Client) -> list[Record]:
    records = garden()
    for record in records:
        assert (await client.put(record)).status == 201
    return records


async def removed(client: Client, node: Node, body: Mapping[str, Any]) -> Any:
    """The removal when it is done."""
    answer = await client.send("POST", "/removals", json.dumps(body).encode(), as_admin(node))
    while answer.status == 202:
        answer = await client.get(f"/removals/{answer.json()['number']}?wait=60")
    return answer.json()


def holds(node: Node, text: str = SECRET) -> bool:
    """Whether any file of the node's data folder holds these bytes."""
    files = [path for path in Path(node.settings.data).rglob("*") if path.is_file()]
    return any(text.encode() in path.read_bytes() for path in files)


async def test_an_erased_head_answers_410_with_the_reason_and_the_owner(client: Client, node: Node) -> None:
    *_, head = await planted(client)
    await client.get("/claims/example/garden")
    assert holds(node)

    answer = await client.send("DELETE", f"/records/{head.id}?reason=court%20order&by=ann", headers=as_admin(node))

    assert (answer.status, answer.json()["done"], answer.json()["records"]) == (200, True, 1)
    for path in ("/claims/example/garden", f"/records/{head.id}"):
        gone = await client.get(path)
        assert gone.refusal == (410, "erased")
        facts = {name: gone.json()[name] for name in ("reason", "owner", "id", "erased")}
        assert facts == {"reason": "court order", "owner": BOB.public, "id": head.id, "erased": NOW}


async def test_the_bytes_of_erased_bodies_are_in_no_file(client: Client, node: Node) -> None:
    await planted(client)
    assert holds(node)

    removal = await removed(client, node, {"domain": "example", "label": "garden"})

    assert (removal["records"], removal["done"]) == (3, True)
    assert not holds(node)


async def test_a_history_shows_skeletons_and_why_they_are_erased(client: Client, node: Node) -> None:
    founder, *_ = records = await planted(client)
    before = (await client.get("/claims/example/garden/history")).json()

    await removed(client, node, {"ids": [founder.id], "reason": "spam"})

    after = (await client.get("/claims/example/garden/history")).json()
    skeleton = {name: before["records"][0]["record"][name] for name in ("domain", "label", "signedby", "timestamp")}
    erased = {"record": skeleton, "erased": {"time": NOW, "reason": "spam"}}
    assert after == before | {"records": [before["records"][0] | erased, *before["records"][1:]]}
    assert [each["id"] for each in after["records"]] == [record.id for record in records]


async def test_listings_leave_erased_records_out(client: Client, node: Node) -> None:
    *_, head = records = await planted(client)
    others = [fresh("lake"), fresh("pond")]
    for record in others:
        await client.put(record)

    await removed(client, node, {"ids": [head.id]})

    assert listed(await client.get("/claims")) == shown(*others)
    assert listed(await client.get("/claims/example?limit=1")) == shown(others[0])
    assert listed(await client.get(f"/claims/example?signedby={BOB.public}")) == []
    assert listed(await client.get("/claims?history=true")) == shown(*records[:2], *others)
    ids = (await client.get("/claims/example?history=true&ids=true")).json()
    assert len(ids) == 5, "ids stay, because the fingerprint counts them"


async def test_a_page_of_a_history_is_full_although_records_before_it_are_erased(client: Client, node: Node) -> None:
    """A peer that syncs takes an empty page that leads to another one for a fault."""
    records = [claim("garden", at=NOW + at) for at in range(-9, 0)]
    for record in records:
        await client.put(record)

    await removed(client, node, {"ids": [each.id for each in records[1:7]]})

    first = await client.get("/claims/example?history=true&limit=2")
    assert listed(first) == shown(records[0], records[7])
    assert 'rel="next"' in first.headers["Link"]


async def test_records_by_ids_name_the_erased_ones_in_a_header(client: Client, node: Node) -> None:
    founder, offered, _ = await planted(client)
    await removed(client, node, {"ids": [founder.id]})

    answer = await client.get(f"/records?id={founder.id}&id={offered.id}&id={NOWHERE}")
    alone = await client.get(f"/records?id={founder.id}")

    assert (listed(answer), answer.headers["Dnarc-Erased"]) == (shown(offered), founder.id[:16])
    assert (alone.status, listed(alone), alone.headers["Dnarc-Erased"]) == (200, [], founder.id[:16])


async def test_an_erased_record_that_comes_again_is_known(client: Client, node: Node) -> None:
    *_, head = await planted(client)
    await removed(client, node, {"ids": [head.id]})

    again = await client.put(head)
    followed = await client.put(claim("garden", BOB, NOW + 1, prev=head))

    assert again.status == 200
    assert [each["status"] for each in again.json().values()] == ["known"]
    assert followed.status == 201, "the skeleton is the head that the next record follows"
    assert not holds(node, "the end")


async def test_summaries_and_owners_stay_as_they_were(client: Client, node: Node) -> None:
    await planted(client)
    before = (await client.get("/node")).json()["domains"]

    await removed(client, node, {"domain": "example"})

    assert (await client.get("/node")).json()["domains"] == before


@BOTH
async def test_streams_skip_the_events_of_erased_records(client: Client, node: Node, path: str) -> None:
    founder, offered, head = await planted(client)
    await removed(client, node, {"ids": [offered.id]})

    async with listening(node, path, "?since=0") as listener:
        streamed = [(await listener.event())["id"] for _ in range(2)]

    events = await node.store.events(0, 10)
    assert [each.event.record.is_erased for each in events] == [False, True, False]
    assert streamed == [founder.id, head.id]


@pytest.mark.parametrize(
    ("target", "counted"),
    [
        ({"key": BOB.public}, 1),
        ({"key": ALICE.public, "domain": "example"}, 2),
        ({"domain": "example"}, 3),
        ({"domain": "elsewhere"}, 0),
    ],
)
async def test_a_dry_run_counts_and_changes_nothing(
    client: Client, node: Node, target: Mapping[str, str], counted: int
) -> None:
    *_, head = await planted(client)

    answer = await removed(client, node, {**target, "dry_run": True})

    assert answer["records"] == counted
    assert listed(await client.get("/claims")) == shown(head)
    assert (await client.get("/removals")).json() == {"removals": [], "dropped": []}


async def test_what_was_removed_is_listed_newest_first(client: Client, node: Node) -> None:
    founder, _, head = await planted(client)
    first = await removed(client, node, {"ids": [founder.id], "reason": "one", "by": "ann"})
    second = await removed(client, node, {"ids": [head.id], "reason": "two"})

    whole = await client.get("/removals")
    page = await client.get(f"/removals?before={second['number']}&limit=1")

    assert whole.json() == {"removals": [second, first], "dropped": []}
    assert page.json()["removals"] == [first]
    assert (first["by"], first["reason"], first["target"]) == ("ann", "one", {"ids": [founder.id]})


BAD = {
    "nothing": b"",
    "no target": b"{}",
    "a label alone": b'{"label": "garden"}',
    "a key and a label": b'{"key": "%s", "label": "a", "domain": "a"}' % ALICE.public.encode(),
    "ids and a domain": b'{"ids": ["%s"], "domain": "example"}' % NOWHERE.encode(),
    "no id": b'{"ids": ["1"]}',
    "no domain": b'{"domain": "-"}',
    "no key": b'{"key": "1"}',
    "an unknown field": b'{"domain": "example", "x": 1}',
    "an unknown kind": b'{"domain": "example", "kind": "burn"}',
    "a drop of a label": b'{"domain": "example", "label": "a", "kind": "drop"}',
    "too many ids": json.dumps({"ids": [NOWHERE] * (IDS_MAX + 1)}).encode(),
    "a long reason": json.dumps({"domain": "example", "reason": "x" * (REASON_CHARACTERS_MAX + 1)}).encode(),
    "a long name": json.dumps({"domain": "example", "by": "x" * (BY_CHARACTERS_MAX + 1)}).encode(),
    "a line feed": b'{"domain": "example", "reason": "a\\nb"}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
async def test_a_removal_that_cannot_be_read_is_refused(client: Client, node: Node, body: bytes) -> None:
    assert (await client.send("POST", "/removals", body, as_admin(node))).refusal == (400, "malformed")


async def test_a_removal_has_a_longest_body(client: Client, node: Node) -> None:
    answer = await client.send("POST", "/removals", b" " * (REMOVAL_BYTES_MAX + 1), as_admin(node))

    assert answer.refusal == (413, "too_large")


async def test_one_removal_past_the_queue_is_refused_although_all_come_at_once(node: Node) -> None:
    """The store makes each removal durable in turn, and those that wait for the store count as well."""
    target = Target(domain="nowhere.example")

    begun = [node.removals.begin(RemovalKind.ERASE, target, "op", "") for _ in range(QUEUE_MAX + 1)]
    results = await asyncio.gather(*begun, return_exceptions=True)

    refused = [each for each in results if isinstance(each, BaseException)]
    assert [each.code for each in refused if isinstance(each, ProtocolError)] == [Code.OVERLOADED]


async def test_removals_are_counted_for_the_metrics_page(client: Client, node: Node) -> None:
    founder, *_ = await planted(client)
    await removed(client, node, {"ids": [founder.id]})
    await removed(client, node, {"kind": "drop", "domain": "elsewhere"})

    await client.get(f"/records?id={founder.id}")
    await client.get(f"/records/{founder.id}")

    page = (await client.get("/metrics")).body.decode().splitlines()
    expected = {
        'dnarc_removals_total{kind="erase"}': 1,
        'dnarc_removals_total{kind="drop"}': 1,
        "dnarc_erased_records_total": 1,
        "dnarc_erased_asked_total": 2,
        "dnarc_unfinished_removals": 0,
    }
    assert {f"{name} {float(figure)}" for name, figure in expected.items()} <= set(page)


async def test_a_record_that_is_not_held_cannot_be_erased(client: Client, node: Node) -> None:
    by_id = await client.send("DELETE", f"/records/{NOWHERE}", headers=as_admin(node))
    in_list = await client.send("POST", "/removals", json.dumps({"ids": [NOWHERE]}).encode(), as_admin(node))

    assert by_id.refusal == in_list.refusal == (404, "unknown_record")
    assert by_id.json()["ids"] == [NOWHERE]


async def test_what_witnesses_said_is_not_erasable(client: Client, node: Node) -> None:
    body = json.dumps({"domain": WITNESSED, "label": "@policy"}).encode()

    assert (await client.send("POST", "/removals", body, as_admin(node))).refusal == (403, "not_erasable")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", f"/records/{NOWHERE}"), ("POST", "/removals"), ("DELETE", "/dropped?domain=example")],
)
async def test_only_the_admin_token_may_remove(client: Client, method: str, path: str) -> None:
    assert (await client.send(method, path)).refusal == (401, "unauthorized")


@pytest.mark.parametrize("number", ["1", "x", "0", "9" * 30])
async def test_an_unknown_removal_is_not_found(client: Client, number: str) -> None:
    assert (await client.get(f"/removals/{number}")).status == 404


async def test_a_removal_that_a_crash_interrupted_is_finished_at_the_start(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as pipe:
        await pipe.take(claim("garden", at=1_000_000, text=SECRET))
        await pipe.store.removals.begin(RemovalKind.ERASE, Target(domain="example"), "op", "", 1)

    async with Node(Settings(data=tmp_path, port=0)) as node:
        assert not holds(node)
        (removal,) = await node.store.removals.list(None, 9)
        assert removal.is_done


async def test_a_dropped_domain_is_hidden_refused_and_warned_of(client: Client, node: Node) -> None:
    await planted(client)

    removal = await removed(client, node, {"kind": "drop", "domain": "example", "reason": "junk"})

    again = await client.put(claim("garden", BOB, NOW + 1))
    undone = await client.send("DELETE", "/dropped?domain=example", headers=as_admin(node))
    unknown = await client.send("DELETE", "/dropped?domain=other", headers=as_admin(node))
    assert (removal["bodies_gone"], removal["done"], removal["records"]) == (True, False, 3)
    assert not holds(node)
    assert (await client.get("/domains")).json() == []
    assert (await client.get("/claims/example/garden")).refusal == (404, "unknown_domain")
    assert (await client.get("/removals")).json()["dropped"] == ["example"]
    assert [each["code"] for each in again.json().values()] == ["unknown_domain"]
    assert (undone.refusal, unknown.refusal) == ((412, "precondition_failed"), (404, "unknown_domain"))
    assert any("dropped domains have skeletons" in each for each in node.warnings())
