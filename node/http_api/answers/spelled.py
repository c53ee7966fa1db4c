"""Answers as the bytes of HTTP/1.1, exactly as aiohttp writes them on a connection that stays open."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def lines_of(headers: Mapping[str, str]) -> str:
    """These headers as lines. They must be valid: nothing here looks for line ends in them."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def spell(status: int, header_lines: str, body: bytes) -> bytes:
    """A whole answer."""
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{header_lines}Content-Length: {len(body)}\r\n"
        f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
    )
    return head.encode() + body


def spell_response(response: web.Response) -> bytes:
    """The same for a response of aiohttp whose body is bytes."""
    body = response.body
    assert isinstance(body, bytes), "only answers of handlers that know the whole body come here"
    return spell(response.status, lines_of(response.headers), body)
