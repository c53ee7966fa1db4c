"""Streaming: a collection of any size in one answer, with one page of it in memory.

The first page is read before the status is sent, so that a store that fails at once is answered by a problem. One that
fails later leaves only one honest way out: the connection breaks, for a JSON document that ended cleanly would be taken
for all there is.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Generic, TypeVar

import msgspec
from aiohttp import web

from node.http_api.answers import JSON_TYPE, LINES_TYPE, PUBLIC_HEADERS
from protocol.records.record import SignedRecord
from protocol.sets.index import key_id, key_timestamp

WRITE_STALL_S_MAX: Final = 60.0
"""How long a reader may read nothing before the connection breaks. A guess: it holds no more than one page
meanwhile."""

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class Form(msgspec.Struct, Generic[Item], frozen=True):
    """How a collection is spelled: what opens it, stands between two items and closes it, and each item."""

    content_type: str
    opening: bytes
    separator: bytes
    closing: bytes
    spell: Callable[[Item], bytes]


def _entry(signed: SignedRecord) -> bytes:
    return b'"%s":%s' % (signed.signature.encode(), signed.record.canonical)


def _line(signed: SignedRecord) -> bytes:
    return b'{"signature":"%s","record":%s}\n' % (signed.signature.encode(), signed.record.canonical)


def _key(key: bytes) -> bytes:
    return b'[%d,"%s"]' % (key_timestamp(key), key_id(key).hex().encode())


def _key_line(key: bytes) -> bytes:
    return _key(key) + b"\n"


DICT: Final = Form(JSON_TYPE, b"{", b",", b"}", _entry)
LINES: Final = Form(LINES_TYPE, b"", b"", b"", _line)
KEYS: Final = Form(JSON_TYPE, b"[", b",", b"]", _key)
KEY_LINES: Final = Form(LINES_TYPE, b"", b"", b"", _key_line)


async def stream(
    request: web.BaseRequest,
    pages: AsyncGenerator[Sequence[Item], None],
    form: Form[Item],
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with all pages, in order."""
    async with aclosing(pages):
        first: Sequence[Item] = await anext(pages, [])  # a tuple here makes CPython 3.11 raise SystemError
        response = web.StreamResponse(
            headers={**PUBLIC_HEADERS, "Vary": "Accept", **(headers or {}), "Content-Type": form.content_type}
        )
        if request.method == "HEAD":
            return response
        await response.prepare(request)
        try:
            await _write(response, first, pages, form)
        except ConnectionError:
            pass  # the reader has gone, which is its right
        except Exception as error:
            _break(request, error)
    return response


async def _write(
    response: web.StreamResponse, first: Sequence[Item], pages: AsyncIterator[Sequence[Item]], form: Form[Item]
) -> None:
    piece = form.opening + form.separator.join(map(form.spell, first))
    is_empty = not first
    async for page in pages:
        await _send(response, piece)
        piece = b"" if is_empty else form.separator
        piece += form.separator.join(map(form.spell, page))
        is_empty = is_empty and not page
    await _send(response, piece + form.closing)


async def _send(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(WRITE_STALL_S_MAX):
        await response.write(piece)


def _break(request: web.BaseRequest, error: Exception) -> None:
    """End the connection so that the reader sees that something is missing."""
    if isinstance(error, TimeoutError):
        logger.info("a reader stopped reading: %s", request.rel_url)
    else:
        logger.exception("an answer broke off: %.200s", request.rel_url)
    if request.transport is not None:
        request.transport.abort()
