"""The page in a real browser: its policy lets its own script run, and a keyboard reaches every control."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from simulations.report.page import page, section
from simulations.report.spread import Spread, SpreadStep, Topology, picture
from tests.explorer.browsing import WAIT_MS
from tests.explorer.conftest import CHROMIUM, FLAGS

TOPOLOGY: Final = Topology(["a", "b", "c"], [(0, 1), (1, 2)])
SPREADS: Final = [
    Spread("slow", [SpreadStep(0, 0.0), SpreadStep(1, 0.02, 0), SpreadStep(2, 40.0, 1)]),
    Spread("short", [SpreadStep(1, 0.0), SpreadStep(2, 0.03, 1)]),
]

PLAY_HALF_MS = 3_000
PLAY_REST_MS = 4_000
"""Together more than the time that the script takes to play a spread."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def shown(browser: Browser, tmp_path: Path) -> AsyncIterator[Page]:
    """The page. Its clock stands still. The test fails if the page writes to the console or makes a request."""
    file = tmp_path / "report.html"
    file.write_text(page("A run", "Of three.", [section("Spread", picture(TOPOLOGY, SPREADS, "who had it"))]))
    context = await browser.new_context()
    context.set_default_timeout(WAIT_MS)
    shown = await context.new_page()
    said: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    await shown.clock.install(time=0)
    await shown.goto(file.as_uri())
    await shown.clock.pause_at(60_000)
    yield shown
    await context.close()
    assert said == []
    assert asked == [file.as_uri()]


async def test_the_page_shows_the_end_of_the_first_spread_at_first(shown: Page) -> None:
    await expect(shown.locator("output")).to_have_text("40 s: 3 of 3 nodes", timeout=WAIT_MS)
    await expect(shown.locator("line.used")).to_have_count(2, timeout=WAIT_MS)


async def test_the_slider_moves_through_time_by_keyboard(shown: Page) -> None:
    await shown.get_by_label("Time since it was written").press("Home")

    await expect(shown.locator("output")).to_have_text("0 ms: 1 of 3 nodes", timeout=WAIT_MS)
    await expect(shown.locator("g.has")).to_have_count(1, timeout=WAIT_MS)
    await expect(shown.locator("line.used")).to_have_count(0, timeout=WAIT_MS)


async def test_play_moves_through_time_until_the_end(shown: Page) -> None:
    await shown.get_by_label("Time since it was written").press("Home")

    await shown.get_by_role("button", name="Play").press("Enter")
    await shown.clock.run_for(PLAY_HALF_MS)

    await expect(shown.get_by_role("button", name="Pause")).to_be_visible(timeout=WAIT_MS)
    await expect(shown.locator("g.has")).to_have_count(2, timeout=WAIT_MS)
    await expect(shown.locator(".copy:not(.away)")).to_have_count(0, timeout=WAIT_MS)

    await shown.clock.run_for(PLAY_REST_MS)

    await expect(shown.locator("output")).to_have_text("40 s: 3 of 3 nodes", timeout=WAIT_MS)
    await expect(shown.get_by_role("button", name="Play")).to_be_visible(timeout=WAIT_MS)


async def test_a_reader_can_choose_another_record(shown: Page) -> None:
    await shown.get_by_label("Record").select_option("short")

    await expect(shown.locator("output")).to_have_text("30 ms: 2 of 3 nodes", timeout=WAIT_MS)


async def test_a_long_name_of_a_record_does_not_widen_the_controls_on_a_phone(shown: Page) -> None:
    await shown.set_viewport_size({"width": 390, "height": 844})
    await shown.locator("option").first.evaluate("option => { option.textContent = 'x'.repeat(200); }")

    right = "element => element.getBoundingClientRect().right"

    card = await shown.locator("figure").first.evaluate(right)
    assert await shown.get_by_label("Record").evaluate(right) <= card


async def test_without_a_script_the_page_shows_the_end_and_no_controls(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page("A run", "Of three.", [picture(TOPOLOGY, SPREADS, "who had it")]))
    context = await browser.new_context(java_script_enabled=False)
    shown = await context.new_page()

    await shown.goto(file.as_uri())

    assert await shown.locator(".after").all_text_contents() == ["written here", "20 ms", "40 s"]
    await expect(shown.locator(".controls")).to_be_hidden(timeout=WAIT_MS)
    await context.close()
