"""Clients of event streams: one parses what comes, by either protocol; one reads only as much as a test says."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from node.http_api.answers.json_answer import CURSOR_HEADER
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from tests.node.http_api.talking import NOW, Client

TIMEOUT_S = 120
"""Only ends a test that hangs."""

WEBSOCKET, SERVER_SENT = "/stream", "/events"
BOTH = pytest.mark.parametrize("path", [WEBSOCKET, SERVER_SENT])
"""For a test of both protocols."""

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}


class Listener:
    """A client of either protocol. `next` returns an event, a sign of life, or the goodbye, as `(kind, value)`."""

    def __init__(self, path: str, cursor: str, answer: Any) -> None:
        self.cursor = cursor
        self.answer = answer
        self.next = self._next_frame if path == WEBSOCKET else self._next_server_sent

    async def event(self) -> Any:
        """The next event. Signs of life are skipped."""
        async with asyncio.timeout(TIMEOUT_S):
            kind, value = await self.next()
            while kind != "event":
                assert kind == "sign", value
                kind, value = await self.next()
            return value

    async def labels(self, count: int) -> list[str]:
        return [(await self.event())["label"] for _ in range(count)]

    async def until(self, kind: str) -> Any:
        """The value of the next item of this kind."""
        async with asyncio.timeout(TIMEOUT_S):
            while (said := await self.next())[0] != kind:
                pass
            return said[1]

    async def _next_frame(self) -> tuple[str, Any]:
        message = await self.answer.receive()
        if message.type is aiohttp.WSMsgType.CLOSE:
            return "close", {"status": message.data} | json.loads(message.extra)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        value = json.loads(message.data)
        return ("sign", value["cursor"]) if value["type"] == "progress" else ("event", value)

    async def _next_server_sent(self) -> tuple[str, Any]:
        """Read one event, as WHATWG HTML, section 9.2.6, says."""
        fields: dict[str, str] = {}
        async for line in self.answer.content:
            if line == b"\n":
                break
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value
        else:
            return "end", None
        if fields.get("event") == "close":
            return "close", json.loads(fields["data"])
        if "data" not in fields:
            return "sign", fields.get("id")
        value = json.loads(fields["data"])
        assert value["cursor"] == fields["id"]
        return "event", value


@asynccontextmanager
async def listening(
    node: Node, path: str, query: str = "", headers: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Listener]:
    async with aiohttp.ClientSession() as session:
        url = f"{node.url}{path}{query}"
        if path == WEBSOCKET:
            async with session.ws_connect(url, headers=headers, max_msg_size=0, **options) as answer:
                yield Listener(path, answer._response.headers[CURSOR_HEADER], answer)
        else:
            async with session.get(url, headers=headers) as answer:
                yield Listener(path, answer.headers[CURSOR_HEADER], answer)


@asynccontextmanager
async def running(folder: Path, **chosen: Any) -> AsyncIterator[tuple[Node, Client]]:
    settings = Settings(port=0, data=folder / "data", **chosen)
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        yield node, client


async def connect(node: Node, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that reads only when a test reads. Its buffers are small."""
    endpoint = socket.socket()
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    endpoint.setblocking(False)
    parts = urlsplit(node.url)
    await asyncio.get_running_loop().sock_connect(endpoint, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=endpoint, limit=1_024)
    headers = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items() if path == WEBSOCKET)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    return reader, writer
