"""Answers: JSON bodies, and the headers that let pages of any origin read public data (CORS, in the Fetch standard)."""

from typing import Final

import msgspec
from aiohttp import web

from node.fleet.relay import COMMIT_HEADER
from node.http_api.requests.accept import JSON_TYPE
from node.removal.erased import ERASED_HEADER

CERTAINTY_HEADER: Final = "Dnarc-Certainty"
"""How sure the head of a label is: `claimed`, `ordered` or `final`."""

CURSOR_HEADER: Final = "Dnarc-Cursor"
"""The cursor where a stream begins, for a client that loses the connection before the first event."""

_READABLE: Final = (
    CERTAINTY_HEADER,
    COMMIT_HEADER,
    CURSOR_HEADER,
    ERASED_HEADER,
    "ETag",
    "Link",
    "Preference-Applied",
    "Retry-After",
)
"""Headers that a page of another origin may read, beside those that every page may read, such as `Content-Type`."""

EXPOSED_HEADERS: Final = {"Access-Control-Expose-Headers": ", ".join(_READABLE)}

PUBLIC_HEADERS: Final = {"Access-Control-Allow-Origin": "*", **EXPOSED_HEADERS}
"""Any page may read claims, because claims are public and no answer depends on a cookie."""

PREFLIGHT_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Accept, If-None-Match",
    "Access-Control-Max-Age": "86400",
}


_PUBLIC_JSON = {**PUBLIC_HEADERS, "Content-Type": JSON_TYPE}
PRIVATE_JSON: Final = {"Content-Type": JSON_TYPE}


def public(value: object) -> web.Response:
    """An answer that any page may read. `value` is anything that msgspec can encode."""
    return web.Response(body=msgspec.json.encode(value), headers=_PUBLIC_JSON)


def private(value: object, status: int = 200) -> web.Response:
    """An answer that pages of other origins may not read. `value` is anything that msgspec can encode."""
    return web.Response(status=status, body=msgspec.json.encode(value), headers=PRIVATE_JSON)
