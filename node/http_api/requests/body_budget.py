"""Request bodies: each is read up to a limit of bytes and at a least speed, and all together within a budget of memory.

A body is cut off at its limit, whether it announced its length or comes in chunks. Unread bytes stay in the socket, so
TCP slows the sender down. A sender below the least speed is cut off, because it may hold memory on purpose.

If there is no memory for a piece of a body, an unfinished body gives way: the largest one of the address that holds
most. So uploads that stall do not keep small ones out.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from aiohttp import StreamReader, web

from node.fairness.byte_budget import ByteBudget
from node.http_api.requests.fields import read_list
from node.http_api.requests.refused import RefusedError
from protocol.errors import Code, ProtocolError

BYTES_PER_SECOND_MIN: Final = 4_096
"""Bytes a second at which a body has to come in the long run. A guess: slow mobile networks are twice as fast."""


class BodyBudget:
    """Reads the bodies of requests, within the memory that the node has for all of them."""

    def __init__(self, budget: ByteBudget, timeout_s: float) -> None:
        """`timeout_s`: seconds that a body may be behind the least speed."""
        self.budget = budget
        self.timeout_s = timeout_s
        self.unfinished: dict[_Reading, None] = {}
        """The bodies whose end has not come yet."""

    def make_room(self, reading: "_Reading") -> None:
        """Let others give way until the memory that this body holds is within its bounds.

        Raises:
            ProtocolError: `overloaded`, because this body itself has to give way.
        """
        while self.budget.is_full_for(reading.address):
            rival = max(self._rivals(reading), key=self._rank, default=reading)
            if rival is reading or self._rank(rival) < self._rank(reading):
                raise self.budget.refusal()
            rival.give_way()

    def _rivals(self, reading: "_Reading") -> Iterator["_Reading"]:
        """The bodies that may give way to this one: its own address's if that has its share, otherwise strangers'."""
        has_its_share = self.budget.has_its_share(reading.address)
        for each in self.unfinished:
            if each.address == reading.address if has_its_share else each.address is not None:
                yield each

    def _rank(self, reading: "_Reading") -> tuple[int, int]:
        return self.budget.held_by(reading.address), reading.size_bytes

    def read(self, request: web.BaseRequest, bytes_max: int, address: str | None) -> "_Reading":
        """Read a body of at most `bytes_max`: `async with` gives its bytes, which count until the block ends.

        They count under the caller's `address`, None: under none.

        Raises:
            ProtocolError: `too_large`; `overloaded` if the bodies of this caller, or of all, take too much memory;
                `timeout` if it comes too slowly; `malformed` if it breaks off.
        """
        return _Reading(self, request, bytes_max, address)


class Pace:
    """How far a body is behind the least speed. Being ahead counts for nothing: a fast start buys no long stall."""

    def __init__(self, timeout_s: float) -> None:
        """`left_s` is how many seconds the next piece may take."""
        self.left_s = timeout_s
        self._timeout_s = timeout_s

    def on_piece(self, size_bytes: int, waited_s: float) -> None:
        """A piece has come after this many seconds."""
        self.left_s = min(self._timeout_s, self.left_s - waited_s + size_bytes / BYTES_PER_SECOND_MIN)


class _Reading:
    """One body while it is read and used. A class, because an asynchronous generator costs 10 us more a request."""

    __slots__ = ("_bodies", "_bytes_max", "_has_given_way", "_pace", "_request", "_timeout", "address", "size_bytes")

    def __init__(self, bodies: BodyBudget, request: web.BaseRequest, bytes_max: int, address: str | None) -> None:
        self.address = address
        self.size_bytes = 0
        self._bodies = bodies
        self._request = request
        self._bytes_max = bytes_max
        self._pace = Pace(bodies.timeout_s)
        self._timeout: asyncio.Timeout | None = None
        self._has_given_way = False

    async def __aenter__(self) -> bytes:
        _check_headers(self._request, self._bytes_max)
        content = self._request.content
        try:
            if content.is_eof():  # all of it is here, as nearly always for a single claim: a timeout costs 10 us
                body = content.read_nowait()
                self._hold(body)
                return body
            self._bodies.unfinished[self] = None
            try:
                return await self._read_pieces(content)
            finally:
                del self._bodies.unfinished[self]
        except web.RequestPayloadError as error:
            self._drop()
            raise ProtocolError(Code.MALFORMED, "the body broke off, or is not in chunks as its headers say") from error
        except BaseException:
            self._drop()
            raise

    async def __aexit__(self, *_error: object) -> None:
        self._drop()

    def give_way(self) -> None:
        """Drop this body, because another one needs its memory. It waits for its next piece at this moment."""
        assert self._timeout is not None, "an unfinished body waits for it"
        self._has_given_way = True
        self._drop()
        self._timeout.reschedule(0.0)

    async def _read_pieces(self, content: StreamReader) -> bytes:
        pieces: list[bytes] = []
        clock = asyncio.get_running_loop().time
        while True:
            begun_s = clock()
            try:
                async with asyncio.timeout(max(0.0, self._pace.left_s)) as self._timeout:
                    piece = await content.readany()
            except TimeoutError as error:
                raise self._lateness() from error
            if self._has_given_way:  # as the piece came
                raise self._lateness()
            if not piece:
                return b"".join(pieces)
            self._pace.on_piece(len(piece), clock() - begun_s)
            self._hold(piece)
            pieces.append(piece)

    def _lateness(self) -> ProtocolError:
        """Why this body is not waited for any more."""
        if self._has_given_way:
            return self._bodies.budget.refusal()
        detail = f"the body comes too slowly: send at least {BYTES_PER_SECOND_MIN} bytes a second"
        return RefusedError(408, detail, code=Code.TIMEOUT)

    def _hold(self, piece: bytes) -> None:
        """Count a piece. Raises: ProtocolError: the body is too large, or there is no memory for it."""
        self.size_bytes += len(piece)
        self._bodies.budget.add(self.address, len(piece))
        if self.size_bytes > self._bytes_max:
            raise _too_large(self._bytes_max)
        self._bodies.make_room(self)

    def _drop(self) -> None:
        self._bodies.budget.add(self.address, -self.size_bytes)
        self.size_bytes = 0


def _check_headers(request: web.BaseRequest, bytes_max: int) -> None:
    """Refuse a body that announces too much, or that is compressed: a few bytes could unpack to any number.

    Raises:
        ProtocolError: `too_large`; with status 415 or 501 for a coding (RFC 9110, section 15.5.16; RFC 9112, 6.1).
    """
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    if _codings(request, "Content-Encoding") - {"identity"}:
        detail = "a body is sent as it is, without Content-Encoding"
        raise RefusedError(415, detail, {"Accept-Encoding": "identity"})
    if _codings(request, "Transfer-Encoding") - {"chunked"}:
        raise RefusedError(501, "the only transfer coding that is known here is chunked")


def _codings(request: web.BaseRequest, header: str) -> set[str]:
    """The items of a list of codings, in lower case."""
    items = read_list(request, header).lower().split(",")
    return {item.strip() for item in items} - {""}


def _too_large(bytes_max: int) -> ProtocolError:
    return ProtocolError(Code.TOO_LARGE, f"the body of this request has at most {bytes_max} bytes", bytes_max=bytes_max)
