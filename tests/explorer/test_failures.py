"""Failures: the page names the part that failed, and does not blame the node for others."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from node.node import Node
from node.settings.settings import Settings
from tests.explorer.browsing import Explorer, hold, recent
from tests.explorer.prefix_proxy import prefix_proxy
from tests.ports import lasting_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

NO_ED25519 = """
    for (const name of ["importKey", "generateKey"]) {
        SubtleCrypto.prototype[name] = async () => { throw new DOMException("Unrecognized name", "SyntaxError"); };
    }
"""
NO_ABORT_SIGNAL_ANY = "delete AbortSignal.any; delete AbortSignal.timeout;"
NO_WEBSOCKET = "delete globalThis.WebSocket;"
FAULTY_PAGE = """
    Object.defineProperty(Intl.NumberFormat.prototype, "format", { get() { throw new Error("no numbers today"); } });
"""


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    """For a page that outlives its node."""
    async with AsyncExitStack() as stack:
        yield stack


async def with_script(explorer: Explorer, script: str) -> None:
    """Load the page again in a browser that this script has changed."""
    await explorer.page.add_init_script(script)
    await explorer.page.reload()


async def test_a_browser_without_newer_functions_reaches_the_node(explorer: Explorer, node: Node) -> None:
    await with_script(explorer, NO_ABORT_SIGNAL_ANY)

    await expect(explorer.page.locator(".node-key")).to_have_text(node.key.public)
    await explorer.go("browse")
    await expect(explorer.page.get_by_text("This node holds nothing yet.")).to_be_visible()
    await expect(explorer.page.locator("#reach")).to_be_empty()


async def test_a_browser_without_ed25519_is_named_and_not_the_record(explorer: Explorer, node: Node) -> None:
    await hold(node, recent())
    await with_script(explorer, NO_ED25519)

    await explorer.go("label", "example", "garden")
    await expect(explorer.page.locator(".trust")).to_contain_text("Not checked")
    await expect(explorer.page.locator(".mark")).to_have_text(
        "Signature not checked: this browser has no Ed25519 (SyntaxError)"
    )
    await explorer.go("write")
    await expect(explorer.page.locator(".notice")).to_have_text(
        "This page cannot sign here: this browser has no Ed25519 (SyntaxError)."
    )


async def test_a_browser_without_websockets_is_named_and_not_the_connection(explorer: Explorer) -> None:
    await with_script(explorer, NO_WEBSOCKET)

    await explorer.go("live")

    await expect(explorer.page.locator(".notice")).to_contain_text("this browser opens no live connection")


async def test_a_fault_of_the_page_is_not_blamed_on_the_node(explorer: Explorer, node: Node) -> None:
    await hold(node, recent())
    await with_script(explorer, FAULTY_PAGE)

    await explorer.go("browse")

    await expect(explorer.page.get_by_role("alert")).to_contain_text("no numbers today")
    await expect(explorer.page.get_by_role("alert")).to_contain_text("a fault of the page and not of the node")
    explorer.said.clear()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (502, "<h1>Bad Gateway</h1>", "The proxy in front of the node does not reach the node."),
        (200, "<h1>Please sign in</h1>", "Something in front of the node answers, such as a proxy or a sign-in page."),
        (403, "<h1>Forbidden</h1>", "Something in front of the node answers, such as a proxy or a sign-in page."),
    ],
)
async def test_an_answer_that_no_node_gave_is_not_blamed_on_the_node(
    explorer: Explorer, status: int, body: str, words: str
) -> None:
    async def answer(route: Route) -> None:
        await route.fulfill(status=status, body=body, content_type="text/html")

    await explorer.page.route("**/node", answer)
    await explorer.go("browse")

    await expect(explorer.page.get_by_role("alert")).to_contain_text(words)
    explorer.said = [line for line in explorer.said if "the server responded with a status" not in line]


async def test_a_proxy_that_passes_no_websockets_is_named(browser: Browser, node: Node) -> None:
    async with (
        prefix_proxy(node.url, passes_websockets=False) as url,
        Explorer.opened(browser, url) as explorer,
    ):
        await explorer.go("live")

        notice = explorer.page.locator(".notice")
        await expect(notice).to_contain_text("the live connection (a WebSocket) does not open")
        await expect(notice).to_contain_text("A proxy in front of it may not pass on WebSockets")
        explorer.forget_lost_connections()


async def test_a_page_whose_files_do_not_load_says_so(explorer: Explorer) -> None:
    await explorer.page.route("**/replay.js", lambda route: route.abort())

    await explorer.page.reload()

    await expect(explorer.page.get_by_role("alert")).to_contain_text("did not load. Reload the page.")
    explorer.forget_lost_connections()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (("browse",), "example"),
        (("browse", "example"), "garden"),
        (("label", "example", "garden"), "Proven here"),
        (("network",), "This node has no peers yet."),
        (("live",), "Listening"),
    ],
)
async def test_every_view_comes_when_a_node_that_was_away_is_back(
    browser: Browser, stack: AsyncExitStack, tmp_path: Path, place: tuple[str, ...], words: str
) -> None:
    port = lasting_port()
    async with Node(Settings(port=port, data=tmp_path / "data")) as node:
        explorer = await stack.enter_async_context(Explorer.opened(browser, node.url))
        await hold(node, recent())

    await explorer.go(*place)
    trouble = explorer.page.locator("main .problem, main .notice")
    await expect(trouble).to_contain_text("no answer came from the node")

    async with Node(Settings(port=port, data=tmp_path / "data")):
        await expect(explorer.page.locator("main")).to_contain_text(words)
        await expect(trouble).to_have_count(0)
        explorer.forget_lost_connections()
        await stack.aclose()


async def test_a_person_can_try_again_at_once(explorer: Explorer, node: Node) -> None:
    await hold(node, recent())
    await explorer.context.set_offline(True)
    await explorer.go("browse")
    await expect(explorer.button("Try again")).to_be_visible()
    await explorer.context.set_offline(False)

    await explorer.button("Try again").click()

    await expect(explorer.page.get_by_role("link", name="example")).to_be_visible()
    explorer.forget_lost_connections()


async def test_a_head_that_could_not_be_read_is_read_again_before_anything_is_signed(
    explorer: Explorer, node: Node
) -> None:
    await explorer.go("write")
    await explorer.make_key()
    await explorer.context.set_offline(True)
    await explorer.field("Domain").fill("example.org")
    await explorer.field("Label").fill("garden")
    await expect(explorer.page.locator(".standing")).to_contain_text("no answer came from the node")
    await expect(explorer.button("Sign and send")).to_be_disabled()

    await explorer.context.set_offline(False)

    await expect(explorer.page.locator(".standing")).to_have_text("Nobody has this label here: you will found it.")
    await expect(explorer.button("Sign and send")).to_be_enabled()
    explorer.forget_lost_connections()
