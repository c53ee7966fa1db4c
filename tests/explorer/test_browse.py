"""Browse and search: any number of domains and labels, found while the person types."""

import pytest
import pytest_asyncio
from playwright.async_api import expect

from node.node import Node
from tests.explorer.browsing import Explorer, hold, recent
from tests.history import ALICE, BOB

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEARCH = "Search domains and labels, or paste a key or a record id"


async def test_domains_are_found_by_any_part_of_their_name(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(domain=domain) for domain in ("a.example", "b.example", "garden.org")))
    await explorer.go("browse")
    rows = explorer.page.locator("tbody tr")
    await expect(rows).to_have_count(3)

    await explorer.field(SEARCH).fill("example")

    await expect(rows).to_have_count(2)
    await explorer.page.get_by_role("link", name="b.example").click()
    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("Labels of b.example")


async def test_labels_are_found_by_their_beginning_while_the_person_types(explorer: Explorer, node: Node) -> None:
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


async def test_the_link_contains_the_search(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(label) for label in ("a&b=c", "a b", "ab")))
    await explorer.go("browse", "example")
    await explorer.field("Search labels by their beginning").fill("a&b")
    await expect(explorer.page.locator("td .label-link")).to_have_text(["a&b=c"])

    await explorer.page.reload()

    await expect(explorer.field("Search labels by their beginning")).to_have_value("a&b")
    await expect(explorer.page.locator("td .label-link")).to_have_text(["a&b=c"])


@pytest_asyncio.fixture(loop_scope="session")
async def many_labels(explorer: Explorer, node: Node) -> Explorer:
    """The first of three pages of labels, opened from the overview."""
    await hold(node, *(recent(f"label {number:03}") for number in range(120)))
    await explorer.go("overview")
    await explorer.go("browse", "example")
    await expect(explorer.page.locator(".found")).to_have_text("Page 1: 50 labels, and more")
    return explorer


async def first_label(explorer: Explorer, label: str) -> None:
    await expect(explorer.page.locator("td .label-link").first).to_have_text(label)


async def test_labels_come_in_pages(many_labels: Explorer) -> None:
    explorer = many_labels
    found = explorer.page.locator(".found")

    await explorer.button("Next page").click()
    await first_label(explorer, "label 050")
    await expect(found).to_have_text("Page 2: 50 labels, and more")
    await explorer.button("Next page").click()
    await expect(found).to_have_text("Page 3: 20 labels, the last ones")
    await expect(explorer.page.locator("td .label-link").last).to_have_text("label 119")
    await expect(explorer.button("Next page")).to_have_count(0)
    await explorer.button("First page").click()
    await first_label(explorer, "label 000")


async def test_a_button_leads_to_the_previous_page_also_after_a_reload(many_labels: Explorer) -> None:
    explorer = many_labels
    await explorer.button("Next page").click()
    await first_label(explorer, "label 050")
    await explorer.button("Next page").click()
    await first_label(explorer, "label 100")
    await explorer.page.reload()
    await first_label(explorer, "label 100")

    await explorer.button("Previous page").click()
    await first_label(explorer, "label 050")
    await explorer.button("Previous page").click()
    await first_label(explorer, "label 000")

    await expect(explorer.button("Previous page")).to_have_count(0)


async def test_back_leads_from_the_second_page_to_the_first_and_not_out_of_the_list(many_labels: Explorer) -> None:
    explorer = many_labels
    await explorer.button("Next page").click()
    await first_label(explorer, "label 050")

    await explorer.page.go_back()

    await first_label(explorer, "label 000")
    await explorer.page.go_forward()
    await first_label(explorer, "label 050")
    await expect(explorer.button("Previous page")).to_be_visible()


async def test_a_link_to_a_later_page_leads_to_the_first_page_too(many_labels: Explorer) -> None:
    explorer = many_labels
    await explorer.button("Next page").click()
    await first_label(explorer, "label 050")
    link = explorer.page.url
    await explorer.go("overview")

    await explorer.page.goto(link)

    await first_label(explorer, "label 050")
    await expect(explorer.page.locator(".found")).to_have_text("50 labels, and more")
    await expect(explorer.button("Previous page")).to_have_count(0)
    await explorer.button("First page").click()
    await first_label(explorer, "label 000")


async def test_labels_of_all_domains_are_found_by_their_beginning(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("garden"), recent("gate", domain="gardens.example"), recent("garlic", domain="other.org"))
    await explorer.go("browse")

    await explorer.field(SEARCH).fill("gar")

    await expect(explorer.page.locator("td .domain-link").first).to_have_text("gardens.example")
    found = explorer.page.locator(".found-labels td .label-link")
    await expect(found).to_have_text(["garden", "garlic"])


async def test_a_record_is_found_by_its_id(explorer: Explorer, node: Node) -> None:
    record = recent("gate", ago=5)
    await hold(node, record, recent("pond"))
    await explorer.go("browse")

    await explorer.field(SEARCH).fill(record.id.upper())
    await expect(explorer.page.locator(".hex code")).to_have_text(record.id)
    await explorer.page.get_by_role("link", name="gate").click()

    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("gate")
    await expect(explorer.page.locator(f".entry[data-id='{record.id}']")).to_have_count(1)


async def test_back_leads_from_a_label_to_the_list_before(explorer: Explorer, node: Node) -> None:
    await hold(node, recent())
    await explorer.go("browse", "example")
    await explorer.page.get_by_role("link", name="garden").click()
    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("garden")

    await explorer.page.go_back()

    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("Labels of example")


async def test_the_labels_of_a_key_are_found_by_the_key(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("garden"), recent("gate", domain="other.example"), recent("pond", BOB))
    await explorer.go("browse")

    await explorer.field(SEARCH).fill(ALICE.public)
    labels = explorer.page.locator("td .label-link")
    await expect(labels).to_have_text(["garden", "gate"])
    await explorer.page.get_by_role("link", name="Show the key").click()

    await expect(explorer.page.locator(".own code")).to_have_text(ALICE.public)
    await expect(labels).to_have_text(["garden", "gate"])


async def test_the_labels_of_a_key_come_in_pages(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(f"label {number:03}") for number in range(70)), recent("pond", BOB))
    await explorer.go("key", ALICE.public)
    await first_label(explorer, "label 000")

    await explorer.button("Next page").click()
    await first_label(explorer, "label 050")
    await explorer.page.go_back()
    await first_label(explorer, "label 000")
    await explorer.go("key", BOB.public)

    await expect(explorer.page.locator("td .label-link")).to_have_text(["pond"])


async def test_a_key_that_owns_nothing_here_says_so(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("garden"))
    await explorer.go("key", BOB.public)
    await expect(explorer.page.get_by_text("This key owns no label on this node.")).to_be_visible()

    await explorer.go("browse", query=f"?search={BOB.public}")

    await expect(explorer.page.get_by_text("No record here has this id, and no label here is owned")).to_be_visible()
    explorer.said = [line for line in explorer.said if "404" not in line]
