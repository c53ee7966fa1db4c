"""Answer room: what a paged answer counts for in the memory that the node has for answers.

A client that does not read keeps its answer in memory. So each answer counts its page from the moment when the page is
read, and is refused if there is no room for its first page. A later page replaces one of the same size.
"""

from typing import Final

from aiohttp import web

from node.byte_budget import ByteBudget
from node.http_api.requests.caller import quota_address
from node.http_api.requests.parts import ApiParts

ANSWER_BUDGET: Final = web.AppKey("answer_budget", ByteBudget)

ANSWER_BYTES_MIN: Final = 8_192
"""Bytes that an answer counts beside its page: a request, its handler, and buffers."""

COPIES: Final = 6
"""How often the bytes of a page are in memory while a client does not read: the records of this page and the next as
text and as canonical bytes, the spelled page, and the copy in the socket's buffer. Measured: between 4 and 6."""

NO_ROOM: Final = "too many answers are being read already, or too many of your own: read them, or come back"


class AnswerRoom:
    """The room of one answer. `extra_bytes` is what it holds beside its page."""

    def __init__(self, budget: ByteBudget, address: str | None) -> None:
        """`address` is that of the caller, None for a caller on this machine."""
        self.extra_bytes = 0
        self._budget = budget
        self._address = address
        self._held_bytes = 0

    def open(self, page_bytes: int) -> None:
        """Count the answer with a page of this size.

        Raises:
            ProtocolError: `overloaded`.
        """
        self.hold(page_bytes)
        try:
            self._budget.check_room(self._address)
        except BaseException:
            self.close()
            raise

    def hold(self, page_bytes: int) -> None:
        """Count pages of this size from now on."""
        size_bytes = ANSWER_BYTES_MIN + self.extra_bytes + COPIES * page_bytes
        self._budget.add(self._address, size_bytes - self._held_bytes)
        self._held_bytes = size_bytes

    def close(self) -> None:
        """Give everything back."""
        self._budget.add(self._address, -self._held_bytes)
        self._held_bytes = 0


def open_answer(parts: ApiParts, request: web.Request) -> AnswerRoom:
    """The room of the answer to this request.

    Raises:
        ProtocolError: `overloaded` if there is none, before anything is read for the answer.
    """
    budget, address = request.app[ANSWER_BUDGET], quota_address(parts, request)
    budget.check_room(address)
    return AnswerRoom(budget, address)
