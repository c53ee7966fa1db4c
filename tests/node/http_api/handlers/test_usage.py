"""What fills the store, over HTTP."""

from typing import Any

import pytest

from node.node import Node
from node.settings.settings import Settings
from node.world import World
from protocol.records.record import Record
from tests.history import ALICE, BOB, claim, signed
from tests.node.http_api.talking import NOW, Client, as_admin

RECORDS = [
    claim("a", ALICE, NOW, text="x" * 100),
    claim("b", BOB, NOW),
    claim("c", ALICE, NOW, domain="other", text="y" * 1_000),
]


def sizes(*records: Record) -> dict[str, int]:
    return {"records": len(records), "bytes": sum(len(record.canonical) for record in records)}


async def fill(client: Client) -> None:
    answer = await client.put_batch(RECORDS)
    assert answer.status == 200


async def test_the_operator_sees_the_largest_domains_and_keys(client: Client, node: Node) -> None:
    await fill(client)

    usage = (await client.get("/usage")).json()

    a, b, c = RECORDS
    assert usage["domains"] == [{"domain": "other"} | sizes(c), {"domain": "example"} | sizes(a, b)]
    assert usage["keys"] == [{"key": ALICE.public} | sizes(a, c), {"key": BOB.public} | sizes(b)]
    assert {name: usage[name] for name in ("records", "bytes")} == sizes(*RECORDS)
    assert usage["quotas"] == dict.fromkeys(usage["quotas"], None)
    assert usage["store"]["bytes"] > sizes(*RECORDS)["bytes"]
    assert usage["disk"]["min"] == Settings().disk_free_bytes_min


async def test_keys_are_shown_of_one_domain_and_up_to_a_limit(client: Client) -> None:
    await fill(client)

    of_domain = (await client.get("/usage?domain=example")).json()
    one = (await client.get("/usage?limit=1")).json()

    a, b, _ = RECORDS
    assert of_domain["keys"] == [{"key": ALICE.public} | sizes(a), {"key": BOB.public} | sizes(b)]
    assert (len(one["domains"]), len(one["keys"])) == (1, 1)
    assert one["records"] == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "domain=-", "what=1"])
async def test_a_wrong_question_is_refused(client: Client, query: str) -> None:
    assert (await client.get(f"/usage?{query}")).refusal == (400, "malformed")


async def test_a_stranger_does_not_see_it(client: Client, node: Node) -> None:
    stranger: dict[str, Any] = {"X-Forwarded-For": "192.0.2.1"}

    assert (await client.get("/usage", stranger)).refusal == (401, "unauthorized")
    assert (await client.get("/usage", stranger | as_admin(node))).status == 200


async def test_a_record_past_a_quota_gets_507_with_the_quota(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings(port=0, data=tmp_path_factory.mktemp("quota") / "data", key_records_max=1)
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        first, second = (claim(label, ALICE, NOW) for label in ("a", "b"))
        await client.put(first)
        answer = await client.put(second)
        limits = (await client.get("/node")).json()["limits"]
        figures = (await client.get("/metrics")).body.decode()

    outcome = answer.json()[signed(second).signature]
    assert answer.status == 507
    assert (limits["key_records_max"], limits["key_bytes_max"]) == (1, None)
    assert (outcome["status"], outcome["code"], outcome["quota"]) == ("refused", "quota_exceeded", "key_records_max")
    assert 'dnarc_domain_records{domain="example"} 1.0' in figures
    assert 'dnarc_records_refused_total{code="quota_exceeded",trust="client"} 1.0' in figures
