"""Overview: who the node is, whether it is well, and what it holds."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from tests.explorer.browsing import Explorer, hold, recent
from tests.history import BOB

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_overview_names_the_node_and_says_that_it_is_well(explorer: Explorer, node: Node) -> None:
    await expect(explorer.page.locator(".node-key")).to_have_text(node.key.public)
    await expect(explorer.page.locator(".well")).to_contain_text("Well")
    await expect(explorer.page.get_by_text("This node holds nothing yet.")).to_be_visible()


async def test_the_overview_counts_records_as_they_arrive(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("garden"), recent("gate"), recent("pond", domain="other.example"))

    await expect(explorer.page.locator(".figure", has_text="Records").first).to_contain_text("3")
    index = node.indexes.get("example")
    assert index is not None
    row = explorer.page.get_by_role("region", name="Domains", exact=True).get_by_role("row", name="example 2")
    await expect(row).to_contain_text(index.fingerprint().hex())
    await expect(explorer.page.get_by_role("img", name="records a second")).to_have_count(1)


async def test_warnings_of_the_node_are_shown(explorer: Explorer, node: Node) -> None:
    """A node with warnings works, but it is not well."""
    await expect(explorer.page.locator(".well")).to_be_visible()

    await node.peers.put(Peer(url="http://127.0.0.1:9", pull=True))

    await expect(explorer.page.locator(".notice")).to_contain_text("the peer http://127.0.0.1:9 is failing since")
    await expect(explorer.page.locator(".well")).to_have_count(0)


async def test_the_page_says_when_the_node_does_not_answer(explorer: Explorer, node: Node) -> None:
    await expect(explorer.page.locator(".node-key")).to_have_text(node.key.public)

    await explorer.context.set_offline(True)

    await expect(explorer.page.locator("#reach")).to_contain_text("does not answer")

    await explorer.context.set_offline(False)
    await expect(explorer.page.locator("#reach")).to_be_empty()
    explorer.forget_lost_connections()


async def test_a_node_that_hides_its_peers_shows_all_else(browser: Browser, tmp_path: Path) -> None:
    """A browser on another machine has no admin token."""
    settings = Settings(port=0, data=tmp_path / "hiding", loopback_trusted=False)
    async with Node(settings) as node, Explorer.opened(browser, node.url) as explorer:
        await expect(explorer.page.locator(".node-key")).to_have_text(node.key.public)
        await expect(explorer.page.get_by_text("This node shows its peers only to callers")).to_be_visible()
        await expect(explorer.page.locator("#reach")).to_be_empty()
        await explorer.go("network")
        await expect(explorer.page.get_by_text("This node shows its peers only to callers")).to_be_visible()
        refusals, explorer.said = explorer.said, []

    assert len(refusals) == 1, "the page does not ask again"


async def test_the_operator_sees_what_fills_the_store(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("garden", text="x" * 500), recent("gate", by=BOB), recent("pond", domain="other.example"))

    await explorer.page.reload()

    card = explorer.page.locator(".card", has_text="What fills the store")
    await expect(card.get_by_role("row", name="example 2")).to_contain_text("%")
    await expect(card.get_by_role("region", name="Largest keys").get_by_role("row")).to_have_count(3)
    await expect(card.locator(".usage-words")).to_contain_text("in 3 records")


async def test_a_node_that_holds_nothing_shows_no_sizes(explorer: Explorer) -> None:
    await expect(explorer.page.get_by_text("This node holds nothing yet.")).to_be_visible()

    await expect(explorer.page.locator(".card", has_text="What fills the store")).to_be_hidden()
