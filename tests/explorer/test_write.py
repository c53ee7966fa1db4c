"""Write a claim: keys that stay in the browser, claims that it signs, and what the node says of them."""

import json
import time
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, expect

from node.client import keyfile
from node.node import Node
from protocol.records.record import Record, SignedRecord, decode
from protocol.signing import SigningKey
from tests.explorer.browsing import NOW, Explorer, hold, recent
from tests.history import ALICE, BOB

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def make_key(explorer: Explorer) -> str:
    await explorer.button("Make a new key").click()
    return await explorer.page.locator(".own code").inner_text()


async def load_key(explorer: Explorer, key: SigningKey, seed: bytes) -> None:
    """Load a key file, as `dnarc keygen` writes it, in the place of whatever key is there."""
    if await explorer.button("Forget it").is_visible():
        await explorer.button("Forget it").click()
    body = json.dumps({"version": 1, "public": key.public, "seed": seed.hex()}).encode()
    file = FilePayload(name="dnarc.key", mimeType="application/json", buffer=body)
    await explorer.page.locator("#key-file").set_input_files(file)
    await expect(explorer.page.locator(".own code")).to_have_text(key.public)


async def name(explorer: Explorer, domain: str, label: str) -> None:
    await explorer.field("Domain").fill(domain)
    await explorer.field("Label").fill(label)


async def claim_field(explorer: Explorer, field: str, value: str) -> None:
    await explorer.field("Name of a field").last.fill(field)
    await explorer.field("Value of the field").last.fill(value)


async def send(explorer: Explorer, expected: str) -> None:
    await explorer.button("Sign and send").click()
    await expect(explorer.page.locator(".result")).to_contain_text(expected)


async def head_of(node: Node, domain: str = "example.org", label: str = "garden") -> SignedRecord:
    head = await node.store.head(domain, label)
    assert head is not None
    return SignedRecord(head.signature, decode(head.body))


def content_of(record: Record) -> dict[str, object]:
    own = ("domain", "label", "signedby", "timestamp", "newowner", "prev")
    return {key: value for key, value in json.loads(record.canonical).items() if key not in own}


SEEDS = {ALICE.public: b"alice".ljust(32, b"."), BOB.public: b"bob".ljust(32, b".")}


async def test_a_claim_is_signed_in_the_browser_and_taken_by_the_node(explorer: Explorer, node: Node) -> None:
    await explorer.go("write")
    key = await make_key(explorer)
    await name(explorer, "example.org", "garden")
    await expect(explorer.page.locator(".standing")).to_have_text("Nobody has this label here: you will found it.")
    await claim_field(explorer, "gate", "green")
    await explorer.button("Add a field").click()
    await claim_field(explorer, "area", "12.50")
    await explorer.button("Add a field").click()
    await claim_field(explorer, "tags", '["a", "é", null]')

    await send(explorer, "Founded")

    head = await head_of(node)
    assert head.is_genuine()
    assert head.record.signedby == key
    assert content_of(head.record) == {"gate": "green", "area": 12.5, "tags": ["a", "é", None]}
    await expect(explorer.page.locator(".standing")).to_have_text("You own garden.")


async def test_what_will_be_signed_is_shown_before(explorer: Explorer) -> None:
    await explorer.go("write")
    await expect(explorer.page.locator(".preview")).to_have_text("Make or load a key first.")
    await load_key(explorer, ALICE, SEEDS[ALICE.public])
    await name(explorer, "example.org", "garden")
    await claim_field(explorer, "z", "1e3")

    shown = explorer.page.get_by_label("The bytes that will be signed")
    await expect(shown).to_contain_text(f'{{"domain":"example.org","label":"garden","signedby":"{ALICE.public}"')
    await expect(shown).to_contain_text('"z":1000}')


async def test_an_update_names_the_head_that_it_follows(explorer: Explorer, node: Node) -> None:
    ahead = int(time.time()) + 100
    before = recent(domain="example.org", ago=NOW - ahead, gate="green")
    await hold(node, before)
    await explorer.go("write", query="?domain=example.org&label=garden")
    await load_key(explorer, ALICE, SEEDS[ALICE.public])
    await expect(explorer.field("Name of a field")).to_have_value("gate")
    await claim_field(explorer, "gate", "blue")

    await send(explorer, "Updated")

    head = await head_of(node)
    assert (head.record.prev, head.record.timestamp) == (before.id, before.timestamp + 1)
    assert content_of(head.record) == {"gate": "blue"}


async def test_a_claim_that_is_sent_at_once_waits_for_the_head_that_it_follows(explorer: Explorer, node: Node) -> None:
    before = recent(domain="example.org", ago=100, gate="green")
    await hold(node, before)
    await explorer.go("write")
    await load_key(explorer, ALICE, SEEDS[ALICE.public])
    await claim_field(explorer, "gate", "blue")
    await name(explorer, "example.org", "garden")

    await send(explorer, "Updated")

    head = await head_of(node)
    assert (head.record.prev, content_of(head.record)) == (before.id, {"gate": "blue"})


