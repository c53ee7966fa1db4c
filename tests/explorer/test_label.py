"""A label: how its history is drawn, and what the browser proves itself."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from node.node import Node
from node.store.removals import RemovalKind, Target
from protocol.records.record import Record
from tests.explorer.browsing import FAR_HOST, Explorer, hold, recent
from tests.history import BOB, CAROL, NOWHERE, signed

pytestmark = pytest.mark.asyncio(loop_scope="session")


def eventful() -> list[Record]:
    """A history with every verdict, oldest first, and a fork of two records."""
    orphan = recent(by=CAROL, ago=99, prev=NOWHERE)
    founded = recent(ago=90, gate="green")
    rival = recent(by=CAROL, ago=80, gate="red")
    updated = recent(ago=70, prev=founded, gate="blue")
    fork = recent(ago=65, prev=founded, gate="black")
    fork_of_the_fork = recent(ago=60, prev=fork, gate="white")
    offered = recent(ago=50, prev=updated, newowner=BOB.public)
    transferred = recent(by=BOB, ago=40, prev=offered, gate="brown")
    late = recent(ago=30, gate="mine")
    head = recent(by=BOB, ago=20, prev=transferred, gate="oak", price=12.5, open=True)
    return [orphan, founded, rival, updated, fork, fork_of_the_fork, offered, transferred, late, head]


VERDICTS = [
    "updated", "not_owner", "transferred", "offered", "stale", "stale", "updated", "rival", "founded", "orphan",
]  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def label(explorer: Explorer, node: Node) -> AsyncIterator[Explorer]:
    await hold(node, *eventful())
    await explorer.go("label", "example", "garden")
    yield explorer


async def test_a_history_is_drawn_newest_first_with_every_verdict_in_words(label: Explorer) -> None:
    entries = label.page.locator(".timeline > .entry")

    assert await entries.evaluate_all("entries => entries.map(entry => entry.dataset.verdict)") == VERDICTS
    await expect(entries.nth(0)).to_contain_text("Head")
    await expect(entries.nth(4)).to_contain_text(
        "Refused: signed by a key that may write here, but prev does not name the record before it"
    )
    await expect(entries.nth(7)).to_contain_text("Refused: founds the label with another key")
    await expect(label.page.locator(".gutter")).to_have_count(len(VERDICTS))


async def test_refused_records_stand_on_lanes_beside_the_accepted_ones(label: Explorer) -> None:
    def middle_of(selector: str) -> str:
        return f"""entries => entries.map(entry => {{
            const box = entry.querySelector("{selector}").getBBox();
            return Math.round((box.x + box.width / 2 - 15) / 22);
        }})"""

    lanes = await label.page.locator(".timeline > .entry").evaluate_all(middle_of(".gutter .node"))

    assert lanes == [0, 1, 0, 0, 2, 2, 0, 1, 0, 1]


async def test_the_browser_proves_every_signature_and_judges_by_itself(label: Explorer) -> None:
    await expect(label.page.locator(".trust")).to_contain_text("Proven here")
    await expect(label.page.locator(".trust")).to_contain_text("All 10 signatures checked in this browser")
    await expect(label.page.locator(".mark.good")).to_have_count(10)


async def test_an_erased_head_says_so_and_keeps_its_owner(label: Explorer, node: Node) -> None:
    removal = await node.removals.begin(
        RemovalKind.ERASE, Target(ids=(eventful()[-1].id,)), "op", "<b>court</b> order 4711"
    )
    await node.removals.wait(removal.number, 60)

    await label.page.reload()

    head = label.page.get_by_role("region", name="Head")
    await expect(head).to_contain_text("Erased on this node")
    await expect(head).to_contain_text("<b>court</b> order 4711")
    await expect(head.locator("a.key").first).to_have_attribute("href", f"#/key/{BOB.public}")
    await expect(label.page.locator(".timeline > .entry").nth(0)).to_contain_text("Erased on this node")
    await expect(label.page.locator(".mark.unknown")).to_have_text(
        "Signature not checked: the record was erased on this node"
    )


async def test_the_head_shows_who_owns_the_label_and_what_is_claimed(label: Explorer) -> None:
    head = label.page.get_by_role("region", name="Head")

    await expect(head).to_contain_text("Contested")
    await expect(head.locator("a.key").first).to_have_attribute("href", f"#/key/{BOB.public}")
    await expect(head.locator(".tree").first).to_contain_text("oak")
    await expect(head.locator(".tree").first).to_contain_text("12.5")
    assert await label.page.title() == "garden in example · dnarc"


async def test_exact_times_and_whole_keys_need_no_tooltip(label: Explorer) -> None:
    """A phone shows no tooltips."""
    head = label.page.get_by_role("region", name="Head")
    await expect(head.locator("time")).to_contain_text(" UTC")
    assert await label.page.locator("main [title]:not(button)").count() == 0

    await head.locator("a.key").first.click()

    await expect(label.page.locator(".own code")).to_have_text(BOB.public)


async def test_a_record_unfolds_to_the_bytes_that_were_signed(label: Explorer) -> None:
    entry = label.page.locator(".entry").first
    await entry.locator("summary", has_text="The record itself").click()

    record = eventful()[-1]
    await expect(entry.locator(".bytes")).to_have_text(record.canonical.decode())
    await expect(entry.locator(".raw")).to_contain_text(signed(record).signature)


async def changed(explorer: Explorer, change: Any) -> None:
    """Show the label with an answer that this function changed, as a lying node would."""
    await explorer.go("browse")

    async def lie(route: Route) -> None:
        response = await route.fetch()
        body = await response.json()
        change(body)
        await route.fulfill(response=response, json=body)

    await explorer.page.route("**/history?*", lie)
    await explorer.go("label", "example", "garden")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda body: body["records"][1]["record"].update(gate="gold"),
            "under an id that is not the hash of its bytes",
        ),
        (lambda body: body["records"][1].update(signature="0" * 128), "did not sign these bytes"),
        (lambda body: body["records"][1]["record"].update(signedby="f" * 64), "Not proven"),
    ],
)
async def test_a_node_that_lies_about_a_record_is_found_out(label: Explorer, change: Any, words: str) -> None:
    await changed(label, change)

    await expect(label.page.locator(".trust")).to_contain_text("Not proven")
    await expect(label.page.locator(".mark.bad")).to_contain_text(words)


async def test_a_node_with_a_wrong_verdict_is_found_out(label: Explorer) -> None:
    await changed(label, lambda body: body["records"][2].update(verdict="founded"))

    await expect(label.page.locator(".trust")).to_contain_text("1 record would get another verdict")
    await expect(label.page.get_by_text("The node says founded; this browser's own replay says rival.")).to_be_visible()


async def test_a_browser_that_may_not_check_says_why(browser: Browser, node: Node) -> None:
    await hold(node, *eventful())
    async with Explorer.opened(browser, node.url.replace("127.0.0.1", FAR_HOST)) as explorer:
        await explorer.go("label", "example", "garden")

        await expect(explorer.page.locator(".trust")).to_contain_text("Not checked")
        await expect(explorer.page.locator(".trust")).to_contain_text("browsers lend their cryptography only to")
        await expect(explorer.page.locator(".mark").first).to_contain_text("Signature not checked")
        await explorer.go("write")
        await expect(explorer.page.locator(".notice")).to_contain_text("This page cannot sign here")
        refusals, explorer.said = explorer.said, []

    assert all("401" in said for said in refusals), "a stranger may not see the peers, and browsers write that down"


async def test_a_long_history_is_shown_in_parts(explorer: Explorer, node: Node) -> None:
    await hold(node, *(recent(ago=number, number=number) for number in range(250)))
    await explorer.go("label", "example", "garden")

    await expect(explorer.page.locator(".entry")).to_have_count(100)
    await expect(explorer.page.locator(".trust")).to_contain_text("The newest 100 of 250 signatures checked")
    await explorer.button("Show older ones (150 more records)").click()
    await expect(explorer.page.locator(".entry")).to_have_count(200)
    await explorer.button("Show older ones (50 more records)").click()
    await expect(explorer.page.locator(".entry")).to_have_count(250)
    await expect(explorer.page.locator(".trust")).to_contain_text("All 250 signatures checked")


async def test_a_shown_label_follows_the_node(label: Explorer, node: Node) -> None:
    await expect(label.page.locator(".trust")).to_contain_text("Proven here")
    await label.page.locator(".entry summary").nth(2).click()

    await hold(node, recent(by=BOB, gate="new"))

    await expect(label.page.locator(".entry")).to_have_count(11)
    await expect(label.page.get_by_role("region", name="Head")).to_contain_text("new")
    await expect(label.page.locator(".entry").nth(3).locator(".bytes")).to_be_visible()  # as it was left


async def test_a_free_label_says_so_and_offers_to_write(explorer: Explorer, node: Node) -> None:
    await hold(node, recent("pond"))
    await explorer.go("label", "example", "garden")

    await expect(explorer.page.get_by_role("alert")).to_contain_text("unknown_label")
    await explorer.page.get_by_role("link", name="Write the first claim").click()
    await expect(explorer.field("Label")).to_have_value("garden")
    explorer.said = [line for line in explorer.said if "404" not in line]


async def test_timestamps_beyond_any_calendar_are_shown_as_numbers(modules: Page) -> None:
    spelled = await modules.evaluate(
        """async () => {
            const { moment } = await import("/explorer/format.js");
            return [1, 253402300800, 2 ** 53 - 1].map(moment);
        }"""
    )

    assert spelled == ["1970-01-01 00:00:01 UTC", "+010000-01-01 00:00:00 UTC", "second 9007199254740991"]
