"""The application: handlers bound to a node's parts.

There is no middleware, because it would cost every request: each handler is wrapped once instead.
"""

import re
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from functools import cache
from typing import Any, Final

from aiohttp import web

from node.fairness.byte_budget import ByteBudget
from node.fairness.turns import Turns
from node.fleet.passport import HEADER
from node.fleet.relay import COMMIT_HEADER
from node.http_api.answers.answer_room import ANSWER_ROOMS, COPIES, NO_ROOM, AnswerRooms
from node.http_api.answers.pages import PAGE_BYTES_MAX
from node.http_api.answers.problems import problem, problem_of
from node.http_api.connections import ConnectionLimit
from node.http_api.cors import allow_origin, preflight_headers
from node.http_api.failure import failure_of
from node.http_api.fast_path import ClaimsFastPath
from node.http_api.handlers.pass_on import pass_on
from node.http_api.handlers.write import BATCH_BYTES_MAX, BODY_BUDGET
from node.http_api.openapi import DOCUMENT, document_when_asked
from node.http_api.requests.body_budget import BodyBudget
from node.http_api.requests.caller import look_at, passport_of, payer_of
from node.http_api.requests.fields import read_list
from node.http_api.requests.page_origin import check_origin
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.patience import Patience
from node.http_api.requests.query import check_names
from node.http_api.requests.request_meter import LinkTurns, RequestMeter
from node.http_api.route import Route
from node.settings.settings import Settings
from node.version import VERSION
from protocol.errors import Code, ProtocolError

FAST_PATH: Final = web.AppKey("fast_path", ClaimsFastPath)
CONNECTION_LIMIT: Final = web.AppKey("connection_limit", ConnectionLimit)
HEAD_TIMEOUT_S: Final = web.AppKey("head_timeout_s", float)
ROUTES: Final = web.AppKey("routes", Sequence[Route])
WRITE_ORIGINS: Final = web.AppKey("write_origins", Collection[str])

_Answer = Callable[[web.BaseRequest], Coroutine[Any, Any, web.StreamResponse]]
_Bound = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]

ANSWER_UNKNOWN: Final = web.AppKey[_Answer]("answer_unknown")
REQUEST_TURNS: Final = web.AppKey("request_turns", Turns)


def make_app(parts: ApiParts, routes: Sequence[Route]) -> web.Application:
    """An application that answers these routes from these parts of a node."""
    app = web.Application()
    write_origins: Collection[str] = frozenset(parts.settings.write_origins or ())
    app[BODY_BUDGET] = BodyBudget(_budget_of_bodies(parts.settings), parts.settings.body_timeout)
    answers = ByteBudget(parts.settings.answer_bytes_max, 2 * COPIES * PAGE_BYTES_MAX, NO_ROOM)
    app[ANSWER_ROOMS] = AnswerRooms(answers)
    app[CONNECTION_LIMIT] = ConnectionLimit(parts)
    app[HEAD_TIMEOUT_S] = parts.settings.head_timeout
    app[DOCUMENT] = document_when_asked(routes, VERSION)
    app[ROUTES] = routes
    app[WRITE_ORIGINS] = write_origins
    turns = app[REQUEST_TURNS] = Turns()
    reads = RequestMeter(parts.settings.read_share_max, parts.crowd, turns)
    writes = RequestMeter(None, parts.crowd, turns)
    others = RequestMeter(None, turns=turns)
    links = LinkTurns(turns)
    app[ANSWER_UNKNOWN] = _bind_unknown(parts, app, others)
    patience = Patience.of(parts.store.outages)
    app[FAST_PATH] = ClaimsFastPath(parts, app[BODY_BUDGET].budget, reads, write_origins, patience)
    for route in routes:
        meter = reads if route.is_metered else writes if route.method != "GET" else others
        handler = _bind(parts, route, write_origins, links if route.is_link else meter, patience)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            app.router.add_route(method, _pattern(route.path), handler, expect_handler=on_expect)
    return app


def _budget_of_bodies(settings: Settings) -> ByteBudget:
    detail = "too many requests are being read already, or too many of your own"
    return ByteBudget(settings.bytes_in_flight_max, BATCH_BYTES_MAX, detail)


