"""A witnessed domain: how sure each record is, what the witnesses said, and the proof that the browser checks alone."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Page, Route, expect

from node.durable_files import write_durably
from node.intake.arrivals import BY_REQUEST, Origin
from node.node import Node
from node.settings.settings import Settings
from node.witness.newest import path_of, spell_begin
from protocol.errors import ProtocolError
from protocol.records.admission import Trust
from protocol.records.record import Record, SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.label import WitnessedLabel
from protocol.witness.policy import make_policy
from protocol.witness.proof import check_proof
from protocol.witness.receipt import receipt_label, receipt_of
from protocol.witness.testimony import Evidence
from protocol.witness.walk import Standings
from tests.explorer.browsing import Explorer
from tests.explorer.test_looks import CONTROLS, FAINT
from tests.explorer.test_write import claim_field, name, send
from tests.history import ALICE, BOB
from tests.node.witness.registrar import take_key
from tests.protocol.witness import test_proof, test_receipt
from tests.protocol.witness.council import council_policy, follower, founding, key_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = [SigningKey(bytes([number]) * 32) for number in (11, 12, 13, 14)]
POLICY = make_policy([key.public for key in KEYS], 1)
DOMAIN = f"com.example.{POLICY.name}"
LABEL = "garden"
NOW_S = int(time.time()) - 100


def signed(by: SigningKey, label: str = LABEL, **fields: Any) -> SignedRecord:
    return sign(make({"domain": DOMAIN, "label": label, "signedby": by.public, "timestamp": NOW_S} | fields), by)


def receipt(by: SigningKey, at_ms: int, **said: Any) -> SignedRecord:
    return signed(by, receipt_label(by.public), at=at_ms, timestamp=at_ms // 1_000, **said)


def id_of(entry: SignedRecord) -> str:
    return entry.record.id


FOUNDED = signed(ALICE, gate="green")
LOST = signed(BOB, gate="red")
UPDATED = signed(ALICE, prev=id_of(FOUNDED), gate="blue")
PENDING = signed(ALICE, prev=id_of(UPDATED), gate="black")
AT_MS = NOW_S * 1_000
RECEIPTS = [
    receipt(
        key,
        AT_MS + 100 * number,
        first={id_of(FOUNDED): AT_MS + 70 * number, **({id_of(UPDATED): AT_MS + 90} if number in (1, 3) else {})},
        seen={id_of(LOST): AT_MS + 80 * number},
        **({"commit": {"0": [id_of(FOUNDED)]}} if number != 2 else {}),
    )
    for number, key in enumerate(KEYS, start=1)
]
POLICY_RECORD = signed(BOB, "@policy", faulty=1, witnesses=list(POLICY.witnesses))


async def give(node: Node, *entries: SignedRecord) -> None:
    await node.ingest.take_records(list(entries), Origin(Trust.PEER), BY_REQUEST)


@pytest_asyncio.fixture(loop_scope="session")
async def council(node: Node) -> Node:
    """A node that holds a domain of four witnesses: a final founding, an ordered update, and a pending one."""
    await give(node, POLICY_RECORD, FOUNDED, LOST, UPDATED, PENDING, *RECEIPTS)
    return node


@pytest_asyncio.fixture(loop_scope="session")
async def label(explorer: Explorer, council: Node) -> AsyncIterator[Explorer]:
    await explorer.go("label", DOMAIN, LABEL)
    await expect(explorer.page.locator(".proof-found")).to_contain_text("Proven here")
    yield explorer


WALK = """async histories => {
    const { walk } = await import("/explorer/walk.js");
    return histories.map(history => walk(history).map(({ entry, verdict, certainty }) =>
        [entry.id, verdict, certainty]));
}"""


def some_label(random: Random) -> tuple[list[Record], dict[str, Evidence]]:
    """Random records of one label, and what witnesses said of them."""
    records: list[Record] = []
    for _ in range(random.randrange(1, 10)):
        before = random.choice([None, *records])
        author = random.randrange(3)
        fields = {"n": random.randrange(9), **({"newowner": key_of(2, "b")} if random.random() < 0.3 else {})}
        records.append(
            founding(WALKED, author, **fields) if before is None else follower(WALKED, before, author, **fields)
        )
    said = {record.id: some_evidence(random) for record in records}
    kept = [record for record in records if random.random() < 0.9]
    random.shuffle(kept)
    return list({record.id: record for record in kept}.values()), said


def some_evidence(random: Random) -> Evidence:
    witnesses = WALKED.witnesses
    times_ms = {key: random.randint(1, 5) for key in random.sample(witnesses, random.randrange(4))}
    commits = {0: dict.fromkeys(witnesses[:3], "")} if random.random() < 0.4 else {}
    return Evidence(times_ms, {}, commits)


WALKED = council_policy(witnesses=4, faulty=1)


def expected_of(records: Sequence[Record], label: WitnessedLabel) -> dict[str, tuple[str, str | None]]:
    def certainty(record: Record) -> str | None:
        place = label.place(record.id)
        if place is not None:
            return "final" if place < label.final else "ordered"
        return "pending" if label.winner_over(record.id) is None else None

    return {record.id: (str(label.verdicts[record.id]), certainty(record)) for record in records}


async def test_the_browser_walks_any_history_as_the_node_does(modules: Page) -> None:
    random = Random(0)
    cases = [some_label(random) for _ in range(400)]
    labels = [WitnessedLabel(Standings(WALKED), said.__getitem__) for _, said in cases]
    for each, (records, _) in zip(labels, cases, strict=True):
        each.apply(records)
    shown = [
        [
            {"id": record.id, "record": json.loads(record.canonical), "verdict": ""}
            | {"ordered": each.ordered_ms(record.id), "decided": each.is_decided(record.id)}
            for record in records
        ]
        for each, (records, _) in zip(labels, cases, strict=True)
    ]

    walked = await modules.evaluate(WALK, shown)

    for found, each, (records, _) in zip(walked, labels, cases, strict=True):
        assert {record_id: tuple(rest) for record_id, *rest in found} == expected_of(records, each)
        on_chain = [record_id for record_id, *_ in found if each.place(record_id) is not None]
        assert on_chain == [record.id for record in each.chain]


CHECK = """async ([domain, label, proofs]) => {
    const { checkProof } = await import("/explorer/proof.js");
    const found = [];
    for (const proof of proofs) {
        const { state, chain } = await checkProof(domain, label, proof);
        found.push([state, chain?.at(-1).id ?? null]);
    }
    return found;
}"""


def spelled(proof: Sequence[SignedRecord]) -> str:
    lines = [
        {"id": id_of(each), "signature": each.signature, "record": json.loads(each.record.canonical)} for each in proof
    ]
    return "\n".join(map(json.dumps, lines))


def verdict_of(domain: str, proof: Sequence[SignedRecord]) -> list[str | None]:
    try:
        return ["good", check_proof(domain, test_proof.LABEL, proof).head.id]
    except ProtocolError:
        return ["bad", None]


async def test_the_browser_believes_the_proofs_that_a_node_believes(modules: Page) -> None:
    random = Random(0)
    proofs = [test_proof.PROOF, test_proof.PROOF[::-1], *test_proof.UNPROVEN.values()]
    proofs += [random.sample(test_proof.PROOF, random.randint(1, len(test_proof.PROOF))) for _ in range(20)]
    forged = SignedRecord("0" * 128, test_proof.ENOUGH[-1].record)
    proofs.append([*test_proof.PROOF[:-1], forged])

    for domain in (test_proof.DOMAIN, f"org.example.{test_proof.POLICY.name}", "org.example"):
        asked = [domain, test_proof.LABEL, [spelled(proof) for proof in proofs]]

        found = await modules.evaluate(CHECK, asked)

        assert found == [verdict_of(domain, proof) for proof in proofs]
    assert verdict_of(test_proof.DOMAIN, test_proof.PROOF)[0] == "good"


NO_PROOFS = ["", "{}", "null", "[]", "7", "{", '{"record":null}', '{"signature":"","record":{}}', '{"a":1,"a":1}']


async def test_any_text_that_is_no_proof_proves_nothing(modules: Page) -> None:
    found = await modules.evaluate(CHECK, [DOMAIN, LABEL, NO_PROOFS])

    assert found == [["bad", None]] * len(NO_PROOFS)


async def test_the_browser_counts_the_receipts_that_a_node_counts(modules: Page) -> None:
    said = {"first": {test_receipt.ONE: 1}, "vote": {"1": [test_receipt.TWO]}, "commit": {"0": [test_receipt.TWO]}}
    records = [test_receipt.record(), test_receipt.record(**said)]
    records += [test_receipt.record(**changes) for changes in test_receipt.BROKEN.values()]

    counted = await modules.evaluate(
        'async records => { const { isReceipt } = await import("/explorer/proof.js"); return records.map(isReceipt); }',
        [json.loads(record.canonical) for record in records],
    )

    assert counted == [receipt_of(record) is not None for record in records]


async def test_each_record_shows_how_sure_it_is(label: Explorer) -> None:
    entries = label.page.locator(".timeline > .entry")
    badges = [await entry.locator(".entry-line .badge").all_inner_texts() for entry in await entries.all()]

    assert badges == [["Pending"], ["Updated", "Head", "Ordered"], ["Rival"], ["Founded", "Final"]]
    await expect(label.page.get_by_role("region", name="Head")).to_contain_text("Ordered Not final yet")
    await expect(entries.nth(0)).to_contain_text("Waiting: too few witnesses")
    for entry in await entries.all():
        await expect(entry.locator(".gutter .node").first).to_be_visible()
    await expect(label.page.locator(".trust")).to_contain_text("All 4 signatures checked in this browser")


async def test_receipts_are_ticks_with_the_names_of_the_witnesses(label: Explorer) -> None:
    founded = label.page.locator(".timeline > .entry").nth(3).locator(".testimony")

    said = await founded.locator(".witnesses li").all_inner_texts()

    by_key = {text.split()[0]: " ".join(text.split()[1:]) for text in said}
    assert by_key == {
        KEYS[0].public[:12]: "saw it first, votes in round 0, commits in round 0",
        KEYS[1].public[:12]: "saw it 70 ms later, votes in round 0",
        KEYS[2].public[:12]: "saw it 140 ms later, votes in round 0, commits in round 0",
        KEYS[3].public[:12]: "saw it 210 ms later, votes in round 0, commits in round 0",
    }
    await expect(founded).to_contain_text("Seen by 4 of 4 witnesses")
    await expect(founded).to_contain_text("decided in round 0")
    await expect(founded.locator(".tick")).to_have_count(4)
    updated = label.page.locator(".timeline > .entry").nth(1).locator(".testimony")
    await expect(updated).to_contain_text("said nothing")
    await expect(updated.locator(".tick")).to_have_count(2)


async def test_the_browser_proves_what_is_final_by_itself(label: Explorer) -> None:
    proof = label.page.locator(".proof-found")

    await expect(proof).to_contain_text("3 of 4 witnesses committed the final record")
    await expect(proof).to_contain_text(id_of(FOUNDED)[:12])
    await expect(label.page.get_by_role("region", name="Proof")).to_contain_text(
        "A quorum is 3 of 4 witnesses; 1 may lie"
    )


async def test_a_proof_is_downloaded_and_a_file_of_it_is_checked(label: Explorer) -> None:
    async with label.page.expect_download() as downloading:
        await label.page.get_by_role("link", name="Download").click()
    path = await (await downloading.value).path()
    body = await asyncio.to_thread(path.read_bytes)
    await give_file(label, body)
    await expect(label.page.locator(".proof-found")).to_contain_text("The file: Proven here")

    await give_file(label, body.replace(b'"gate":"green"', b'"gate":"white"'))

    await expect(label.page.locator(".proof-found")).to_contain_text("The file: Not proven")


async def give_file(explorer: Explorer, body: bytes) -> None:
    file = FilePayload(name="garden.proof", mimeType="application/x-ndjson", buffer=body)
    await explorer.page.locator("#proof-file").set_input_files(file)


@pytest.mark.parametrize("drops", ["@policy", "@seen"])
async def test_a_node_that_calls_something_final_without_a_proof_is_found(
    explorer: Explorer, council: Node, drops: str
) -> None:
    async def leave_out(route: Route) -> None:
        answer = await route.fetch()
        lines = [line for line in (await answer.text()).splitlines() if f'"label":"{drops}' not in line]
        await route.fulfill(response=answer, body="\n".join(lines))

    await explorer.page.route("**/proof?*", leave_out)
    await explorer.go("label", DOMAIN, LABEL)

    await expect(explorer.page.locator(".proof-found .badge")).to_have_text("Not proven")


def decision() -> list[SignedRecord]:
    """The receipts that make the update final."""
    return [
        receipt(key, AT_MS + 10_000, prev=id_of(before), commit={"1": [id_of(UPDATED)]})
        for key, before in zip(KEYS, RECEIPTS, strict=True)
    ]


async def test_a_decision_is_shown_at_once(label: Explorer, council: Node) -> None:
    await give(council, *decision())

    await expect(label.page.get_by_role("region", name="Head").locator(".badge.good")).to_have_text("Final")
    await expect(label.page.locator(".proof-found")).to_contain_text("each of the 2 final records")


async def test_a_receipt_is_shown_although_it_makes_no_event(label: Explorer, council: Node) -> None:
    pending = label.page.locator(".timeline > .entry").nth(0)
    await expect(pending.locator(".tick")).to_have_count(0)

    await give(council, receipt(KEYS[0], AT_MS + 9_000, prev=id_of(RECEIPTS[0]), first={id_of(PENDING): AT_MS + 8_000}))

    await expect(pending.locator(".tick")).to_have_count(1)
    await expect(pending.locator(".badge").first).to_have_text("Pending")


async def test_the_witnesses_own_labels_can_be_looked_at(explorer: Explorer, council: Node) -> None:
    for name_of in ("@policy", receipt_label(KEYS[0].public)):
        await explorer.go("label", DOMAIN, name_of)

        await expect(explorer.page.locator(".trust")).to_contain_text("Proven here")


async def test_a_listing_shows_how_sure_each_head_is(explorer: Explorer, council: Node) -> None:
    await explorer.go("browse", DOMAIN)

    await expect(explorer.page.locator("tbody tr .badge")).to_have_text("Ordered")


@pytest.mark.parametrize(("theme", "width"), [("light", 1_100), ("dark", 1_100), ("light", 320), ("dark", 320)])
async def test_the_page_of_a_witnessed_label_is_legible(
    browser: Browser, council: Node, theme: Any, width: int
) -> None:
    options = {"color_scheme": theme, "reduced_motion": "reduce", "viewport": {"width": width, "height": 740}}
    async with Explorer.opened(browser, council.url, **options) as explorer:
        await explorer.go("label", DOMAIN, LABEL)
        await expect(explorer.page.locator(".mark.good")).to_have_count(4)
        await expect(explorer.page.locator(".proof-found")).to_contain_text("Proven here")

        found = await explorer.page.evaluate(FAINT)
        session = await explorer.context.new_cdp_session(explorer.page)
        tree = await session.send("Accessibility.getFullAXTree")

        assert found["faint"] == []
        assert await explorer.page.evaluate("document.documentElement.scrollWidth") <= width
        unnamed = [
            each["role"]["value"]
            for each in tree["nodes"]
            if not each["ignored"] and not each.get("name", {}).get("value", "").strip()
        ]
        assert CONTROLS.isdisjoint(unnamed)


@pytest_asyncio.fixture(loop_scope="session")
async def witness(tmp_path: Path) -> AsyncIterator[tuple[Node, str]]:
    """A node that is the only witness of a domain, not begun yet, and the domain."""
    folder = tmp_path / "witness"
    folder.mkdir()
    take_key(folder)
    policy = make_policy([SigningKey(b"\x07" * 32).public], 0)
    domain = f"com.example.{policy.name}"
    async with Node(Settings(port=0, data=folder, witness=[domain])) as node:
        fields = {"domain": domain, "label": "@policy", "signedby": BOB.public, "timestamp": NOW_S}
        record = make(fields | policy.fields)
        await give(node, sign(record, BOB))
        yield node, domain


async def test_a_claim_is_final_when_the_form_says_so(browser: Browser, witness: tuple[Node, str]) -> None:
    node, domain = witness
    write_durably(path_of(node.settings.data, domain), spell_begin(None))
    async with Explorer.opened(browser, node.url) as explorer:
        await explorer.go("write")
        await explorer.load_key(ALICE)
        await name(explorer, domain, LABEL)
        await claim_field(explorer, "gate", "green")

        await send(explorer, "Final The witnesses decided it")


async def test_a_claim_that_the_witnesses_have_not_decided_is_not_called_final(
    browser: Browser, witness: tuple[Node, str]
) -> None:
    node, domain = witness
    async with Explorer.opened(browser, node.url) as explorer:
        await explorer.page.route("**/claims/*", ask_to_wait_no_longer)
        await explorer.go("write")
        await explorer.load_key(ALICE)
        await name(explorer, domain, LABEL)
        await claim_field(explorer, "gate", "green")

        await send(explorer, "Not final yet")

        await expect(explorer.page.locator(".result")).to_contain_text("Pending")


async def ask_to_wait_no_longer(route: Route) -> None:
    """The witness does not speak, so the test need not wait for as long as a person would."""
    headers = route.request.headers
    await route.continue_(headers={**headers, "prefer": "wait=1"} if headers.get("prefer") == "wait=10" else headers)


async def test_a_final_record_is_an_event_of_its_own(explorer: Explorer, council: Node) -> None:
    await explorer.go("live", query="?type=final")
    await expect(explorer.page.get_by_text("Listening")).to_be_visible()

    await give(council, *decision())

    await expect(explorer.page.locator(".events .event .badge")).to_have_text("Final")
