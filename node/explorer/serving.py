"""Serves the page: its files are read once, and each gets an ETag and strict security headers.

The policy (Content Security Policy Level 3, Trusted Types) allows scripts and styles from this node only, and forbids
scripts to turn text into markup. So a stranger's claim stays text even if the page has a bug. A browser asks for each
file again with its ETag, so an upgraded node never shows an old page.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from node.http_api.handlers.read import get_pointer
from node.http_api.requests.accept import JSON_TYPE, read_weights
from node.http_api.requests.conditions import is_unchanged
from node.http_api.requests.fields import read_list
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import Parameter
from node.http_api.route import Route
from node.http_api.schemas import STRING
from protocol.errors import Code, ProtocolError

HTML_TYPE: Final = "text/html"
SCRIPT_TYPE: Final = "text/javascript"
OTHER_TYPES: Final = {".css": "text/css", ".svg": "image/svg+xml"}

_TYPES: Final = {".html": HTML_TYPE, ".js": SCRIPT_TYPE, **OTHER_TYPES}

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


class Asset(msgspec.Struct, frozen=True):
    """One file of the page."""

    body: bytes
    content_type: str
    etag: str


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Asset(body, f"{_TYPES[path.suffix]}; charset=utf-8", etag)


ASSETS: Final = {path.name: _read(path) for path in sorted((Path(__file__).parent / "page").iterdir())}
"""All files of the page by name: about 100 kB."""

PAGE: Final = "index.html"


async def get_root(parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """The page; for a client that asks for JSON, the addresses to go on from."""
    is_page = prefers_page(read_list(request, "Accept"))
    answer = _answer(request, ASSETS[PAGE]) if is_page else await get_pointer(parts, request)
    answer.headers["Vary"] = "Accept"
    return answer


async def get_asset(_parts: ApiParts, request: web.Request) -> web.StreamResponse:
    """A file that the page names."""
    asset = ASSETS.get(request.match_info["file"])
    if asset is None or request.match_info["file"] == PAGE:
        raise ProtocolError(Code.UNKNOWN_ROUTE, "the explorer has no file of this name")
    return _answer(request, asset)


def _answer(request: web.BaseRequest, asset: Asset) -> web.Response:
    headers = {**HEADERS, "ETag": asset.etag}
    if is_unchanged(request, asset.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, headers={**headers, "Content-Type": asset.content_type})


def prefers_page(accept: str) -> bool:
    """Whether an `Accept` header prefers HTML to JSON. A client that accepts anything gets the page."""
    weights = read_weights(accept)
    json = weights.get(JSON_TYPE, weights.get("application/*", 0.0))
    return not json or weights.get(HTML_TYPE, weights.get("text/*", weights.get("*/*", 0.0))) > json


_CONDITIONS: Final = (
    Parameter("If-None-Match", STRING, "ETags seen before: 304 if the file has one of them still."),
    Parameter("If-Match", STRING, "ETags: 412 if the file has none of them."),
)

ROUTES: Final = (
    Route(
        method="GET",
        path="/",
        handler=get_root,
        summary="The explorer for a browser; where to go from here for any other client",
        answers={200: "Pointer"},
        texts=(HTML_TYPE,),
        headers=_CONDITIONS,
        codes=(Code.PRECONDITION_FAILED,),
        is_public=True,
        ignores_unknown=True,
    ),
    Route(
        method="GET",
        path="/explorer/{file}",
        handler=get_asset,
        summary="A script, a style or an icon of the explorer",
        answers={200: "Text"},
        content_type=SCRIPT_TYPE,
        texts=tuple(OTHER_TYPES.values()),
        variables=(Parameter("file", STRING, "A file that the explorer's page names."),),
        headers=_CONDITIONS,
        codes=(Code.UNKNOWN_ROUTE, Code.PRECONDITION_FAILED),
        ignores_unknown=True,
    ),
)