def _pattern(path: str) -> str:
    """The path for aiohttp's router. Its default pattern of a variable excludes braces, which a label may hold."""
    return re.sub(r"{(\w+)}", r"{\1:[^/]+}", path)


def _bind(
    parts: ApiParts,
    route: Route,
    write_origins: Collection[str],
    meter: RequestMeter | LinkTurns,
    patience: Patience | None,
) -> _Bound:
    """The handler of a route. `meter` counts its work. `patience` limits its work while the database is away; None: it
    cannot be away.
    """
    waits = None if patience is None or route.is_endless else patience.for_method(route.method)
    check_and_answer = _checked(parts, route)

    async def handle(request: web.Request) -> web.StreamResponse:
        payer = payer_of(parts, request, look_at(parts, request))
        try:
            answering = check_and_answer(request)
            if payer is not None:
                answering = meter.answer(payer, answering)
            response = await (answering if waits is None else waits.wait(answering))
        except ProtocolError as error:
            response = problem_of(error, is_public=route.is_public)
        except ConnectionError:
            raise
        except Exception as error:
            response = failure_of(parts, request.method, request.rel_url, error)
        if parts.standing is not None and HEADER in request.headers:
            response.headers.setdefault(COMMIT_HEADER, str(parts.standing.commit))
        if route.is_writable:
            allow_origin(request, response, write_origins)
        parts.traffic.requests[route.method, route.path, response.status] += 1
        return response

    return handle


def _checked(parts: ApiParts, route: Route) -> _Bound:
    """The route's own handler, behind the checks of who sends the request and of its query."""
    parameters = {parameter.name: parameter for parameter in route.parameters}
    answer = route.handler if parts.relay is None or not route.is_passed_on else pass_on

    async def check_and_answer(request: web.Request) -> web.StreamResponse:
        if route.is_guarded and passport_of(parts, request) is None:
            check_origin(parts, request)
        if request.rel_url.raw_query_string and not route.ignores_unknown:
            check_names(request, parameters)
        return await answer(parts, request)

    return check_and_answer


def _bind_unknown(parts: ApiParts, app: web.Application, meter: RequestMeter) -> _Answer:
    """What answers a request that no route takes. Its share is that of input, so `meter` gives it turns alone."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        payer = payer_of(parts, request, look_at(parts, request))
        answering = answer_unknown(request, app)
        return await (answering if payer is None else meter.answer(payer, answering))

    return handle


async def answer_unknown(request: web.BaseRequest, app: web.Application) -> web.Response:
    """Answer a request that no route takes: an unknown path, a method that the path does not have, or a preflight."""
    path, routes = request.rel_url.raw_path, app[ROUTES]
    known = routes if path == "*" else [route for route in routes if re.fullmatch(_path_expression(route.path), path)]
    if not known:
        error = ProtocolError(Code.UNKNOWN_ROUTE, "no request has this path: GET /openapi.json lists all requests")
        return problem_of(error, is_public=True)
    allow = ", ".join(_methods(known))
    if request.method == "OPTIONS":
        headers = preflight_headers(request, known, app[WRITE_ORIGINS])
        return web.Response(status=204, headers={**headers, "Allow": allow})
    error = ProtocolError(Code.METHOD_NOT_ALLOWED, f"this path does not take {request.method[:40]}; it takes: {allow}")
    response = problem_of(error, is_public=True)
    response.headers["Allow"] = allow
    return response


@cache
def _path_expression(path: str) -> str:
    return re.sub(r"\\{(\w+)\\}", "[^/]+", re.escape(path))


def _methods(routes: Iterable[Route]) -> list[str]:
    methods = {route.method for route in routes} | {"OPTIONS"}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


async def on_expect(request: web.Request) -> web.StreamResponse | None:
    """Ask for the body if the client waits to be asked. No other expectation is met (RFC 9110, section 10.1.1)."""
    try:
        expectations = read_list(request, "Expect").lower().split(",")
    except ProtocolError as error:
        return problem_of(error, is_public=False)
    if {item.strip() for item in expectations} - {""} != {"100-continue"}:
        return problem(417, Code.MALFORMED, "the only expectation met here is 100-continue", {})
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # so that the answer counts as not yet begun
    return None
