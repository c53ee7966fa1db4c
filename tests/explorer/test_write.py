"""Write a claim: the browser signs, and the page shows the node's answer."""

import json
import time

import pytest
from playwright.async_api import expect

from node.node import Node
from protocol.records.record import Record, SignedRecord, decode
from tests.explorer.browsing import NOW, Explorer, hold, recent
from tests.history import ALICE, BOB

pytestmark = pytest.mark.asyncio(loop_scope="session")


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


async def test_a_claim_is_signed_in_the_browser_and_taken_by_the_node(explorer: Explorer, node: Node) -> None:
    await explorer.go("write")
    key = await explorer.make_key()
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


async def test_the_bytes_are_shown_before_they_are_signed(explorer: Explorer) -> None:
    await explorer.go("write")
    await expect(explorer.page.locator(".preview")).to_have_text("Make or load a key first.")
    await explorer.load_key(ALICE)
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
    await explorer.load_key(ALICE)
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
    await explorer.load_key(ALICE)
    await claim_field(explorer, "gate", "blue")
    await name(explorer, "example.org", "garden")

    await send(explorer, "Updated")

    head = await head_of(node)
    assert (head.record.prev, content_of(head.record)) == (before.id, {"gate": "blue"})


async def test_a_label_is_offered_to_another_key_which_accepts_it(explorer: Explorer, node: Node) -> None:
    await hold(node, recent(domain="example.org", ago=100, gate="green"))
    await explorer.go("label", "example.org", "garden")
    await explorer.page.get_by_role("link", name="Offer to another key").click()
    await explorer.load_key(ALICE)
    await expect(explorer.page.locator(".preview")).to_contain_text("The new owner is a public key")
    await explorer.field("New owner").fill(BOB.public)

    await send(explorer, "Offered")

    await explorer.load_key(BOB)
    await explorer.button("Accept").click()
    await expect(explorer.page.locator(".standing")).to_contain_text("is offered to you by")
    await send(explorer, "Transferred")
    head = await head_of(node)
    assert (head.record.signedby, content_of(head.record)) == (BOB.public, {"gate": "green"})


async def test_a_refusal_shows_its_code_and_what_to_do(explorer: Explorer, node: Node) -> None:
    """The owner writes elsewhere after the page read the head and before it sends."""
    await hold(node, recent(domain="example.org", ago=100, gate="green"))
    await explorer.go("write", query="?domain=example.org&label=garden")
    await explorer.load_key(ALICE)
    await expect(explorer.page.locator(".standing")).to_contain_text("You own")
    newer = recent(domain="example.org", ago=50, gate="blue")
    await hold(node, newer)

    await send(explorer, "stale")

    await expect(explorer.page.get_by_role("alert")).to_contain_text("Somebody wrote first. Read the label again")
    assert (await head_of(node)).record == newer
    explorer.said = [line for line in explorer.said if "409" not in line]


@pytest.mark.parametrize("mode", ["claim", "transfer", "accept"])
async def test_a_label_of_another_key_cannot_be_signed_for(explorer: Explorer, node: Node, mode: str) -> None:
    await hold(node, recent(domain="example.org", ago=100))
    await explorer.go("write", query=f"?domain=example.org&label=garden&mode={mode}")
    await explorer.load_key(BOB)
    await expect(explorer.page.locator(".standing")).to_contain_text("is owned by")

    words = "This label is not offered to your key." if mode == "accept" else "Your key does not own this label."
    await expect(explorer.page.locator(".preview")).to_contain_text(words)
    await expect(explorer.button("Sign and send")).to_be_disabled()


@pytest.mark.parametrize("mode", ["transfer", "accept"])
async def test_a_free_label_can_be_neither_offered_nor_accepted(explorer: Explorer, mode: str) -> None:
    await explorer.go("write", query=f"?domain=example.org&label=garden&mode={mode}")
    await explorer.load_key(BOB)

    await expect(explorer.page.locator(".preview")).to_contain_text("there is nothing to offer or to accept")
    await expect(explorer.button("Sign and send")).to_be_disabled()


async def test_each_mode_says_what_it_does(explorer: Explorer) -> None:
    """A phone shows no tooltips."""
    await explorer.go("write")
    meaning = explorer.page.locator(".meaning")
    await expect(meaning).to_have_text("Found a label, or update one that you own.")

    await explorer.button("Offer").click()

    await expect(meaning).to_contain_text("It stays yours until that key accepts.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', 'the key "a" is repeated'),
        ('{"a": 9007199254740993}', "beyond 2^53-1"),
        ('{"a": ', "not JSON"),
        ("[1]", "A claim is a JSON object."),
        ('{"timestamp": 5}', "The page itself sets timestamp"),
        ('{"a": "\\ud800"}', "half of a character"),
    ],
)
async def test_json_that_cannot_be_signed_is_explained(explorer: Explorer, text: str, words: str) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")
    await explorer.make_key()
    await explorer.field("Write it as JSON").check()

    await explorer.field("The claim as JSON").fill(text)

    await expect(explorer.page.locator(".preview")).to_contain_text(words)
    await expect(explorer.button("Sign and send")).to_be_disabled()


async def test_json_with_unusual_keys_is_signed_unchanged(explorer: Explorer, node: Node) -> None:
    content = {"__proto__": {"x": 1}, "constructor": None, "10": "b", "9": "a", "é😀": [1e-7, 1e21, 0.1, -0.5]}
    await explorer.go("write", query="?domain=example.org&label=garden")
    await explorer.make_key()
    await explorer.field("Write it as JSON").check()
    await explorer.field("The claim as JSON").fill(json.dumps(content))

    await send(explorer, "Founded")

    assert content_of((await head_of(node)).record) == content
