"""The OpenAPI 3.1 document, made from the table of routes."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

from aiohttp import web

from node.http_api.answers.json_answer import public
from node.http_api.answers.problems import PROBLEM_TYPE, STATUSES
from node.http_api.requests.accept import LINES_TYPE
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import Parameter
from node.http_api.route import Callers, Route
from node.http_api.schemas import SCHEMAS, STRING, Schema, ref
from protocol.errors import Code

DOCUMENT: Final = web.AppKey[Callable[[], dict[str, object]]]("document")

_TOKEN: Final = "adminToken"


async def get_document(_parts: ApiParts, request: web.Request) -> web.StreamResponse:
    return public(request.app[DOCUMENT]())


def document_when_asked(routes: Iterable[Route], version: str) -> Callable[[], dict[str, object]]:
    """Makes the document at the first request for it, because it takes 5 ms, which each start of a node would wait."""
    return cache(lambda: document(routes, version))


def document(routes: Iterable[Route], version: str) -> dict[str, object]:
    """The whole document. `version` is that of dnarc."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dnarc",
            "version": version,
            "description": "A node that keeps signed claims and exchanges them with its peers.",
        },
        "servers": [{"url": "."}],  # relative to this document: a proxy may serve the node under a path prefix
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer", "description": "The admin token."}},
        },
    }


def _operation(route: Route) -> dict[str, object]:
    parameters = [_parameter(variable, "path", is_required=True) for variable in route.variables]
    parameters += [_parameter(parameter, "query", parameter.is_required) for parameter in route.parameters]
    parameters += [_parameter(parameter, "header", is_required=False) for parameter in route.headers]
    operation: dict[str, object] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "parameters": parameters,
        "responses": _responses(route),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(route.body)}}}
    if route.callers is not Callers.EVERYBODY:
        operation["security"] = [{_TOKEN: []}] if route.callers is Callers.ADMIN else [{_TOKEN: []}, {}]
    return operation


def _parameter(parameter: Parameter, place: str, is_required: bool) -> dict[str, object]:
    return {
        "name": parameter.name,
        "in": place,
        "required": is_required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _responses(route: Route) -> dict[str, object]:
    """The answers by status. If a status can concern one record or the whole request, both shapes are described."""
    contents: dict[int, dict[str, Schema]] = {}
    for status, name in route.answers.items():
        contents[status] = _contents(route, name)
    for code in route.outcomes:
        contents.setdefault(STATUSES[code], {})["application/json"] = {"schema": ref("Outcomes")}
    foreign_page = {403} if route.is_guarded else set()
    for status in {STATUSES[code] for code in _refusals(route)} | foreign_page:
        contents.setdefault(status, {})[PROBLEM_TYPE] = {"schema": ref("Problem")}
    responses: dict[str, object] = {
        str(status): {"description": _words(status), "content": contents[status]} for status in sorted(contents)
    }
    problems = {PROBLEM_TYPE: {"schema": ref("Problem")}}
    for status, description in _OF_HTTP.items():
        if status not in _OF_BODIES or route.body is not None:
            responses[str(status)] = {"description": description, "content": problems}
    if any(parameter.name == "If-None-Match" for parameter in route.headers) and route.method == "GET":
        responses["304"] = {"description": "The client has it already."}
    return responses


def _refusals(route: Route) -> set[Code]:
    admin = {Code.UNAUTHORIZED} if route.callers is not Callers.EVERYBODY else set()
    metered = {Code.RATE_LIMITED} if route.is_metered else set()
    return {Code.MALFORMED, *route.codes, *admin, *metered}


def _contents(route: Route, name: str) -> dict[str, Schema]:
    return _main_contents(route, name) | {text: {"schema": STRING} for text in route.texts}


def _main_contents(route: Route, name: str) -> dict[str, Schema]:
    if route.is_endless and route.content_type != "application/json":
        return {route.content_type: {"schema": STRING | {"contentSchema": ref(name)}}}
    if route.content_type != "application/json":
        return {route.content_type: {"schema": STRING}}
    if name == "Document":
        return {"application/json": {"schema": {"type": "object"}}}
    if not route.has_lines:
        return {"application/json": {"schema": ref(name)}}
    is_collection = any(parameter.name == "ids" for parameter in route.parameters)
    schema = {"anyOf": [ref(name), ref("Keys")]} if is_collection else ref(name)
    return {"application/json": {"schema": schema}, LINES_TYPE: {"schema": STRING}}


def _words(status: int) -> str:
    codes = [str(code) for code, its_status in STATUSES.items() if its_status == status]
    if status == 403:
        codes.append("unauthorized for a page of a foreign origin")
    return "Refused: " + ", ".join(codes) if codes and status != 503 else _GOOD.get(status, "The answer")


_OF_HTTP: Final = {
    408: "Refused: the body comes too slowly.",
    414: "Refused: the target is too long.",
    415: "Refused: the body has a Content-Encoding.",
    431: "Refused: a header is too large, or there are too many.",
}
"""Refusals for reasons of HTTP alone."""

_OF_BODIES: Final = (408, 415)
"""Those of them that only a request with a body gets."""

_GOOD: Final = {
    101: "A WebSocket from here on",
    200: "The answer",
    201: "Accepted, and committed to disk",
    503: "Not now: see `Retry-After`",
}
