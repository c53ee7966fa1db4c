"""Paged answers: a collection of any size in one answer, with one page of it in memory.

The first page is read before the status is sent. So a store that fails at once is answered by a problem. If the store
fails later, the connection breaks, because a JSON document that ended cleanly would look complete.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Generic, TypeVar

import msgspec
from aiohttp import web

from node.fairness.read_cost import pace
from node.http_api.answers.answer_room import AnswerRoom
from node.http_api.answers.json_answer import PUBLIC_HEADERS
from node.http_api.requests.accept import JSON_TYPE, LINES_TYPE
from protocol.records.record import SignedRecord
from protocol.sets.index import key_id, key_timestamp
from protocol.witness.walk import Certainty

WRITE_STALL_S_MAX: Final = 60.0
"""Seconds that a client may read nothing before the connection breaks. A guess: meanwhile the client costs the memory
of one page.
"""

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class Form(msgspec.Struct, Generic[Item], frozen=True):
    """How a collection is spelled: `spell` spells one item; the others stand before, between and behind the items."""

    content_type: str
    opening: bytes
    separator: bytes
    closing: bytes
    spell: Callable[[Item], bytes]


def _spell_entry(signed: SignedRecord) -> bytes:
    return b'"%s":%s' % (signed.signature.encode(), signed.record.canonical)


def _spell_line(signed: SignedRecord) -> bytes:
    names = (signed.record.id.encode(), signed.signature.encode())
    return b'{"id":"%s","signature":"%s","record":%s}\n' % (*names, signed.record.canonical)


def _spell_head_line(head: tuple[SignedRecord, Certainty | None]) -> bytes:
    signed, certainty = head
    line = _spell_line(signed)
    return line if certainty is None else b'{"certainty":"%s",' % certainty.encode() + line[1:]


def _spell_key(key: bytes) -> bytes:
    return b'[%d,"%s"]' % (key_timestamp(key), key_id(key).hex().encode())


def _spell_key_line(key: bytes) -> bytes:
    return _spell_key(key) + b"\n"


DICT: Final = Form(JSON_TYPE, b"{", b",", b"}", _spell_entry)
LINES: Final = Form(LINES_TYPE, b"", b"", b"", _spell_line)
HEAD_LINES: Final = Form(LINES_TYPE, b"", b"", b"", _spell_head_line)
"""Heads as lines, each with how sure it is; None in ordinary domains."""

KEYS: Final = Form(JSON_TYPE, b"[", b",", b"]", _spell_key)
KEY_LINES: Final = Form(LINES_TYPE, b"", b"", b"", _spell_key_line)


async def answer_pages(
    request: web.BaseRequest,
    pages: AsyncGenerator[Sequence[Item], None],
    form: Form[Item],
    room: AnswerRoom,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with all pages, in order. `headers` are added to those that every paged answer has.

    Raises:
        ProtocolError: `overloaded` if there is no room for the first page.
    """
    async with aclosing(pages):
        first: Sequence[Item] = await anext(pages, [])  # a tuple here makes CPython 3.11 raise SystemError
        piece = form.opening + form.separator.join(map(form.spell, first))
        room.open(len(piece))
        response = web.StreamResponse(
            headers={**PUBLIC_HEADERS, "Vary": "Accept", **(headers or {}), "Content-Type": form.content_type}
        )
        try:
            if request.method != "HEAD":
                await response.prepare(request)
                await _write_pages(
                    response, room, piece, is_empty=not first, pages=_spelled(pages, form, room), form=form
                )
        except ConnectionError:
            pass  # the client may leave at any time
        except Exception as error:
            _break_off(request, error)
        finally:
            room.close()
    return response


async def _write_pages(
    response: web.StreamResponse,
    room: AnswerRoom,
    piece: bytes,
    *,
    is_empty: bool,
    pages: AsyncIterator[bytes],
    form: Form[Item],
) -> None:
    async for page in pages:
        await _write(response, room, piece)
        piece = page if is_empty else form.separator + page
        is_empty = is_empty and not page
    await _write(response, room, piece + form.closing)


async def _spelled(pages: AsyncIterator[Sequence[Item]], form: Form[Item], room: AnswerRoom) -> AsyncIterator[bytes]:
    async for page in pages:
        await pace()
        spelled = form.separator.join(map(form.spell, page))
        room.hold(len(spelled))
        yield spelled


async def _write(response: web.StreamResponse, room: AnswerRoom, piece: bytes) -> None:
    with room.waiting():
        async with asyncio.timeout(WRITE_STALL_S_MAX):
            await response.write(piece)


def _break_off(request: web.BaseRequest, error: Exception) -> None:
    """Abort the connection, so that the client sees that the answer is incomplete."""
    if isinstance(error, TimeoutError):
        logger.info("a reader stopped reading: %s", request.rel_url)
    else:
        logger.exception("an answer broke off: %.200s", request.rel_url)
    if request.transport is not None:
        request.transport.abort()
