"""Where other nodes open links: `GET /gossip` becomes a WebSocket, and a link over it (section 5 of the contract)."""

from aiohttp import web

from node.http_api.requests.caller import quota_address
from node.http_api.requests.parts import ApiParts


async def get_gossip(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return await parts.links.accept(request, quota_address(parts, request))
