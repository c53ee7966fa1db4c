"""A small proxy that serves a node under a path prefix, as `location /dnarc/` of nginx does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import WSMsgType, web
from yarl import URL

PREFIX: Final = "/dnarc"

_PER_CONNECTION: Final = ("Connection", "Transfer-Encoding", "Content-Length", "Host", "Upgrade")


class PrefixProxy:
    """Forwards `/dnarc/…` to a node without the prefix, and answers 404 to everything else.

    - `decodes`: percent-encoded slashes in paths are decoded on the way, as several real proxies do.
    - `passes_websockets`: without this, a WebSocket is refused, as by a proxy that does not forward `Upgrade`.
    """

    def __init__(self, node_url: str, *, decodes: bool, passes_websockets: bool) -> None:
        self._node_url = node_url
        self._decodes = decodes
        self._passes_websockets = passes_websockets
        self._session = aiohttp.ClientSession(auto_decompress=False)

    async def close(self) -> None:
        await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        target = self._target(request)
        if target is None:
            return web.Response(status=404, text="outside of the prefix")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._join(request, target) if self._passes_websockets else web.Response(status=400)
        return await self._forward(request, target)

    def _target(self, request: web.Request) -> URL | None:
        path, _, query = request.raw_path.partition("?")
        if not path.startswith(f"{PREFIX}/"):
            return None
        rest = path.removeprefix(PREFIX)
        if self._decodes:
            rest = rest.replace("%2F", "/")
        return URL(f"{self._node_url}{rest}?{query}", encoded=True)

    async def _forward(self, request: web.Request, target: URL) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name not in _PER_CONNECTION}
        body = await request.read()
        async with self._session.request(
            request.method, target, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name not in _PER_CONNECTION}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _join(self, request: web.Request, target: URL) -> web.StreamResponse:
        """Forward a WebSocket's messages from the node to the browser. The page itself sends none."""
        browser = web.WebSocketResponse()
        async with self._session.ws_connect(target) as node:
            await browser.prepare(request)
            async for message in node:
                if message.type is WSMsgType.TEXT:
                    await browser.send_str(message.data)
        await browser.close()
        return browser


@asynccontextmanager
async def prefix_proxy(node_url: str, *, decodes: bool = False, passes_websockets: bool = True) -> AsyncIterator[str]:
    """The address under which the proxy serves this node, without a slash at its end."""
    proxy = PrefixProxy(node_url, decodes=decodes, passes_websockets=passes_websockets)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        await runner.cleanup()
        await proxy.close()
