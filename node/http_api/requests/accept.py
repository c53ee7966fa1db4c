"""Content negotiation: how much a client wants a media type (RFC 9110, section 12.5.1)."""

import re
from typing import Final

from aiohttp import web

from node.http_api.requests.fields import read_list

JSON_TYPE: Final = "application/json"
LINES_TYPE: Final = "application/x-ndjson"

_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def wants_lines(request: web.BaseRequest) -> bool:
    """Whether the client wants NDJSON: it names that type, and does not prefer JSON."""
    weights = read_weights(read_list(request, "Accept"))
    lines = weights.get(LINES_TYPE, 0.0)
    return lines > 0 and lines >= weight_of(weights, JSON_TYPE)


def read_weights(field: str) -> dict[str, float]:
    """The weights of the media ranges in `Accept`, in lower case. A weight that cannot be read counts as 0."""
    return dict(_read_range(item) for item in field.split(",") if item.strip())


def weight_of(weights: dict[str, float], media_type: str) -> float:
    """The weight of a media type. The most specific range counts; without any, the type is not wanted."""
    main, _, _ = media_type.partition("/")
    ranges = (media_type, f"{main}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0.0)


def _read_range(item: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in item.split(";"))
    weights = [parameter[2:].strip() for parameter in parameters if parameter.startswith("q=")]
    if not weights:
        return media, 1.0
    return media, float(weights[0]) if _WEIGHT.fullmatch(weights[0]) else 0.0
