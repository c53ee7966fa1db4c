"""Live: the page shows every event once, however often the connection breaks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from node.node import Node
from node.settings.settings import Settings
from tests.explorer.browsing import Explorer, hold, recent
from tests.history import BOB
from tests.ports import lasting_port

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    """For a page that outlives its node."""
    async with AsyncExitStack() as stack:
        yield stack


async def listening(explorer: Explorer, query: str = "") -> Locator:
    """Open the view and wait until it follows the node. Gives the rows of events."""
    await explorer.go("live", query=query)
    await expect(explorer.page.get_by_text("Listening")).to_be_visible()
    return explorer.page.locator(".events > .event")


async def test_what_the_node_accepts_appears_newest_first(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("before"))
    rows = await listening(explorer)

    await hold(node, recent("garden", gate="green"))
    await hold(node, recent("pond", BOB))

    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text("pond")
    await expect(rows.nth(1)).to_contain_text("gate: green")
    await expect(explorer.page.locator(".counted")).to_have_text("2 events")


async def test_live_begins_with_the_newest_stored_records(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(f"label {number:03}", ago=3 * number) for number in range(300)))
    await hold(node, recent("pond", BOB, ago=1, domain="other"))
    rows = await listening(explorer)
    stored = explorer.page.locator(".stored > .event")

    await expect(stored).to_have_count(30)
    names = await stored.locator(".label-link").all_inner_texts()
    assert names == ["label 000", "pond", *(f"label {number:03}" for number in range(1, 29))]
    await expect(rows).to_have_count(0)
    await explorer.field("Domain").fill("other")
    await expect(stored.locator(".label-link")).to_have_text(["pond"])


@pytest.mark.parametrize("count", [1, 199, 200, 201, 450])
async def test_stored_records_are_found_also_if_many_share_one_second(
    explorer: Explorer, node: Node, count: int
) -> None:
    await hold(node, *(recent(f"label {number:03}", ago=20) for number in range(count)))
    await hold(node, recent("newer", ago=10))

    await listening(explorer)

    stored = explorer.page.locator(".stored > .event")
    await expect(stored).to_have_count(min(30, count + 1))
    await expect(stored.first).to_contain_text("newer")


async def test_a_record_is_not_shown_as_stored_and_as_an_event(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("garden"))
    rows = await listening(explorer)
    await expect(explorer.page.locator(".stored > .event")).to_have_count(1)

    await hold(node, recent("pond"))
    await expect(rows).to_have_count(1)
    await explorer.field("Domain").fill("example")  # reads the stored records again

    await expect(explorer.page.locator(".stored .label-link")).to_have_text(["garden"])
    await expect(rows.locator(".label-link")).to_have_text(["pond"])


async def test_a_head_that_is_taken_back_is_visible_with_the_reason(explorer: Explorer, node: Node) -> None:
    rows = await listening(explorer)
    garden = recent("garden", ago=10)
    await hold(node, garden)
    await expect(rows).to_have_count(1)

    await hold(node, recent("garden", BOB, ago=20))

    await expect(rows.first).to_contain_text("Reverted")
    await expect(rows.first).to_contain_text("an older record arrived late")
    await expect(rows.first.get_by_role("link", name=garden.id[:12])).to_have_count(1)
    await explorer.page.get_by_role("combobox", name="Events").select_option("reverted only")
    await expect(rows).to_have_count(1)


async def test_filters_pick_by_domain_label_and_signer(explorer: Explorer, node: Node) -> None:
    rows = await listening(explorer)
    await hold(node, recent("a"), recent("b"), recent("a", BOB, domain="other"))
    await expect(rows).to_have_count(3)

    await explorer.field("Label").fill("a")
    await expect(rows).to_have_count(2)
    await explorer.field("Domain").fill("other")
    await expect(rows).to_have_count(1)
    await explorer.field("Label").fill("")
    await hold(node, recent("c", domain="other"), recent("d"))
    await expect(rows).to_have_count(2)
    await explorer.field("Signed by").fill(BOB.public[:8])
    await expect(rows).to_have_count(1)
    assert "domain=other" in explorer.page.url


async def test_a_pause_stops_the_list_and_loses_no_event(explorer: Explorer, node: Node) -> None:
    rows = await listening(explorer)
    await hold(node, recent("a"))
    await expect(rows).to_have_count(1)

    await explorer.button("Pause").click()
    await hold(node, recent("b", ago=9), recent("c", ago=8))

    await expect(explorer.page.locator(".waiting")).to_have_text("Paused: 2 events waiting.")
    await expect(rows).to_have_count(1)
    await explorer.button("Resume").click()
    await expect(rows).to_have_count(3)
    await expect(rows.locator(".label-link")).to_have_text(["c", "b", "a"])


async def test_a_reconnect_leaves_no_gap_and_repeats_nothing(
    browser: Browser, stack: AsyncExitStack, tmp_path: Path
) -> None:
    port = lasting_port()
    async with Node(Settings(port=port, data=tmp_path / "data")) as node:
        explorer = await stack.enter_async_context(Explorer.opened(browser, node.url))
        rows = await listening(explorer)
        await hold(node, recent("a"))
        await expect(rows).to_have_count(1)

    await expect(explorer.page.get_by_text("Connection lost, trying again")).to_be_visible()
    for name in ("b", "c"):
        async with Node(Settings(port=0, data=tmp_path / "data")) as node:
            await hold(node, recent(name, ago=9), recent(f"{name}2", ago=8))
    async with Node(Settings(port=port, data=tmp_path / "data")) as node:
        await hold(node, recent("d"))
        await expect(explorer.page.get_by_text("Listening")).to_be_visible()
        await hold(node, recent("e"))

        await expect(rows.locator(".label-link")).to_have_text(["e", "d", "c2", "c", "b2", "b", "a"])
        sequence = await rows.evaluate_all("rows => rows.map(row => Number(row.dataset.seq))")
        assert sequence == [7, 6, 5, 4, 3, 2, 1]
        explorer.forget_lost_connections()
        await stack.aclose()


async def test_the_list_says_that_the_store_was_replaced_and_goes_on(
    browser: Browser, stack: AsyncExitStack, tmp_path: Path
) -> None:
    port = lasting_port()
    async with Node(Settings(port=port, data=tmp_path / "one")) as node:
        explorer = await stack.enter_async_context(Explorer.opened(browser, node.url))
        rows = await listening(explorer)
        await hold(node, recent("a"))
        await expect(rows).to_have_count(1)

    async with Node(Settings(port=port, data=tmp_path / "other")) as node:
        await expect(explorer.page.get_by_role("alert")).to_contain_text("store was replaced")
        await expect(explorer.page.get_by_text("Listening")).to_be_visible()
        await hold(node, recent("z"))

        await expect(rows.locator(".label-link")).to_have_text(["z", "a"])
        explorer.forget_lost_connections()
        explorer.said = [line for line in explorer.said if "410" not in line]
        await stack.aclose()


async def test_more_events_than_are_shown_are_bounded_and_counted(explorer: Explorer, node: Node) -> None:
    rows = await listening(explorer)

    await hold(node, *(recent(f"label {number}", ago=700 - number) for number in range(700)))

    await expect(explorer.page.locator(".counted")).to_have_text("700 events")
    await expect(rows).to_have_count(200)
    await expect(rows.first).to_contain_text("label 699")
