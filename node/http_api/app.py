"""The application: handlers bound to a node's parts, and the server around them.

There is no middleware, because it would cost every request: each handler is wrapped once instead. aiohttp refuses some
requests by itself, because no route fits or because the bytes are not HTTP. These refusals get the shape of ours where
the server meets the connection.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from node.http_api.answers import PREFLIGHT_HEADERS
from node.http_api.body_budget import BodyBudget
from node.http_api.connections import ConnectionLimit
from node.http_api.direct_writer import Connection
from node.http_api.openapi import DOCUMENT, document
from node.http_api.parts import ApiParts
from node.http_api.problems import fault, problem, problem_of
from node.http_api.query import check_names
from node.http_api.read import VERSION
from node.http_api.route import Route
from node.http_api.write import BODY_BUDGET
from node.settings import Settings
from protocol.errors import Code, ProtocolError

_SHUTDOWN_S_MAX: Final = 2.0
"""Seconds that requests under way may take to end when the node stops. A node stops within 5 s: links before the
requests and commits after them take up to 3 s.
"""

CONNECTION_LIMIT: Final = web.AppKey("connection_limit", ConnectionLimit)
ROUTES: Final = web.AppKey("routes", Sequence[Route])

_Bound = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(parts: ApiParts, routes: Sequence[Route]) -> web.Application:
    """An application that answers these routes from these parts of a node."""
    app = web.Application()
    app[BODY_BUDGET] = BodyBudget(parts.settings.bytes_in_flight_max)
    app[CONNECTION_LIMIT] = ConnectionLimit(parts.settings.connections_max, parts.traffic)
    app[DOCUMENT] = document(routes, VERSION)
    app[ROUTES] = routes
    for route in routes:
        handler = _bind(parts, route)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            app.router.add_route(method, _pattern(route.path), handler, expect_handler=on_expect)
    return app


async def start(parts: ApiParts, routes: Sequence[Route], context: ssl.SSLContext | None) -> web.AppRunner:
    """Serve these routes at the node's address until the runner is cleaned up. `context`: None for plain HTTP."""
    runner = _Runner(make_app(parts, routes), access_log=None, shutdown_timeout=_SHUTDOWN_S_MAX, auto_decompress=False)
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


def _pattern(path: str) -> str:
    """The path for aiohttp's router. Its default pattern of a variable excludes braces, which a label may hold."""
    return re.sub(r"{(\w+)}", r"{\1:[^/]+}", path)


def _bind(parts: ApiParts, route: Route) -> _Bound:
    parameters = {parameter.name: parameter for parameter in route.parameters}

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if request.rel_url.raw_query_string:
                check_names(request, parameters)
            response = await route.handler(parts, request)
        except ProtocolError as error:
            response = problem_of(error, is_public=route.is_public)
        except ConnectionError:
            raise
        except Exception as error:
            response = fault(request, error)
        parts.traffic.requests[route.method, route.path, response.status] += 1
        return response

    return handle


def _answer_unknown(request: web.BaseRequest, routes: Sequence[Route]) -> web.Response:
    """Answer a request that no route takes: an unknown path, a method that the path does not have, or a preflight."""
    path = request.rel_url.raw_path
    known = routes if path == "*" else [route for route in routes if re.fullmatch(_path_expression(route.path), path)]
    if not known:
        error = ProtocolError(Code.UNKNOWN_ROUTE, "there is nothing here: GET /openapi.json lists what there is")
        return problem_of(error, is_public=True)
    allow = ", ".join(_methods(known))
    if request.method == "OPTIONS":
        headers = PREFLIGHT_HEADERS if any(route.is_public for route in known) else {}
        return web.Response(status=204, headers={**headers, "Allow": allow})
    error = ProtocolError(Code.METHOD_NOT_ALLOWED, f"{request.method[:40]} is not for this path: {allow} are")
    response = problem_of(error, is_public=True)
    response.headers["Allow"] = allow
    return response


def _path_expression(path: str) -> str:
    return re.sub(r"\\{(\w+)\\}", "[^/]+", re.escape(path))


def _methods(routes: Iterable[Route]) -> list[str]:
    methods = {route.method for route in routes} | {"OPTIONS"}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


async def on_expect(request: web.Request) -> web.StreamResponse | None:
    """Ask for the body if the client waits to be asked. No other expectation is met (RFC 9110, section 10.1.1)."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return problem(417, Code.MALFORMED, "the only expectation met here is 100-continue", {})
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # so that the answer counts as not yet begun
    return None


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
        if status >= 500:
            response = fault(request, exc)
        else:
            reason = (message or HTTPStatus(status).phrase).partition("\n")[0]
            response = problem(status, Code.MALFORMED, f"not a request that HTTP knows: {reason:.200}", {})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Do not log a body that is not HTTP: the client was told already."""
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kwargs)


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
                return _answer_unknown(request, self.app[ROUTES])

        return _Server(self.app[CONNECTION_LIMIT], handle, request_factory=made.request_factory, **self._kwargs)
