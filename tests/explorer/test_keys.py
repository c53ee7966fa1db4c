"""Keys: they are made, saved, loaded and kept in the browser, and nobody loses or publishes one by accident."""

import json
from pathlib import Path

import pytest
from playwright.async_api import Dialog, FilePayload, expect

from node.client import keyfile
from node.node import Node
from protocol.records.record import decode
from tests.explorer.browsing import SEEDS, Explorer
from tests.history import ALICE

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY_FILE = {"version": 1, "public": ALICE.public, "seed": SEEDS[ALICE.public].hex()}


async def test_a_new_key_signs_nothing_before_it_is_saved(explorer: Explorer) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")

    await explorer.button("Make a new key").click()

    await expect(explorer.page.locator(".preview")).to_have_text("Save your new key first, above. Then you can sign.")
    await expect(explorer.button("Sign and send")).to_be_disabled()
    await expect(explorer.button("I have saved it")).to_be_disabled()
    await expect(explorer.button("Keep in this browser")).to_have_count(0)


async def test_a_saved_key_file_signs_and_loads_again(explorer: Explorer, node: Node, tmp_path: Path) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")
    await explorer.button("Make a new key").click()
    async with explorer.page.expect_download() as download:
        await explorer.button("Save the key file").click()
    await (await download.value).save_as(tmp_path / "saved.key")
    await explorer.button("I have saved it").click()
    await explorer.button("Sign and send").click()
    await expect(explorer.page.locator(".result")).to_contain_text("Founded")

    await explorer.page.reload()
    await explorer.page.locator("#key-file").set_input_files(tmp_path / "saved.key")

    await expect(explorer.page.locator(".standing")).to_have_text("You own garden.")
    head = await node.store.head("example.org", "garden")
    assert head is not None
    assert decode(head.body).signedby == keyfile.load(tmp_path / "saved.key").public


async def test_a_key_can_be_shown_instead_of_downloaded(explorer: Explorer) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")
    await explorer.button("Make a new key").click()
    public = await explorer.page.locator(".own code").inner_text()

    await explorer.button("Show the key").click()

    text = await explorer.field("The text of the key file").inner_text()
    assert json.loads(text)["public"] == public
    await explorer.button("I have saved it").click()
    await expect(explorer.page.get_by_text("Whoever reads this text can sign as you.")).to_have_count(0)
    await expect(explorer.button("Sign and send")).to_be_enabled()


@pytest.mark.parametrize("is_saved", [False, True])
async def test_leaving_with_an_unsaved_key_is_warned_of(explorer: Explorer, is_saved: bool) -> None:
    await explorer.go("write")
    if is_saved:
        await explorer.make_key()
    else:
        await explorer.button("Make a new key").click()
        await expect(explorer.page.locator(".own code")).to_be_visible()
    asked: list[str] = []

    async def on_dialog(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    explorer.page.on("dialog", on_dialog)
    await explorer.page.reload()

    await expect(explorer.button("Make a new key")).to_be_visible()
    assert asked == ([] if is_saved else ["beforeunload"])


async def test_a_new_key_stays_while_other_views_are_open(explorer: Explorer) -> None:
    await explorer.go("write")
    await explorer.button("Make a new key").click()
    public = await explorer.page.locator(".own code").inner_text()

    await explorer.go("browse")
    await explorer.go("write")

    await expect(explorer.page.locator(".own code")).to_have_text(public)
    await expect(explorer.page.get_by_text("Save this key before you sign.")).to_be_visible()


async def test_the_key_never_leaves_the_browser(explorer: Explorer) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")
    await explorer.load_key(ALICE)
    await explorer.button("Sign and send").click()
    await expect(explorer.page.locator(".result")).to_contain_text("Founded")
    await explorer.button("Keep in this browser").click()
    await expect(explorer.page.locator("#announcer")).to_have_text("the key is kept in this browser")
    await explorer.page.reload()

    await expect(explorer.page.locator(".own code")).to_have_text(ALICE.public)
    kept = await explorer.page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
    seed = SEEDS[ALICE.public].hex()
    assert [each for each in (*explorer.sent, kept) if seed in each] == []
    await expect(explorer.button("Save the key file")).to_have_count(0)  # the kept key can sign and cannot be read


async def test_a_key_kept_in_the_browser_is_forgotten_after_a_question(explorer: Explorer) -> None:
    """The page cannot know whether another copy of this key exists."""
    await explorer.go("write")
    await explorer.load_key(ALICE)
    await explorer.button("Keep in this browser").click()
    await expect(explorer.page.locator("#announcer")).to_have_text("the key is kept in this browser")
    await explorer.page.reload()

    await explorer.button("Forget it").click()
    await expect(explorer.page.get_by_text("You need your key file to sign with this key again.")).to_be_visible()
    await explorer.button("Yes, forget it").click()

    await expect(explorer.button("Make a new key")).to_be_visible()
    await explorer.page.reload()
    await expect(explorer.button("Make a new key")).to_be_visible()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (KEY_FILE, "This is a key file, and claims are public"),
        ({"note": KEY_FILE["seed"]}, "Your secret key stands in this record"),
        ({"deep": [{"note": f"my seed: {KEY_FILE['seed']}"}]}, "Your secret key stands in this record"),
    ],
)
async def test_a_secret_key_is_not_published_in_a_claim(
    explorer: Explorer, content: dict[str, object], words: str
) -> None:
    await explorer.go("write", query="?domain=example.org&label=garden")
    await explorer.load_key(ALICE)
    await explorer.field("Write it as JSON").check()

    await explorer.field("The claim as JSON").fill(json.dumps(content))

    await expect(explorer.page.locator(".preview")).to_contain_text(words)
    await expect(explorer.button("Sign and send")).to_be_disabled()


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
