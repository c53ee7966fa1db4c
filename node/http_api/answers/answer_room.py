"""Answer room: what a paged answer counts for in the memory that the node has for answers.

A client that does not read keeps its answer in memory. So each answer counts its page from the moment when the page is
read, and is refused if there is no room for its first page. A later page replaces one of the same size. An answer that
its client has not read for a while gives way to another one.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from node.fairness.byte_budget import ByteBudget
from node.http_api.requests.caller import quota_address
from node.http_api.requests.parts import ApiParts

GIVE_WAY_S: Final = 5.0
"""Seconds after which an answer that its client does not read gives way to another. A guess: a mobile network may pause
for as long."""

ANSWER_BYTES_MIN: Final = 8_192
"""Bytes that an answer counts beside its page: a request, its handler, and buffers."""

COPIES: Final = 6
"""How often the bytes of a page are in memory while a client does not read: the records of this page and the next as
text and as canonical bytes, the spelled page, and the copy in the socket's buffer. Measured: between 4 and 6."""

NO_ROOM: Final = "too many answers are being read already, or too many of your own: read them, or come back later"


class AnswerRooms:
    """The room that all answers together have."""

    def __init__(self, budget: ByteBudget, give_way_s: float = GIVE_WAY_S) -> None:
        """`give_way_s`: how long a client may leave an answer unread while others find no room."""
        self.budget = budget
        self.unread: dict[AnswerRoom, float] = {}
        """The answers that wait for their clients, and since when, in the loop's seconds."""
        self._give_way_s = give_way_s

    def make_room(self, address: str | None) -> None:
        """Let answers that are not read give way until there is room for a caller.

        Raises:
            ProtocolError: `overloaded` if there is none.
        """
        while self.budget.is_full_for(address):
            rival = max(self._rivals(address), key=self._rank, default=None)
            if rival is None:
                raise self.budget.refusal()
            rival.give_way()

    def _rivals(self, address: str | None) -> Iterator["AnswerRoom"]:
        """The answers that may give way: the address's own if it has its share, otherwise those of strangers."""
        has_its_share = self.budget.has_its_share(address)
        begun_before_s = asyncio.get_running_loop().time() - self._give_way_s
        for room, since_s in self.unread.items():
            is_rival = room.address == address if has_its_share else room.address is not None
            if is_rival and since_s <= begun_before_s:
                yield room

    def _rank(self, room: "AnswerRoom") -> tuple[int, float]:
        return self.budget.held_by(room.address), -self.unread[room]


ANSWER_ROOMS: Final = web.AppKey("answer_rooms", AnswerRooms)


class AnswerRoom:
    """The room of one answer. `extra_bytes` is what it holds beside its page."""

    def __init__(self, rooms: AnswerRooms, address: str | None, transport: asyncio.Transport | None) -> None:
        """`address` is that of the caller, None for a caller on this machine. `transport` leads to the caller."""
        self.extra_bytes = 0
        self.address = address
        self._rooms = rooms
        self._transport = transport
        self._held_bytes = 0

    def open(self, page_bytes: int) -> None:
        """Count the answer with a page of this size.

        Raises:
            ProtocolError: `overloaded`.
        """
        self.hold(page_bytes)
        try:
            self._rooms.make_room(self.address)
        except BaseException:
            self.close()
            raise

    def hold(self, page_bytes: int) -> None:
        """Count pages of this size from now on."""
        size_bytes = ANSWER_BYTES_MIN + self.extra_bytes + COPIES * page_bytes
        self._rooms.budget.add(self.address, size_bytes - self._held_bytes)
        self._held_bytes = size_bytes

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The block waits until the client reads. Meanwhile this answer may have to give way."""
        self._rooms.unread[self] = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            del self._rooms.unread[self]

    def give_way(self) -> None:
        """Break off, because another answer needs the room. The client sees that the answer is incomplete."""
        self.close()
        self._rooms.unread[self] = float("inf")  # it no longer counts, and is about to end
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Give everything back."""
        self._rooms.budget.add(self.address, -self._held_bytes)
        self._held_bytes = 0


def open_answer(parts: ApiParts, request: web.Request) -> AnswerRoom:
    """The room of the answer to this request.

    Raises:
        ProtocolError: `overloaded` if there is none, before anything is read for the answer.
    """
    rooms, address = request.app[ANSWER_ROOMS], quota_address(parts, request)
    rooms.make_room(address)
    return AnswerRoom(rooms, address, request.transport)
