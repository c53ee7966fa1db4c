"""The page behind a proxy that serves the node under a path prefix."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from node.node import Node
from node.settings.settings import Settings
from tests.deploy.programs import needs
from tests.deploy.proxying import nginx
from tests.explorer.browsing import Explorer, hold, recent
from tests.explorer.prefix_proxy import prefix_proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def prefixed(browser: Browser, node: Node) -> AsyncIterator[Explorer]:
    """The page of `node` under a prefix. A request that leaves the prefix fails the test."""
    async with prefix_proxy(node.url) as url, Explorer.opened(browser, url) as explorer:
        yield explorer


async def test_every_view_works_under_a_prefix(prefixed: Explorer, node: Node) -> None:
    await hold(node, recent(), recent("pond"))
    await expect(prefixed.page.locator(".node-key")).to_have_text(node.key.public)

    await prefixed.go("browse", "example")
    await expect(prefixed.page.locator("td .label-link")).to_have_text(["garden", "pond"])
    await prefixed.go("label", "example", "garden")
    await expect(prefixed.page.locator(".trust")).to_contain_text("Proven here")
    await prefixed.go("network")
    await expect(prefixed.page.get_by_text("This node has no peers yet.")).to_be_visible()


async def test_pages_of_labels_work_under_a_prefix(prefixed: Explorer, node: Node) -> None:
    await hold(node, *(recent(f"label {number:03}") for number in range(60)))
    await prefixed.go("browse", "example")

    await prefixed.button("Next page").click()

    await expect(prefixed.page.locator("td .label-link").first).to_have_text("label 050")


async def test_live_events_and_claims_work_under_a_prefix(prefixed: Explorer) -> None:
    await prefixed.go("write", query="?domain=example.org&label=garden")
    await prefixed.make_key()
    await prefixed.button("Sign and send").click()
    await expect(prefixed.page.locator(".result")).to_contain_text("Founded")

    await prefixed.go("live")
    await expect(prefixed.page.get_by_text("Listening")).to_be_visible()
    await expect(prefixed.page.locator(".stored .label-link")).to_have_text(["garden"])


LOST_LABELS = (".", "..", "a/b", "a/../b", "/", "%2F", "?x=1", "#")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def decoded(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Explorer]:
    """The page of a node with these labels, behind a proxy that decodes slashes."""
    async with Node(Settings(port=0, data=tmp_path_factory.mktemp("decoded") / "data")) as node:
        await hold(node, *(recent(label, gate=f"green {label}") for label in LOST_LABELS), recent("other"))
        async with prefix_proxy(node.url, decodes=True) as url, Explorer.opened(browser, url) as explorer:
            yield explorer


@pytest.mark.parametrize("label", LOST_LABELS)
async def test_labels_that_a_path_loses_are_shown_behind_a_proxy_that_decodes_slashes(
    decoded: Explorer, label: str
) -> None:
    await decoded.go("browse", "example")

    await decoded.page.get_by_role("link", name=label, exact=True).click()

    await expect(decoded.page.get_by_role("heading", level=1)).to_have_text(label)
    await expect(decoded.page.get_by_role("region", name="Head")).to_contain_text(f"green {label}")
    await expect(decoded.page.locator(".trust")).to_contain_text("Proven here")


@needs("nginx")
async def test_the_page_works_behind_nginx_as_deployed(browser: Browser, node: Node, tmp_path: Path) -> None:
    with nginx(tmp_path, node.url) as proxy:
        async with Explorer.opened(browser, proxy.prefixed_url, ignore_https_errors=True) as explorer:
            await hold(node, recent())
            await explorer.go("live")
            await expect(explorer.page.get_by_text("Listening")).to_be_visible()
            await expect(explorer.page.locator(".label-link")).to_have_text(["garden"])
            explorer.forget_refused_peers()  # the proxy makes every caller a stranger
