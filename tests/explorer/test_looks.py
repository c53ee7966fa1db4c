"""Contrast, names for screen readers, the keyboard, both themes, and the width of a phone."""

import re
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from node.node import Node
from node.store.contract import Peer
from tests.explorer.browsing import Explorer, hold
from tests.explorer.test_label import eventful
from tests.history import ALICE

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLACES = (
    ("overview",),
    ("browse",),
    ("browse", "example"),
    ("label", "example", "garden"),
    ("key", ALICE.public),
    ("live",),
    ("network",),
    ("write",),
)

# WCAG 2.2, 1.4.3: 4.5 to 1, or 3 to 1 for large text. Colours are mixed by drawing them, as the browser does.
FAINT = """() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const over = (...colours) => {
        context.fillStyle = "#fff";
        for (const colour of ["#fff", ...colours]) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const linear = byte => (byte /= 255) <= 0.04045 ? byte / 12.92 : ((byte + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const grounds = element => {
        const colours = [];
        for (let each = element; each; each = each.parentElement) {
            colours.unshift(getComputedStyle(each).backgroundColor);
        }
        return colours;
    };
    const isShown = element => element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
        && !element.closest(":disabled, .visually-hidden, noscript, .skip") && element.getClientRects().length > 0;
    const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const faint = [];
    const look = (element, colour, style) => {
        const ground = grounds(element);
        const [one, other] = [luminance(over(...ground)), luminance(over(...ground, colour))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        const size = parseFloat(style.fontSize);
        const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const name = element.className.baseVal ?? element.className;
        if (ratio < (isLarge ? 3 : 4.5)) faint.push([name, element.textContent.slice(0, 40), ratio]);
    };
    let looked = 0;
    for (const element of document.querySelectorAll("body *")) {
        if (!isShown(element)) continue;
        const style = getComputedStyle(element);
        const isField = element.matches("input, textarea, select");
        if (hasText(element) || isField) {
            look(element, element instanceof SVGElement ? style.fill : style.color, style);
            if (element.placeholder) look(element, getComputedStyle(element, "::placeholder").color, style);
            looked += 1;
        }
    }
    return { looked, faint };
}"""

CUT_OFF = """() => [...document.querySelectorAll(".facts dd:has(> code)")]
    .filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"""
"""Ids whose last digits are out of sight."""

CONTROLS = {
    "button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "img", "image", "region", "navigation",
    "table", "form", "search", "listbox", "menuitem", "switch", "slider", "DisclosureTriangle",
}  # fmt: skip


async def everything_shown(explorer: Explorer, place: tuple[str, ...]) -> None:
    """Open a place, and unfold what it shows on request only."""
    await explorer.go(*place)
    if place[0] == "label":
        await expect(explorer.page.locator(".mark.good")).to_have_count(10)
        for fold in await explorer.page.locator("summary").all():
            await fold.click()
    if place[0] == "write":
        if await explorer.button("Make a new key").is_visible():
            await explorer.make_key()
        await explorer.field("Domain").fill("example.org")
        await explorer.field("Label").fill("garden")
        await expect(explorer.button("Sign and send")).to_be_enabled()
    if place[0] == "live":
        await expect(explorer.page.get_by_text("Listening")).to_be_visible()


@pytest_asyncio.fixture(loop_scope="session")
async def furnished(node: Node) -> Node:
    """A node with something to show in every view."""
    await hold(node, *eventful())
    await node.peers.put(Peer(url="ws://127.0.0.1:9", pull=True))
    return node


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_text_stands_out_from_its_ground(browser: Browser, furnished: Node, theme: Any) -> None:
    async with Explorer.opened(browser, furnished.url, color_scheme=theme, reduced_motion="reduce") as explorer:
        for place in PLACES:
            await everything_shown(explorer, place)

            found = await explorer.page.evaluate(FAINT)

            assert found["faint"] == [], place
            assert found["looked"] > 10, place


