"""Fields: headers whose value is a list, of which the lines make one list (RFC 9110, section 5.3).

A list has at most `ITEMS_MAX` items. To read an item takes up to a microsecond, and a head has room for 30,000 of them.
Without the limit, a few connections with long lists would hold each turn of the event loop for long, and a single claim
takes ten turns.
"""

from typing import Final

from aiohttp import web

from node.http_api.requests.refused import RefusedError
from protocol.errors import Code

ITEMS_MAX: Final = 1_000
"""Items of a list, and parameters of them, as commas and semicolons count them. As many ETags fill a head."""


def read_list(request: web.BaseRequest, header: str) -> str:
    """The whole list, empty without this header.

    Raises:
        RefusedError: `too_large`, with status 431 (RFC 6585, section 5), for too many items.
    """
    field = ",".join(request.headers.getall(header, ()))
    if field.count(",") + field.count(";") >= ITEMS_MAX:
        raise RefusedError(431, f"`{header}` has at most {ITEMS_MAX} items and parameters", code=Code.TOO_LARGE)
    return field
