"""Conditional requests: `If-Match` and `If-None-Match` in every form that RFC 9110, section 13.1, allows.

Both headers hold `*`, or a list of entity tags, which may be spread over several lines. `If-Match` compares tags
strongly, so a weak tag (`W/"…"`) never matches. `If-None-Match` compares them weakly. The server evaluates `If-Match`
first (section 13.2.2).
"""

import re
from typing import Final

from aiohttp import web

from node.http_api.requests.fields import read_list
from protocol.errors import Code, ProtocolError
from protocol.records.admission import ANY_HEAD, Precondition

_ITEM: Final = re.compile(r'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\uffff]*)"[ \t]*)?(?:,|\Z)')
"""One item of a list of entity tags (section 8.8.3). An item may be empty (section 5.6.1.2)."""


def is_unchanged(request: web.BaseRequest, etag: str) -> bool:
    """Whether the client of a `GET` has the representation of this strong ETag already, so that the answer is 304.

    Raises:
        ProtocolError: `precondition_failed` if `If-Match` does not name the tag; `malformed` if it cannot be read.
    """
    opaque = etag.strip('"')
    if "If-Match" in request.headers:
        names = read_tags(request, "If-Match", is_strong=True)
        if names.isdisjoint((opaque, ANY_HEAD)):
            raise ProtocolError(Code.PRECONDITION_FAILED, f"the ETag is {etag}, which `If-Match` does not name")
    if "If-None-Match" not in request.headers:
        return False
    try:
        names = read_tags(request, "If-None-Match", is_strong=False)
    except ProtocolError:  # the client gets the answer instead of a refusal: it may keep a tag of another server
        return False
    return not names.isdisjoint((opaque, ANY_HEAD))


def read_precondition(request: web.BaseRequest) -> Precondition | None:
    """What the client of a `PUT` demands of the label's head, whose ETag is its id. None: nothing.

    Raises:
        ProtocolError: `malformed` for a header that cannot be read.
    """
    match = read_tags(request, "If-Match", is_strong=True) if "If-Match" in request.headers else None
    none_match = read_tags(request, "If-None-Match", is_strong=False)
    return None if match is None and not none_match else Precondition(match, none_match)


def read_tags(request: web.BaseRequest, header: str, *, is_strong: bool) -> frozenset[str]:
    """The opaque parts of the tags in a header; `ANY_HEAD` for `*`. `is_strong`: weak tags are left out.

    Raises:
        ProtocolError: `malformed`; `too_large` for too many tags.
    """
    field = read_list(request, header)
    if field.strip() == "*":
        return frozenset({ANY_HEAD})
    names: set[str] = set()
    position = 0
    while position < len(field):
        item = _ITEM.match(field, position)
        if item is None:
            raise ProtocolError(Code.MALFORMED, f'`{header}` is `*`, or ETags between commas, such as "a", "b"')
        position = item.end()
        if item[2] is not None and not (is_strong and item[1]):
            names.add(item[2])
    return frozenset(names)