async def test_every_control_and_part_has_a_name_for_a_screen_reader(explorer: Explorer, furnished: Node) -> None:
    session = await explorer.context.new_cdp_session(explorer.page)
    for place in PLACES:
        await everything_shown(explorer, place)

        tree = await session.send("Accessibility.getFullAXTree")

        named = [
            (each["role"]["value"], each.get("name", {}).get("value", "").strip())
            for each in tree["nodes"]
            if not each["ignored"]
        ]
        roles = [role for role, _ in named]
        assert [role for role, name in named if role in CONTROLS and not name] == [], place
        assert roles.count("main") == roles.count("banner") == 1, place
        assert {"navigation", "button", "link"} <= set(roles), place
        assert await explorer.page.locator("h1").count() == 1, place


async def test_no_page_is_wider_than_a_phone(browser: Browser, furnished: Node) -> None:
    widths = (320, 360, 390)
    async with Explorer.opened(browser, furnished.url, viewport={"width": widths[0], "height": 740}) as explorer:
        for place in PLACES:
            await everything_shown(explorer, place)

            for width in widths:
                await explorer.page.set_viewport_size({"width": width, "height": 740})
                assert await explorer.page.evaluate("document.documentElement.scrollWidth") <= width, (place, width)
                assert await explorer.page.evaluate(CUT_OFF) == [], (place, width)
                for part in await explorer.page.locator("#parts a").all():
                    await expect(part).to_be_in_viewport(ratio=1)


async def test_no_view_hides_words_in_a_tooltip(explorer: Explorer, furnished: Node) -> None:
    """A phone shows no tooltips, so a `title` may only repeat the accessible name of a button."""
    for place in PLACES:
        await everything_shown(explorer, place)

        hidden = await explorer.page.evaluate(
            """() => [...document.querySelectorAll("body [title], main svg title")]
                .filter(each => !each.getAttribute("aria-label")?.includes(each.title))
                .map(each => each.outerHTML)"""
        )

        assert hidden == [], place


async def test_the_whole_page_can_be_used_with_the_keyboard(explorer: Explorer, node: Node) -> None:
    await hold(node, *eventful())
    page = explorer.page
    await explorer.go("browse", "example")
    await page.reload()
    await expect(page.locator("td .label-link")).to_have_count(1)

    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await tab_to(explorer, page.locator("#search"))
    await page.keyboard.type("gar")
    await page.wait_for_url(re.compile("prefix=gar"))
    await expect(page.locator(".results")).to_have_attribute("aria-busy", "false")  # what comes replaces the links
    await tab_to(explorer, page.get_by_role("link", name="garden"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="garden")).to_be_focused()
    await tab_to(explorer, page.locator("summary").first)
    await page.keyboard.press("Enter")
    await expect(page.locator(".raw").first).to_contain_text("What was signed, byte by byte")


async def tab_to(explorer: Explorer, target: Locator) -> None:
    """Press the Tab key until the target has the focus. The focus has to be visible at each step."""
    for _ in range(60):
        await explorer.page.keyboard.press("Tab")
        outline = await explorer.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        if await target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("the Tab key does not reach it")


async def test_the_theme_can_be_chosen_and_stays(browser: Browser, node: Node) -> None:
    async with Explorer.opened(browser, node.url, color_scheme="light") as explorer:
        scheme = "getComputedStyle(document.documentElement).colorScheme"
        button = explorer.page.locator("#theme")
        assert await explorer.page.evaluate(scheme) == "light dark"

        await button.click()
        await button.click()

        assert await explorer.page.evaluate(scheme) == "dark"
        await expect(button).to_have_accessible_name("Theme: dark. Change it")
        await explorer.page.reload()
        assert await explorer.page.evaluate(scheme) == "dark"
        await button.click()
        assert await explorer.page.evaluate(scheme) == "light dark"


async def test_opening_a_view_is_announced_to_screen_readers(explorer: Explorer) -> None:
    await explorer.page.get_by_role("link", name="Write", exact=True).click()

    await expect(explorer.page.locator("#announcer")).to_have_text("Write a claim · dnarc")
    await expect(explorer.page.get_by_role("heading", level=1)).to_be_focused()
    await expect(explorer.page.get_by_role("link", name="Write", exact=True)).to_have_attribute("aria-current", "page")


async def test_an_unknown_view_leads_back(explorer: Explorer) -> None:
    await explorer.page.goto(f"{explorer.url}/#/nothing/here")

    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("Nothing here")
    await explorer.page.get_by_role("link", name="Go to the overview").click()
    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("This node")
