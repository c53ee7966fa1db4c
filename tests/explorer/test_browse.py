"""Browse and search: any number of domains and labels, found while one types."""

import pytest
from playwright.async_api import expect

from node.node import Node
from tests.explorer.browsing import Explorer, hold, recent

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_domains_are_found_by_any_part_of_their_name(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(domain=domain) for domain in ("a.example", "b.example", "garden.org")))
    await explorer.go("browse")
    rows = explorer.page.locator("tbody tr")
    await expect(rows).to_have_count(3)

    await explorer.field("Search domains, or paste a record id").fill("example")

    await expect(rows).to_have_count(2)
    await explorer.page.get_by_role("link", name="b.example").click()
    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("Labels of b.example")


async def test_labels_are_found_by_their_beginning_while_one_types(explorer: Explorer, node: Node) -> None:
    await hold(
        node, *(recent(label) for label in ("Gate", "garden", "garden wall", "gate", "gate 2", "yard", "100%", "é"))
    )
    await explorer.go("browse", "example")
    labels = explorer.page.locator("td .label-link")
    await expect(labels).to_have_text(["100%", "Gate", "garden", "garden wall", "gate", "gate 2", "yard", "é"])

    field = explorer.field("Search labels by their beginning")
    await field.press_sequentially("ga")
    await expect(labels).to_have_text(["garden", "garden wall", "gate", "gate 2"])
    await field.press_sequentially("rden ")
    await expect(labels).to_have_text(["garden wall"])
    await field.fill("nothing")
    await expect(explorer.page.locator(".results")).to_contain_text("No label here begins with “nothing”.")
    await field.fill("100%")
    await expect(labels).to_have_text(["100%"])


async def test_what_one_searches_stands_in_the_link(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(label) for label in ("a&b=c", "a b", "ab")))
    await explorer.go("browse", "example")
    await explorer.field("Search labels by their beginning").fill("a&b")
    await expect(explorer.page.locator("td .label-link")).to_have_text(["a&b=c"])

    await explorer.page.reload()

    await expect(explorer.field("Search labels by their beginning")).to_have_value("a&b")
    await expect(explorer.page.locator("td .label-link")).to_have_text(["a&b=c"])


async def test_labels_come_in_pages(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(f"label {number:03}") for number in range(120)))
    await explorer.go("browse", "example")
    labels = explorer.page.locator("td .label-link")
    found = explorer.page.locator(".found")
    await expect(found).to_have_text("50 labels, and more")

    await explorer.button("Next page").click()
    await expect(labels.first).to_have_text("label 050")
    await explorer.button("Next page").click()
    await expect(found).to_have_text("20 labels, the last ones")
    await expect(labels.last).to_have_text("label 119")
    await explorer.page.reload()
    await expect(labels.first).to_have_text("label 100")
    await explorer.button("First page").click()
    await expect(labels.first).to_have_text("label 000")


async def test_a_record_is_found_by_its_id(explorer: Explorer, node: Node) -> None:
    record = recent("gate", ago=5)
    await hold(node, record, recent("pond"))
    await explorer.go("browse")

    await explorer.field("Search domains, or paste a record id").fill(record.id)
    await explorer.page.get_by_role("link", name="gate").click()

    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("gate")
    await expect(explorer.page.locator(f".entry[data-id='{record.id}']")).to_have_count(1)


async def test_the_browser_goes_back_through_the_parts(explorer: Explorer, node: Node) -> None:
    await hold(node, recent())
    await explorer.go("browse", "example")
    await explorer.page.get_by_role("link", name="garden").click()
    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("garden")

    await explorer.page.go_back()

    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("Labels of example")
