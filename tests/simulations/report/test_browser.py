"""The page in a real browser: its policy lets its own script work, and a keyboard reaches what the script offers."""

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
    """The page, which has to be silent and to ask for nothing but itself. Its clock stands still."""
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


async def test_at_first_the_end_is_shown(shown: Page) -> None:
    await expect(shown.locator("output")).to_have_text("40 s: 3 of 3 nodes", timeout=WAIT_MS)
    await expect(shown.locator("line.used")).to_have_count(2, timeout=WAIT_MS)


async def test_the_slider_moves_through_time_by_keyboard(shown: Page) -> None:
    await shown.get_by_label("Time since it was written").press("Home")

    await expect(shown.locator("output")).to_have_text("0 ms: 1 of 3 nodes", timeout=WAIT_MS)
    await expect(shown.locator("g.has")).to_have_count(1, timeout=WAIT_MS)
    await expect(shown.locator("line.used")).to_have_count(0, timeout=WAIT_MS)


async def test_play_goes_from_the_begin_to_the_end(shown: Page) -> None:
    await shown.get_by_label("Time since it was written").press("Home")

    await shown.get_by_role("button", name="Play").press("Enter")
    await shown.clock.run_for(3_000)

    await expect(shown.get_by_role("button", name="Pause")).to_be_visible(timeout=WAIT_MS)
    await expect(shown.locator("g.has")).to_have_count(2, timeout=WAIT_MS)
    await expect(shown.locator(".copy:not(.away)")).to_have_count(0, timeout=WAIT_MS)

    await shown.clock.run_for(4_000)

    await expect(shown.locator("output")).to_have_text("40 s: 3 of 3 nodes", timeout=WAIT_MS)
    await expect(shown.get_by_role("button", name="Play")).to_be_visible(timeout=WAIT_MS)


async def test_another_record_is_chosen(shown: Page) -> None:
    await shown.get_by_label("Record").select_option("short")

    await expect(shown.locator("output")).to_have_text("30 ms: 2 of 3 nodes", timeout=WAIT_MS)


async def test_without_a_script_the_end_is_drawn_and_nothing_is_offered_that_does_not_work(
    browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page("A run", "Of three.", [picture(TOPOLOGY, SPREADS, "who had it")]))
    context = await browser.new_context(java_script_enabled=False)
    shown = await context.new_page()

    await shown.goto(file.as_uri())

    assert await shown.locator(".after").all_text_contents() == ["written here", "20 ms", "40 s"]
    await expect(shown.locator(".controls")).to_be_hidden(timeout=WAIT_MS)
    await context.close()
