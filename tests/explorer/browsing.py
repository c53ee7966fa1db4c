"""Drives the explorer: one page of one node in a browser, and what a person does on it."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, FilePayload, Locator, Page, Request, expect

from node.node import Node
from protocol.records.record import Record
from protocol.signing import SigningKey
from tests.history import ALICE, BOB, claim
from tests.node.http_api.talking import Client

WAIT_MS: Final = 120_000
"""Milliseconds after which a test that hangs ends. A test that passes never waits this long."""

NOW: Final = int(time.time())
"""When the tests began. Their nodes use the real clock, because the browser does."""

SEEDS: Final = {ALICE.public: b"alice".ljust(32, b"."), BOB.public: b"bob".ljust(32, b".")}
"""The secrets of these keys, as key files hold them."""

FAR_HOST: Final = "far.example"
"""A host name that leads to this machine. The browser gives pages of other hosts fewer functions without TLS."""


class Explorer:
    """One page in its own browser profile.

    `said`: the errors and warnings on its console; `sent`: its requests; `strangers`: requests to others than its node.
    """

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        self.said: list[str] = []
        self.strangers: list[str] = []
        self.sent: list[str] = []

    @classmethod
    @asynccontextmanager
    async def opened(cls, browser: Browser, url: str, **options: Any) -> "AsyncIterator[Explorer]":
        """Open the overview. At the end, fail if the page wrote to its console or asked anybody but its node."""
        context = await browser.new_context(**options)
        context.set_default_timeout(WAIT_MS)
        try:
            page = await context.new_page()
            explorer = cls(context, page, url)
            page.on("console", explorer._on_console)
            page.on("pageerror", lambda error: explorer.said.append(str(error)))
            page.on("request", explorer._on_request)
            await page.goto(f"{url}/")
            yield explorer
            assert not explorer.said, explorer.said
            assert not explorer.strangers, explorer.strangers
        finally:
            await context.close()

    async def go(self, view: str, *names: str, query: str = "") -> None:
        """Open another place than the present one: `go("label", "example", "garden")`."""
        path = "/".join(quote(name, safe="") for name in (view, *names))
        await self.page.evaluate("document.querySelector('main h1')?.setAttribute('data-left', '')")
        await self.page.goto(f"{self.url}/#/{path}{query}")
        await self.page.locator(f"main[data-view='{view}'] h1:not([data-left])").wait_for()

    def field(self, name: str) -> Locator:
        return self.page.get_by_label(name, exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def make_key(self) -> str:
        """Make a key and save it, because the page signs with saved keys only. Gives the public key."""
        await self.button("Make a new key").click()
        async with self.page.expect_download():
            await self.button("Save the key file").click()
        await self.button("I have saved it").click()
        return await self.page.locator(".own code").inner_text()

    async def load_key(self, key: SigningKey) -> None:
        """Load a key file, as `dnarc keygen` writes it, in the place of any other key."""
        if await self.button("Forget it").is_visible():
            await self.button("Forget it").click()
        body = json.dumps({"version": 1, "public": key.public, "seed": SEEDS[key.public].hex()}).encode()
        file = FilePayload(name="dnarc.key", mimeType="application/json", buffer=body)
        await self.page.locator("#key-file").set_input_files(file)
        await expect(self.page.locator(".own code")).to_have_text(key.public)

    def forget_lost_connections(self) -> None:
        """Drop the lines that the browser itself writes to the console if a node does not answer."""
        self.said = [line for line in self.said if "net::ERR_" not in line and "WebSocket connection" not in line]

    def forget_refused_peers(self) -> None:
        """Drop the lines that the browser itself writes to the console if a stranger may not see the peers."""
        self.said = [line for line in self.said if "401 (Unauthorized)" not in line]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        self.sent.append(f"{request.method} {request.url} {request.post_data or ''}")
        if not request.url.startswith((f"{self.url}/", f"blob:{self.url}/")):
            self.strangers.append(request.url)


async def hold(node: Node, *records: Record) -> None:
    """Give the node these records, whatever their age."""
    async with Client(node.url) as client:
        await client.import_all(node, records)


def recent(label: str = "garden", by: SigningKey = ALICE, ago: int = 0, **fields: Any) -> Record:
    """A record with a timestamp `ago` seconds before the tests began."""
    return claim(label, by, NOW - ago, **fields)
