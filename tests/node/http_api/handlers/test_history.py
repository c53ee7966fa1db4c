"""The history of a label over HTTP: it is read in pages and arrives as one answer."""

from contextlib import aclosing

from node.http_api.answers.pages import PAGE_BYTES_MAX, PAGE_RECORDS_MAX
from node.http_api.handlers.history import history_pages
from node.node import Node
from protocol.records.replay import Verdict
from tests.history import ALICE, BOB, NOWHERE, claim, offer
from tests.node.http_api.talking import NOW, Client, shown

TEXT_BYTES = 60_000
"""The size of a large record."""


async def test_a_history_holds_every_record_with_its_verdict(client: Client, node: Node) -> None:
    founded = claim("garden", ALICE, at=1)
    rival = claim("garden", BOB, at=2)
    offered = offer("garden", ALICE, to=BOB, at=3)
    transferred = claim("garden", BOB, at=4)
    await client.import_all(node, [transferred, rival, founded, offered])

    answer = await client.get("/claims/example/garden/history")

    verdicts = [(founded, "founded"), (rival, "rival"), (offered, "offered"), (transferred, "transferred")]
    assert answer.json() == {
        "domain": "example",
        "label": "garden",
        "owner": BOB.public,
        "head": transferred.id,
        "contested": True,
        "records": [
            {"id": record.id, "signature": signature, "verdict": verdict, "received": NOW, "record": body}
            for record, verdict in verdicts
            for signature, body in shown(record)
        ],
    }


async def test_a_history_without_a_founding_has_no_head(client: Client, node: Node) -> None:
    orphan = claim("garden", at=1, prev=NOWHERE)
    await client.import_all(node, [orphan])

    history = (await client.get("/claims/example/garden/history")).json()
    head = await client.get("/claims/example/garden")

    assert (history["owner"], history["head"], history["contested"]) == (None, None, False)
    assert [entry["verdict"] for entry in history["records"]] == ["orphan"]
    assert head.refusal == (404, "unknown_label")


async def test_a_history_of_many_pages_is_whole_and_in_order(client: Client, node: Node) -> None:
    records = [claim("garden", at=at) for at in range(1, 2 * PAGE_RECORDS_MAX + 2)]
    await client.import_all(node, records)

    history = (await client.get("/claims/example/garden/history")).json()

    assert [entry["id"] for entry in history["records"]] == [record.id for record in records]
    assert history["head"] == records[-1].id


async def test_a_history_is_consistent_although_verdicts_change_while_it_is_sent(client: Client, node: Node) -> None:
    records = [claim("garden", at=at) for at in range(2, PAGE_RECORDS_MAX + 4)]
    await client.import_all(node, records)
    outline = await node.store.outline("example", "garden")

    async with aclosing(history_pages(node.store, outline)) as pages:
        shown_first = await anext(pages)
        await client.import_all(node, [claim("garden", BOB, at=1)])
        shown_later = [entry async for page in pages for entry in page]

    shown_all = [*shown_first, *shown_later]
    assert shown_later, "the other founding arrived between two pages"
    assert [entry.signed.record for entry in shown_all] == records
    assert [entry.verdict for entry in shown_all] == [Verdict.FOUNDED, *[Verdict.UPDATED] * (len(records) - 1)]


async def test_a_page_of_large_records_has_few_records(client: Client, node: Node) -> None:
    records = [claim("garden", at=at, text="x" * TEXT_BYTES) for at in range(1, 101)]
    await client.import_all(node, records)
    outline = await node.store.outline("example", "garden")

    async with aclosing(history_pages(node.store, outline)) as pages:
        sizes = [len(page) async for page in pages]

    assert sum(sizes) == len(records)
    assert max(sizes) * TEXT_BYTES <= 2 * PAGE_BYTES_MAX
