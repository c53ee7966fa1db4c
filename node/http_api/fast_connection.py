"""A connection with a fast path: the most frequent requests are answered without a task.

aiohttp answers each request in a task of its own, for which the task of the connection waits. The router, the response
object and three turns of the loop come with them. That is more work than the answers themselves. So a request that came
alone, while no other request of its connection was under way, is offered to a `FastPath` first. If the fast path takes
the request, the task of the connection sleeps on, and the answer goes straight to the transport. Everything else goes
aiohttp's way.

Between two requests, the task waits for the future `_waiter`. The connection hides this future while aiohttp parses
bytes, because aiohttp would wake the task up at once.

A request may come before the task waits: the first one of a connection, and the next one of a client that is quicker
than the task, which needs a turn of the loop after each answer. The fast path takes these requests too. Otherwise a
connection whose request once went aiohttp's way would stay there, because its client would be as quick each time.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage
from aiohttp.web import BaseRequest, StreamResponse

from node.http_api.answers.direct_writer import WatchedConnection


class FastPath(Protocol):
    """Answers requests that it knows."""

    def take(self, connection: "FastConnection", message: RawRequestMessage, payload: StreamReader) -> bool:
        """Answer this request, whose body is here: call `begin` of the connection, and `answer` now or later.

        False, and nothing has happened: this request has to go aiohttp's way.
        """


class FastConnection(WatchedConnection):
    """aiohttp's connection with a fast path.

    `is_answering`: the fast path has a request under way. `fast_requests` counts those that it took. `caller` is for
    the fast path to remember who calls.
    """

    fast_path: FastPath | None = None
    caller: Any = None
    is_answering = False
    fast_requests = 0
    _ordinary_answers = 0
    """Requests that aiohttp has answered, and after which the connection stays open."""

    def data_received(self, data: bytes) -> None:
        """Bytes have come. `begin_request` has to follow."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            super().data_received(data)
            return
        self._waiter = None
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter

    def begin_request(self) -> bool:
        """Begin the request that has come, if it is whole and no other one is under way. Whether that was so."""
        waiter = self._waiter
        is_task_awake = waiter is not None and waiter.done()
        if not self._messages or is_task_awake or self._is_under_way():
            return False
        if not self._takes_fast_path() and waiter is not None:
            waiter.set_result(None)
        return True

    def begin(self) -> None:
        """The fast path takes the request that waits."""
        assert self._parser is not None, "the connection is open: it has just read"
        assert self._manager is not None, "the same"
        self._messages.clear()
        self._parser.message_consumed()
        self._manager.requests_count += 1
        self.is_answering = self._request_in_progress = True
        self.fast_requests += 1

    def answer(self, spelled: bytes) -> None:
        """Write the answer to the request of the fast path, and go on to what came meanwhile."""
        assert self.is_answering, "a second answer would be taken for that to the next request"
        self.is_answering = self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)  # the node stops, and waits for this answer
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(spelled)
        if self._close:
            self.transport.close()
            return
        self._keepalive = True
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        self.begin_request()

    async def _handle_request(
        self,
        request: BaseRequest,
        start_time: float | None,
        request_handler: Callable[[BaseRequest], Awaitable[StreamResponse]],
    ) -> tuple[StreamResponse, bool]:
        """Answer a request in aiohttp's way."""
        response, is_reset = await super()._handle_request(request, start_time, request_handler)
        if response.keep_alive and not is_reset:
            self._ordinary_answers += 1
        return response, is_reset

    def _is_under_way(self) -> bool:
        """Whether a request has left the queue and is not answered, or was answered as the last one."""
        begun = self._request_count - len(self._messages)
        return self.is_answering or begun > self.fast_requests + self._ordinary_answers

    def _takes_fast_path(self) -> bool:
        """Requests behind others, and those of a client that does not read, go aiohttp's way, which paces them."""
        is_free = len(self._messages) == 1 and not (self._paused or self._reading_paused or self._buffer_paused)
        if self.fast_path is None or not is_free or self._upgraded or self._close or self._force_close:
            return False
        message, payload = self._messages[0]
        return isinstance(message, RawRequestMessage) and self.fast_path.take(self, message, payload)

    def _process_keepalive(self) -> None:
        """Close the connection if it is idle. aiohttp does not know that the fast path has a request under way."""
        if self.is_answering:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def _is_waiting(self) -> bool:
        """Whether no request is under way. A part of a head may be here."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages and not self.is_answering
