"""The server: where the application listens, and what a connection may do before a request reaches a route.

aiohttp refuses some requests by itself, because no route fits or because the bytes are not HTTP. These refusals get the
shape of ours here.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from node.fairness.places import Source
from node.http_api.answers.problems import fault, problem
from node.http_api.app import ANSWER_UNKNOWN, CONNECTION_LIMIT, FAST_PATH, HEAD_TIMEOUT_S, ROUTES, make_app
from node.http_api.connections import ConnectionLimit, raw_problem
from node.http_api.fast_connection import FastPath
from node.http_api.paced_connection import QUEUED_BYTES_MAX, PacedConnection
from node.http_api.requests.parts import ApiParts
from node.http_api.route import Route
from node.http_api.site import Handshake, Listener, Site
from node.settings.settings import Settings
from protocol.errors import Code

_SHUTDOWN_S_MAX: Final = 2.0
"""Seconds that requests under way may take to end when the node stops. A node stops within 5 s: links before the
requests and commits after them take up to 3 s.
"""

_REFUSED_BODY_S_MAX: Final = 1.0
"""Seconds that the rest of a refused body is read and dropped. Meanwhile the client may read the answer: if unread
bytes lay in the socket when it closes, the kernel would send a reset, and the client might lose the answer.
"""

TARGET_BYTES_MAX: Final = 8_190
"""Bytes of a request's target."""

HEADER_BYTES_MAX: Final = 8_192
"""Bytes of one header. aiohttp reports only a limit that was passed, so the two limits must differ."""

_TOO_MANY_HEADERS: Final = "Too many headers"
"""How aiohttp's words begin when a request has more than 128 headers."""


