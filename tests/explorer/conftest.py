"""A real browser, and real nodes on free ports, in the same event loop.

The browser is the system's own Chromium; Playwright installs none. Chromium's headless shell is preferred, because it
takes half of the CPU time of the whole browser. Without a browser all of these tests are skipped, and one line at the
end of the run says why. Each test has its own browser profile. A test fails if its page writes an error or a warning
to the console, or asks anybody but its node.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from node.node import Node
from node.settings.settings import Settings
from tests.explorer.browsing import FAR_HOST, WAIT_MS, Explorer
from tests.node.http_api.talking import Client

NAMES: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--no-sandbox",  # Chromium has none for root, which CI is
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    f"--host-resolver-rules=MAP {FAR_HOST} 127.0.0.1",
)
SKIPPED: Final = f"the explorer was not tested: there is no browser here ({', '.join(NAMES)})"

CHROMIUM: Final = next(filter(None, map(shutil.which, NAMES)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        for item in items:
            if "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=SKIPPED))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CHROMIUM is None:
        terminalreporter.write_line(SKIPPED)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    async with async_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(Settings(port=0, data=tmp_path / "data")) as node:
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def explorer(browser: Browser, node: Node) -> AsyncIterator[Explorer]:
    async with Explorer.opened(browser, node.url) as explorer:
        yield explorer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def modules(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A page whose modules a test may call. All tests share it, so none changes what it shows or keeps."""
    settings = Settings(port=0, data=tmp_path_factory.mktemp("modules") / "data")
    async with Node(settings) as node, Explorer.opened(browser, node.url) as explorer:
        yield explorer.page


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a node, for tests that need no browser."""
    async with Node(Settings(port=0, data=tmp_path / "data")) as node, Client(node.url) as client:
        yield client
