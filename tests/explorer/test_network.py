"""Network: the links of real nodes, as a picture and as a table."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from tests.explorer.browsing import Explorer, hold, recent

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def linked(node: Node, tmp_path: Path) -> AsyncIterator[Node]:
    """A second node. `node` pushes to it and pulls from it over a link."""
    async with Node(Settings(port=0, data=tmp_path / "other")) as other:
        await other.peers.put(Peer(key=node.key.public, accept=True))
        await node.peers.put(Peer(url=other.url.replace("http", "ws"), push=True, pull=True))
        yield other


async def test_a_node_without_peers_says_so(explorer: Explorer) -> None:
    await explorer.go("network")

    await expect(explorer.page.get_by_text("This node has no peers yet.")).to_be_visible()
    await expect(explorer.page.locator("figure.network")).to_be_hidden()


async def test_links_are_drawn_with_their_state_and_traffic(explorer: Explorer, node: Node, linked: Node) -> None:
    await explorer.go("network")
    await expect(explorer.page.locator(".edge.eager")).to_have_count(1)
    await hold(node, recent("a"), recent("b"), recent("c"))

    row = explorer.page.get_by_role("row", name=linked.url.replace("http", "ws"))
    await expect(row).to_contain_text("live")
    await expect(row).to_contain_text("we dialled, eager")
    await expect(row).to_contain_text("we push, we pull")
    await expect(row.get_by_role("cell").nth(4)).to_contain_text("3")
    await expect(explorer.page.locator(".station.live")).to_have_count(1)
    await expect(
        explorer.page.get_by_role("img", name="This node and 1 peer: 1 linked, 1 of them eager.")
    ).to_be_visible()


async def test_a_phone_shows_the_name_of_each_figure(explorer: Explorer, linked: Node) -> None:
    """Without the heads of the columns, "22 14 kB 0 3.9 kB 0.2 ms" says nothing."""
    await explorer.page.set_viewport_size({"width": 390, "height": 844})
    await explorer.go("network")
    row = explorer.page.get_by_role("row", name=linked.url.replace("http", "ws"))
    await expect(row).to_contain_text("live")

    names = await row.get_by_role("cell").evaluate_all(
        "cells => cells.map(each => getComputedStyle(each, '::before').content)"
    )

    assert [name for name in names if name != "none"] == [
        f'"{name} "' for name in ("Link", "Out", "In", "Round trip", "Sets")
    ]


async def test_each_end_says_who_dialled(browser: Browser, node: Node, linked: Node) -> None:
    async with Explorer.opened(browser, linked.url) as explorer:
        await explorer.go("network")

        await expect(explorer.page.get_by_role("row", name=f"key {node.key.public[:12]}")).to_contain_text(
            "they dialled"
        )


async def test_a_peer_that_cannot_be_reached_is_shown_as_failing_with_the_reason(
    explorer: Explorer, node: Node
) -> None:
    await node.peers.put(Peer(url="ws://127.0.0.1:9", pull=True))
    await explorer.go("network")

    row = explorer.page.get_by_role("row", name="ws://127.0.0.1:9")
    await expect(row).to_contain_text("failing began")
    await expect(row).to_contain_text("unreachable")
    await expect(explorer.page.locator(".edge.none")).to_have_count(1)


async def test_dots_move_on_the_lines_unless_the_person_wants_less_motion(
    browser: Browser, node: Node, linked: Node
) -> None:
    """A dot lasts little more than a second, so an observer in the page counts the dots."""
    note = """() => {
        window.dots = 0;
        new MutationObserver(changes => {
            const added = changes.flatMap(change => [...change.addedNodes]);
            window.dots += added.filter(each => each.matches?.(".dot")).length;
        }).observe(document.querySelector(".picture"), { childList: true, subtree: true });
    }"""
    for motion, moves in (("no-preference", True), ("reduce", False)):
        async with Explorer.opened(browser, node.url, reduced_motion=motion) as explorer:
            await explorer.go("network")
            await expect(explorer.page.locator(".edge.eager")).to_have_count(1)
            await explorer.page.evaluate(note)
            before = await explorer.page.locator("tbody tr td").nth(4).inner_text()

            await hold(node, recent(f"label of {motion}"))

            await expect(explorer.page.locator("tbody tr td").nth(4)).not_to_have_text(before)
            assert (await explorer.page.evaluate("window.dots") > 0) is moves


async def test_a_claim_appears_in_the_page_of_another_node(explorer: Explorer, browser: Browser, linked: Node) -> None:
    async with Explorer.opened(browser, linked.url) as watcher:
        await watcher.go("live")
        await expect(watcher.page.get_by_text("Listening")).to_be_visible()
        await explorer.go("network")
        await expect(explorer.page.locator(".station.live")).to_have_count(1)
        await explorer.go("write", query="?domain=example.org&label=garden")
        await explorer.make_key()

        await explorer.button("Sign and send").click()

        await expect(watcher.page.locator(".events > .event")).to_contain_text("garden")
