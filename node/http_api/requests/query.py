"""Query parameters: each is checked before anything is done with it.

Nothing is guessed and nothing is ignored. A parameter that is misspelled, or that is given twice, would otherwise
silently ask for something else.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web

from protocol.errors import Code, ProtocolError
from protocol.limits import SAFE_INTEGER_MAX

LIMIT_MAX: Final = 10_000
"""Items of one page. A listing without `limit` has no pages: it gives all items in one answer."""

RECORD_IDS_MAX: Final = 100

_DIGITS_MAX = 16


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a route, or one header: its name, its JSON schema, and what it does.

    `is_repeatable`: it may be given more than once.
    """

    name: str
    schema: Mapping[str, object]
    description: str
    is_repeatable: bool = False
    is_required: bool = False


def check_names(request: web.BaseRequest, parameters: Mapping[str, Parameter]) -> None:
    """Raises: ProtocolError: `malformed` for an unknown parameter, a repeated one, or a query that is not UTF-8."""
    _check_text(request.rel_url.raw_query_string)
    given = request.query
    for name in given:
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ProtocolError(
                Code.MALFORMED, f"this request has no parameter {name[:40]!r}; it has: {known}", parameter=name
            )
        if not parameters[name].is_repeatable and len(given.getall(name)) > 1:
            raise ProtocolError(Code.MALFORMED, f"`{name}` may be given only once", parameter=name)


def _check_text(raw_query: str) -> None:
    """Refuse a query that is not UTF-8. Its wrong bytes are decoded to U+FFFD, which a label may contain.

    Raises:
        ProtocolError: `malformed`.
    """
    try:
        unquote_to_bytes(raw_query).decode()
    except UnicodeError as error:
        raise ProtocolError(Code.MALFORMED, "the query is not UTF-8") from error


def required(request: web.BaseRequest, name: str) -> str:
    """The parameter's value.

    Raises:
        ProtocolError: `malformed` if it is not given.
    """
    value = request.query.get(name)
    if value is None:
        raise ProtocolError(Code.MALFORMED, f"`{name}` is missing", parameter=name)
    return value


def flag(request: web.BaseRequest, name: str) -> bool:
    """The parameter's value, `true` or `false`. False if it is not given.

    Raises:
        ProtocolError: `malformed`.
    """
    text = request.query.get(name, "false")
    if text not in ("true", "false"):
        raise ProtocolError(Code.MALFORMED, f"`{name}` is true or false", parameter=name)
    return text == "true"


def integer(request: web.BaseRequest, name: str, least: int, most: int = SAFE_INTEGER_MAX) -> int | None:
    """The parameter's value, a whole number in decimal from `least` to `most`. None if it is not given.

    Raises:
        ProtocolError: `malformed`.
    """
    text = request.query.get(name)
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    if not is_number or not least <= int(text) <= most:
        raise ProtocolError(Code.MALFORMED, f"`{name}` is a whole number from {least} to {most}", parameter=name)
    return int(text)
