"""What pages of other origins may do in a browser (CORS, in the Fetch standard).

Any page may read public answers. Only pages of the origins in the setting `write_origins` may write claims, because a
page that may write can spend the quota of everybody who opens it.
"""

from collections.abc import Collection, Sequence
from typing import Final

from aiohttp import web

from node.http_api.answers.json_answer import EXPOSED_HEADERS, PREFLIGHT_HEADERS
from node.http_api.route import Route

_WRITE_METHODS: Final = "GET, HEAD, PUT"
_WRITE_HEADERS: Final = "Accept, Content-Type, If-Match, If-None-Match, Prefer"


def preflight_headers(
    request: web.BaseRequest, routes: Sequence[Route], write_origins: Collection[str]
) -> dict[str, str]:
    """The headers that answer a browser's preflight. `routes` are those of the path."""
    origin = request.headers.get("Origin", "")
    method = request.headers.get("Access-Control-Request-Method")
    vary = {"Vary": "Origin, Access-Control-Request-Method"} if write_origins else {}
    if origin in write_origins and any(route.is_writable and route.method == method for route in routes):
        allowed = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": _WRITE_METHODS,
            "Access-Control-Allow-Headers": _WRITE_HEADERS,
        }
        return PREFLIGHT_HEADERS | allowed | vary
    return PREFLIGHT_HEADERS | vary if any(route.is_public for route in routes) else {}


def allow_origin(request: web.BaseRequest, response: web.StreamResponse, write_origins: Collection[str]) -> None:
    """Let the page that wrote a claim read the answer, if its origin may write."""
    if not write_origins:
        return
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("Origin", "")
    if origin in write_origins:
        response.headers.update({"Access-Control-Allow-Origin": origin, **EXPOSED_HEADERS})
