"""Answers: JSON bodies, and the headers that let pages of any origin read public data (the Fetch standard's CORS)."""

from typing import Final

import msgspec
from aiohttp import web

JSON_TYPE: Final = "application/json"
LINES_TYPE: Final = "application/x-ndjson"

PUBLIC_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Link",
}
"""Claims are for everybody, and no answer depends on a cookie, so any page may read them."""

PREFLIGHT_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Accept, If-None-Match",
    "Access-Control-Max-Age": "86400",
}


def matches_etag(asked: str, etag: str) -> bool:
    """Whether an `If-None-Match` names this tag: weakly, as for every GET (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
    return etag in tags or tags == ["*"]


_PUBLIC_JSON = {**PUBLIC_HEADERS, "Content-Type": JSON_TYPE}
_PRIVATE_JSON = {"Content-Type": JSON_TYPE}


def public(value: object) -> web.Response:
    """Any value that msgspec can encode, for everybody."""
    return web.Response(body=msgspec.json.encode(value), headers=_PUBLIC_JSON)


def private(value: object, status: int = 200) -> web.Response:
    """Any value that msgspec can encode, not for pages of other origins."""
    return web.Response(status=status, body=msgspec.json.encode(value), headers=_PRIVATE_JSON)
