"""A real node on a free port, with a clock that stands still, and a client for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.node import Node
from node.settings.settings import Settings
from node.world import World
from tests.node.http_api.talking import NOW, Client


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(Settings(port=0, data=tmp_path / "data"), World(now_s=lambda: NOW)) as node:
        yield node


@pytest.fixture
async def client(node: Node) -> AsyncIterator[Client]:
    async with Client(node.url) as client:
        yield client
