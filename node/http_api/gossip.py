"""Where other nodes knock: `GET /gossip` becomes a WebSocket, and a link over it (section 5 of the contract)."""

from typing import TYPE_CHECKING

from aiohttp import web

from node.http_api.caller import quota_address

if TYPE_CHECKING:
    from node.node import Node


async def get_gossip(node: "Node", request: web.Request) -> web.StreamResponse:
    return await node.links.accept(request, quota_address(request))