async def test_a_label_is_offered_to_another_key_which_accepts_it(explorer: Explorer, node: Node) -> None:
    await hold(node, recent(domain="example.org", ago=100, gate="green"))
    await explorer.go("label", "example.org", "garden")
    await explorer.page.get_by_role("link", name="Offer to another key").click()
    await load_key(explorer, ALICE, SEEDS[ALICE.public])
    await expect(explorer.page.locator(".preview")).to_contain_text("The new owner is a public key")
    await explorer.field("New owner").fill(BOB.public)

    await send(explorer, "Offered")

    await load_key(explorer, BOB, SEEDS[BOB.public])
    await explorer.button("Accept").click()
    await expect(explorer.page.locator(".standing")).to_contain_text("is offered to you by")
    await send(explorer, "Transferred")
    head = await head_of(node)
    assert (head.record.signedby, content_of(head.record)) == (BOB.public, {"gate": "green"})


async def test_a_refusal_shows_its_code_and_what_to_do(explorer: Explorer, node: Node) -> None:
    await hold(node, recent(domain="example.org", ago=100))
    await explorer.go("write", query="?domain=example.org&label=garden")
    await make_key(explorer)
    await expect(explorer.page.locator(".standing")).to_contain_text("is owned by")

    await send(explorer, "not_owner")

    alert = explorer.page.get_by_role("alert")
    await expect(alert).to_contain_text("Load the key that owns the label, or have its owner offer it to your key.")
    assert (await head_of(node)).record.signedby == ALICE.public
    explorer.said = [line for line in explorer.said if "403" not in line]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', 'the key "a" is repeated'),
        ('{"a": 9007199254740993}', "beyond 2^53-1"),
        ('{"a": ', "not JSON"),
        ("[1]", "A claim is a JSON object."),
        ('{"timestamp": 5}', "timestamp is set by this page itself"),
        ('{"a": "\\ud800"}', "half of a character"),
    ],
)
async def test_json_that_cannot_be_signed_is_explained(explorer: Explorer, text: str, words: str) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")
    await make_key(explorer)
    await explorer.field("Write it as JSON").check()

    await explorer.field("The claim as JSON").fill(text)

    await expect(explorer.page.locator(".preview")).to_contain_text(words)
    await expect(explorer.button("Sign and send")).to_be_disabled()


async def test_json_is_signed_as_it_is_meant_whatever_its_keys(explorer: Explorer, node: Node) -> None:
    content = {"__proto__": {"x": 1}, "constructor": None, "10": "b", "9": "a", "é😀": [1e-7, 1e21, 0.1, -0.5]}
    await explorer.go("write", query="?domain=example.org&label=garden")
    await make_key(explorer)
    await explorer.field("Write it as JSON").check()
    await explorer.field("The claim as JSON").fill(json.dumps(content))

    await send(explorer, "Founded")

    assert content_of((await head_of(node)).record) == content


async def test_the_key_never_leaves_the_browser(explorer: Explorer, node: Node, tmp_path: Path) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")
    key = await make_key(explorer)
    async with explorer.page.expect_download() as download:
        await explorer.button("Save the key file").click()
    path = tmp_path / "saved.key"
    await (await download.value).save_as(path)
    await send(explorer, "Founded")
    await explorer.button("Keep in this browser").click()
    await expect(explorer.page.locator("#announcer")).to_have_text("the key is kept in this browser")
    await explorer.page.reload()

    await expect(explorer.page.locator(".own code")).to_have_text(key)
    saved = keyfile.load(path)
    seed = json.loads(path.read_text())["seed"]
    kept = await explorer.page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
    assert saved.public == key
    assert [each for each in (*explorer.sent, kept) if seed in each] == []
    await expect(explorer.button("Save the key file")).to_have_count(0)  # what is kept can sign and cannot be read
    await explorer.button("Forget it").click()
    await expect(explorer.button("Make a new key")).to_be_visible()
    await explorer.page.reload()
    await expect(explorer.button("Make a new key")).to_be_visible()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"not json", "it holds no JSON"),
        (b"{}", "it has no `seed`"),
        (b'{"version":1,"sealed":{}}', "sealed with a passphrase"),
        (json.dumps({"version": 1, "public": "0" * 64, "seed": "1" * 64}).encode(), "belongs to another public key"),
        (b" " * 5_000, "too large"),
    ],
)
async def test_a_file_that_is_no_key_is_explained(explorer: Explorer, body: bytes, words: str) -> None:
    await explorer.go("write")

    file = FilePayload(name="x.key", mimeType="application/json", buffer=body)
    await explorer.page.locator("#key-file").set_input_files(file)

    await expect(explorer.page.get_by_role("alert")).to_contain_text(words)
    await expect(explorer.button("Make a new key")).to_be_visible()
