"""The server: where the application listens, and what a connection may do before a request reaches a route.

aiohttp refuses some requests by itself, because no route fits or because the bytes are not HTTP. These refusals get the
shape of ours here.
"""

import asyncio
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from node.http_api.answers.direct_writer import Connection
from node.http_api.answers.problems import fault, problem
from node.http_api.app import CONNECTION_LIMIT, answer_unknown, make_app
from node.http_api.connections import ConnectionLimit
from node.http_api.requests.parts import ApiParts
from node.http_api.route import Route
from node.settings import Settings
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


async def start(parts: ApiParts, routes: Sequence[Route], context: ssl.SSLContext | None) -> web.AppRunner:
    """Serve these routes at the node's address until the runner is cleaned up. `context`: None for plain HTTP."""
    runner = _Runner(
        make_app(parts, routes),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S_MAX,
        lingering_time=_REFUSED_BODY_S_MAX,
        auto_decompress=False,
        max_line_size=TARGET_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
    await runner.setup()
    try:
        assert isinstance(runner.server, _Server), "this aiohttp makes its server in another way: see _Runner"
        await web.TCPSite(runner, parts.settings.host, parts.settings.port, ssl_context=context).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


async def stop_listening(runner: web.AppRunner) -> None:
    """Accept no more connections. Open connections stay until the runner is cleaned up."""
    for site in list(runner.sites):
        await site.stop()


def url_of(runner: web.AppRunner, settings: Settings) -> str:
    """The URL at which the runner answers, with the port that it got."""
    host, port = runner.addresses[0][:2]
    scheme = "http" if settings.tls_certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Connection(Connection):
    """aiohttp's connection, with refusals of our shape and without a log entry for every bad request of a stranger.

    aiohttp never sees a connection past the limit: it is refused before.
    """

    def __init__(self, limit: ConnectionLimit, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limit = limit
        self._is_admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports have all these methods and inherit from nothing.
        self._is_admitted = self._limit.admit(cast("asyncio.Transport", transport))
        if self._is_admitted:
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self._limit.release()
            super().connection_lost(exc)

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
        response = fault(request, exc) if status >= 500 else _refuse(status, exc, message or "")
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
    def __init__(self, limit: ConnectionLimit, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limit = limit

    def __call__(self) -> RequestHandler:
        return _Connection(self._limit, self, loop=self._loop, **self._kwargs)

    async def shutdown(self, timeout: float | None = None) -> None:
        """End every connection. aiohttp waits twice for an answer that its client does not read, and then still for the
        handler: without its connection a handler ends at once.
        """
        self._limit.close()
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
        handle_known = made.request_handler

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await handle_known(request)
            except web.HTTPException:
                return answer_unknown(request, self.app)

        return _Server(self.app[CONNECTION_LIMIT], handle, request_factory=made.request_factory, **self._kwargs)
