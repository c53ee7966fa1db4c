"""The node's figures, for Prometheus to scrape."""

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from node.http_api.parts import ApiParts


async def get_metrics(parts: ApiParts, _request: web.Request) -> web.StreamResponse:
    body = generate_latest(parts.registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