async def start(
    parts: ApiParts,
    routes: Sequence[Route],
    context: ssl.SSLContext | None,
    sockets: Sequence[socket.socket] | None = None,
) -> web.AppRunner:
    """Serve these routes until the runner is cleaned up. `context`: None for plain HTTP.

    `sockets` listen already, and stay open; None: listen at the node's address.
    """
    runner = _Runner(
        make_app(parts, routes),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S_MAX,
        keepalive_timeout=parts.settings.idle_timeout,
        lingering_time=_REFUSED_BODY_S_MAX,
        auto_decompress=False,
        max_line_size=TARGET_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
    await runner.setup()
    try:
        await _site(runner, parts, context, sockets).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def _site(
    runner: web.AppRunner,
    parts: ApiParts,
    context: ssl.SSLContext | None,
    sockets: Sequence[socket.socket] | None,
) -> Site:
    settings, server = parts.settings, runner.server
    assert isinstance(server, _Server), "this aiohttp makes its server in another way: see _Runner"
    listener = Listener(context, server.limit, server, settings.head_timeout)
    return Site(runner, listener, parts.world.open_sockets, (settings.host, settings.port), sockets)


async def stop_listening(runner: web.AppRunner) -> None:
    """Accept no more connections. Open connections stay until the runner is cleaned up."""
    for site in list(runner.sites):
        await site.stop()


def url_of(runner: web.AppRunner, settings: Settings) -> str:
    """The URL at which the runner answers, with the port that it got."""
    host, port = runner.addresses[0][:2]
    scheme = "http" if settings.tls_certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Connection(PacedConnection):
    """aiohttp's connection, with a place, a time to its request's head, refusals of our shape, and without a log entry
    for every bad request of a stranger.

    aiohttp never sees a connection without a place: it is refused before.
    """

    source: Source

    def __init__(
        self,
        limit: ConnectionLimit,
        fast_path: FastPath,
        head_timeout_s: float,
        handshake: Handshake | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """`handshake`: the guest whose place this connection takes over; None: it gets one of its own."""
        super().__init__(*args, **kwargs)
        self.fast_path = fast_path
        self._limit = limit
        self.meter = limit.input_meter
        self._head_timeout_s = head_timeout_s
        self._handshake = handshake
        self._head_end: asyncio.TimerHandle | None = None
        self._is_admitted = False
        self._has_part_of_head = False
        self._request_came_s = 0.0
        self._unread_since_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports have all these methods and inherit from nothing.
        connection = cast("asyncio.Transport", transport)
        self._is_admitted = self._enter(connection)
        self.payer = self.source.payer
        if self._is_admitted:
            self._expect_head()
            super().connection_made(transport)
        elif self._handshake is None:
            self._limit.refuse(connection)
        else:  # it lost its place at the end of its handshake
            connection.abort()

    def _enter(self, transport: asyncio.Transport) -> bool:
        if self._handshake is not None:
            self.source = self._handshake.source
            return self._limit.places.pass_on(self._handshake, self)
        self.source = self._limit.source_of(transport.get_extra_info("peername"))
        return self._limit.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self._limit.leave(self)
            self._expect_nothing()
            super().connection_lost(exc)

    def on_input(self) -> None:
        if self.is_refused:
            return
        if self.begin_request() or not self._is_waiting():
            if self._has_part_of_head or self._head_end is not None:
                self._request_came_s = asyncio.get_running_loop().time()
            self._expect_nothing()
            return
        self._has_part_of_head = True
        if self._head_end is None:
            self._expect_head()

    def waiting_since_s(self) -> float | None:
        """Since when the connection waits for its client: for a request, for the rest of a body, or until it reads.

        A request is waited for since `keepalive_timeout` before the time at which aiohttp closes the connection.
        """
        if self._is_waiting():
            return self._next_keepalive_close_time - self.keepalive_timeout
        if self._has_body_to_come():
            return self._request_came_s
        return None if self._upgraded else self._unread_since_s

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since_s = asyncio.get_running_loop().time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since_s = None

    def close_for_another(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _expect_head(self) -> None:
        self._head_end = asyncio.get_running_loop().call_later(self._head_timeout_s, self._on_no_head)

    def _expect_nothing(self) -> None:
        self._has_part_of_head = False
        if self._head_end is not None:
            self._head_end.cancel()
            self._head_end = None

    def on_long_head(self) -> None:
        """Say so if no answer is under way, and drop what comes for a moment, so that the client can read the refusal.

        It would be lost if unread bytes lay in the socket when it closes (see `_REFUSED_BODY_S_MAX`).
        """
        if self.transport is None or not self._is_waiting():
            self.force_close()
            return
        self.is_refused = True
        detail = f"the head of a request has at most {QUEUED_BYTES_MAX} bytes"
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self.transport.write(raw_problem(status, Code.TOO_LARGE, detail, bytes_max=QUEUED_BYTES_MAX))
        self._expect_nothing()
        self._head_end = asyncio.get_running_loop().call_later(_REFUSED_BODY_S_MAX, self.force_close)

    def _on_no_head(self) -> None:
        """No whole head has come in time."""
        self._head_end = None
        if self.transport is None or not self._is_waiting():
            return
        if self._has_part_of_head:
            detail = f"the head of a request has to be here within {self._head_timeout_s:g} s"
            self.transport.write(raw_problem(HTTPStatus.REQUEST_TIMEOUT, Code.TIMEOUT, detail))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise exc  # the client left in the middle of its request
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, and cannot be taken back") from exc
        response = fault(request.method, request.rel_url, exc) if status >= 500 else _refuse(status, exc, message or "")
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Do not log a body that is not HTTP: the client was told already."""
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kwargs)


def _refuse(status: int, error: BaseException | None, message: str) -> web.Response:
    """The answer to bytes that aiohttp refuses (RFC 9110, section 15.5.15, and RFC 6585, section 5, for large ones)."""
    if isinstance(error, LineTooLong) and error.args[1] == TARGET_BYTES_MAX:
        detail = f"the target of a request has at most {TARGET_BYTES_MAX} bytes"
        return problem(414, Code.TOO_LARGE, detail, {"bytes_max": TARGET_BYTES_MAX})
    if isinstance(error, LineTooLong):
        detail = f"a header has at most {HEADER_BYTES_MAX} bytes"
        return problem(431, Code.TOO_LARGE, detail, {"bytes_max": HEADER_BYTES_MAX})
    reason = (message or HTTPStatus(status).phrase).partition("\n")[0]
    if reason.startswith(_TOO_MANY_HEADERS):
        return problem(431, Code.TOO_LARGE, "this request has too many headers", {})
    return problem(status, Code.MALFORMED, f"not a request that HTTP knows: {reason:.200}", {})


class _Server(web.Server):
    """aiohttp's server. `limit` admits its connections."""

    def __init__(
        self, limit: ConnectionLimit, fast_path: FastPath, head_timeout_s: float, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._fast_path = fast_path
        self.limit = limit
        self._head_timeout_s = head_timeout_s

    def __call__(self, handshake: Handshake | None = None) -> RequestHandler:
        ours = (self.limit, self._fast_path, self._head_timeout_s, handshake)
        return _Connection(*ours, self, loop=self._loop, **self._kwargs)

    async def shutdown(self, timeout: float | None = None) -> None:
        """End every connection. aiohttp waits twice for an answer that its client does not read, and then still for the
        handler: without its connection a handler ends at once.
        """
        self.limit.close()
        cutting_off = asyncio.get_running_loop().call_later(_SHUTDOWN_S_MAX, self._cut_off)
        try:
            await super().shutdown(timeout)
        finally:
            cutting_off.cancel()

    def _cut_off(self) -> None:
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()


class _Runner(web.AppRunner):
    """A runner whose server makes connections of our class.

    aiohttp has no public way to choose the class: `make_handler` is deprecated and takes no class. So this overrides
    `_make_server`, which makes the server, and makes the server again as ours, from the same arguments (`_kwargs` of
    the runner, `_loop` and `_kwargs` of the server). A test watches that aiohttp still has these names.
    """

    async def _make_server(self) -> Any:
        made = await super()._make_server()
        handle_known, answer_unknown = made.request_handler, self.app[ANSWER_UNKNOWN]
        # aiohttp looks for a route of each beginning of a path: 10 ms for 8 kB of slashes.
        slashes_max = max(route.path.count("/") for route in self.app[ROUTES])

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if request.rel_url.raw_path.count("/") > slashes_max:
                return await answer_unknown(request)
            try:
                return await handle_known(request)
            except web.HTTPException as error:
                error.__traceback__ = None  # it is in a cycle, so its frames would wait for the garbage collector
                return await answer_unknown(request)

        return _Server(
            self.app[CONNECTION_LIMIT],
            self.app[FAST_PATH],
            self.app[HEAD_TIMEOUT_S],
            handle,
            request_factory=made.request_factory,
            **self._kwargs,
        )
