"""A connection with a fast path: the most frequent requests are answered without a task.

aiohttp answers each request in a task of its own, for which the task of the connection waits. The router, the response
object and three turns of the loop come with them. That is more work than the answers themselves. So a request that came
alone, while no other request of its connection was under way, is offered to a `FastPath` first. If the fast path takes
the request, the task of the connection sleeps on, and the answer goes straight to the transport. Everything else goes
aiohttp's way.

Between two requests, the task waits for the future `_waiter`. The connection hides this future while aiohttp parses
bytes, because aiohttp would wake the task up at once.

A request whose headers are known is offered without a parser (`node.http_api.plain_request`). If the fast path does not
take it, aiohttp parses it after all.

A request may come before the task waits: the first one of a connection, and the next one of a client that is quicker
than the task, which needs a turn of the loop after each answer. The fast path takes these requests too. Otherwise a
connection whose request once went aiohttp's way would stay there, because its client would be as quick each time.
"""

from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, Protocol

from aiohttp.http import RawRequestMessage
from aiohttp.web import BaseRequest, StreamResponse

from node.http_api.answers.direct_writer import WatchedConnection
from node.http_api.plain_request import Boundary, KnownHeaders, PlainRequest, read


class FastPath(Protocol):
    """Answers requests that it knows. `known_headers` are those of plain requests before."""

    known_headers: KnownHeaders

    def take(self, connection: "FastConnection", request: PlainRequest) -> bool:
        """Answer this request: call `begin` of the connection, and `answer` now or later.

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
    _recalled: tuple[bytes, PlainRequest] | None = None
    """A request that came just now and that aiohttp does not know of, and its bytes."""
    _whole = b""
    """The request that came last, until it begins. Empty if it did not come in one piece, and with nothing else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._boundary = Boundary()

    def data_received(self, data: bytes) -> None:
        """Bytes have come. `begin_request` has to follow."""
        if self.fast_path is not None and self._boundary.is_here and not self._messages and self._is_free():
            request = self.fast_path.known_headers.recall(data)
            if request is not None:
                self._recalled = (data, request)
                self._request_count += 1
                return
        before = self._request_count
        self._feed(data)
        found = islice(reversed(self._messages), self._request_count - before)
        bodies = [body for message, body in found if isinstance(message, RawRequestMessage)]
        self._whole = data if self._boundary.on_fed(data, bodies) else b""

    def _feed(self, data: bytes) -> None:
        """Have aiohttp parse these bytes, without waking its task up."""
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
        if self._recalled is not None:
            (data, request), self._recalled = self._recalled, None
            if self.fast_path is None or not self.fast_path.take(self, request):
                self._request_count -= 1
                super().data_received(data)  # wakes the task up
            return True
        if not self._messages or self._is_task_awake() or self._is_under_way():
            return False
        whole, self._whole = self._whole, b""
        if not self._takes_fast_path(whole) and self._waiter is not None:
            self._waiter.set_result(None)
        return True

    def begin(self) -> None:
        """The fast path takes the request that waits."""
        assert self._parser is not None, "the connection is open: it has just read"
        assert self._manager is not None, "the same"
        if self._messages:
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

    def _is_task_awake(self) -> bool:
        """Whether the task of the connection is about to look for requests."""
        return self._waiter is not None and self._waiter.done()

    def _is_under_way(self) -> bool:
        """Whether a request has left the queue and is not answered, or was answered as the last one."""
        begun = self._request_count - len(self._messages)
        return self.is_answering or begun > self.fast_requests + self._ordinary_answers

    def _takes_fast_path(self, whole: bytes) -> bool:
        """Requests behind others, and those of a client that does not read, go aiohttp's way, which paces them.

        `whole`: the bytes of the request, if they are all that came.
        """
        if self.fast_path is None or len(self._messages) != 1 or not self._is_open():
            return False
        message, payload = self._messages[0]
        request = read(message, payload) if isinstance(message, RawRequestMessage) else None
        if request is None or not self.fast_path.take(self, request):
            return False
        if whole:
            self.fast_path.known_headers.learn(whole, request)
        return True

    def _is_free(self) -> bool:
        """Whether the fast path may take the request that comes now."""
        return not (self._is_task_awake() or self._is_under_way()) and self._is_open()

    def _is_open(self) -> bool:
        """Whether the client reads, and another request may follow."""
        is_pressed = self._paused or self._reading_paused or self._buffer_paused
        return not (is_pressed or self._upgraded or self._close or self._force_close)

    def _process_keepalive(self) -> None:
        """Close the connection if it is idle. aiohttp does not know that the fast path has a request under way."""
        if self.is_answering:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def _is_waiting(self) -> bool:
        """Whether no request is under way. A part of a head may be here."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages and not self.is_answering
