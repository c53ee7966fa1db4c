"""A person at the explorer: a page of one node, and what a test does on it."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from node.node import Node
from protocol.record import Record, SignedRecord
from tests.history import ALICE, claim, signed
from tests.node.http_api.talking import Client

WAIT_MS: Final = 30_000
"""Ends a hang; nothing waits this long where all is well."""

NOW: Final = int(time.time())
"""When these tests began: their nodes have the real clock, as their browser has."""


class Explorer:
    """One page in a profile of its own. `said` is what it said on its console, `strangers` whom else it asked."""

    def __init__(self, context: BrowserContext, page: Page, node: Node) -> None:
        self.context = context
        self.page = page
        self.node = node
        self.said: list[str] = []
        self.strangers: list[str] = []

    @classmethod
    @asynccontextmanager
    async def opened(cls, browser: Browser, node: Node, **options: Any) -> "AsyncIterator[Explorer]":
        """Open the overview. At the end the page has to have been silent, and to have kept to its node."""
        context = await browser.new_context(**options)
        context.set_default_timeout(WAIT_MS)
        try:
            page = await context.new_page()
            explorer = cls(context, page, node)
            page.on("console", explorer._on_console)
            page.on("pageerror", lambda error: explorer.said.append(str(error)))
            page.on("request", explorer._on_request)
            await page.goto(f"{node.url}/")
            yield explorer
        finally:
            await context.close()
        assert explorer.said == []
        assert explorer.strangers == []

    async def go(self, *names: str, query: str = "") -> None:
        """Open the place of these names: `go("label", "example", "garden")`."""
        path = "/".join(quote(name, safe="") for name in names)
        await self.page.goto(f"{self.node.url}/#/{path}{query}")
        await self.page.locator(f"main[data-view='{names[0] or 'overview'}'] h1").wait_for()

    async def text(self, selector: str) -> str:
        return await self.page.locator(selector).first.inner_text()

    async def put(self, *records: Record) -> None:
        """Have the node hold these, whatever their age."""
        async with Client(self.node.url) as client:
            await client.import_all(self.node, records)

    async def put_signed(self, records: Sequence[SignedRecord]) -> dict[str, Any]:
        body = b"{%s}" % b",".join(b'"%s":%s' % (it.signature.encode(), it.record.canonical) for it in records)
        async with Client(self.node.url) as client:
            answer = await client.send("PUT", "/claims", body)
        return dict(answer.json())

    async def history(self, domain: str, label: str) -> dict[str, Any]:
        async with Client(self.node.url) as client:
            answer = await client.get(f"/claims/{quote(domain, safe='')}/{quote(label, safe='')}/history")
        return dict(json.loads(answer.body))

    def _on_console(self, message: ConsoleMessage) -> None:
        self.said.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.node.url}/", f"blob:{self.node.url}/")):
            self.strangers.append(request.url)


def now_claim(label: str = "garden", ago: int = 0, **fields: Any) -> Record:
    """A record of about now, as a node takes it from anybody."""
    return claim(label, fields.pop("by", ALICE), NOW - ago, **fields)


__all__ = ["NOW", "WAIT_MS", "Explorer", "now_claim", "signed"]
