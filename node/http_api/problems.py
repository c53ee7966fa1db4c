"""Problems: how a refusal looks over HTTP (RFC 9457), and the one place that knows which status goes with which code.

`code` is stable and the same everywhere in dnarc; `detail` says what is wrong and what would be right; the facts stand
beside them. `type` is `about:blank`, RFC 9457's word for a problem that its status and, here, its code already name.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from protocol.errors import Code, ProtocolError

STATUSES: Final = {
    Code.MALFORMED: 400,
    Code.TOO_LARGE: 413,
    Code.UNKNOWN_DOMAIN: 404,
    Code.BAD_SIGNATURE: 401,
    Code.PRECONDITION_FAILED: 412,
    Code.TOO_NEW: 422,
    Code.TOO_OLD: 422,
    Code.NOT_OWNER: 403,
    Code.STALE: 409,
    Code.RATE_LIMITED: 429,
    Code.OVERLOADED: 503,
    Code.STORAGE_FULL: 507,
    Code.UNKNOWN_LABEL: 404,
    Code.UNKNOWN_RECORD: 404,
    Code.UNKNOWN_PEER: 404,
    Code.UNKNOWN_ROUTE: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.UNAUTHORIZED: 401,
    Code.CURSOR_UNKNOWN: 410,
    Code.UNREACHABLE: 502,
    # Why a link ends. Over HTTP they stand in the report of a sync, never as an answer of their own.
    Code.TIMEOUT: 504,
    Code.UNSUPPORTED_VERSION: 502,
    Code.DUPLICATE_LINK: 502,
    Code.RESTART: 503,
    Code.STOPPING: 503,
}

INTERNAL: Final = "internal"
"""The code of a fault of ours, which no client can do anything about and which is therefore not among the
protocol's."""

PROBLEM_TYPE: Final = "application/problem+json"

RETRY_AFTER_S: Final = 1
"""For refusals that pass by themselves and do not say when: a pipeline that is full empties many times a second."""

logger = logging.getLogger(__name__)


def problem_of(error: ProtocolError, *, is_public: bool = False) -> web.Response:
    """The answer to a request that was refused. `is_public`: pages of other origins may read it."""
    headers = headers_of(error.code, error.facts)
    if is_public:
        headers["Access-Control-Allow-Origin"] = "*"
    return problem(STATUSES[error.code], error.code, error.detail, error.facts, headers)


def headers_of(code: Code, facts: Mapping[str, object]) -> dict[str, str]:
    """What HTTP wants beside the status that goes with this code (RFC 9110, sections 10.2.3, 11.6.1)."""
    if code is Code.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="dnarc"'}
    if STATUSES[code] in (429, 503):
        seconds = facts.get("retry_after", RETRY_AFTER_S)
        assert isinstance(seconds, int | float), "a time to wait is a number of seconds"
        return {"Retry-After": str(max(1, math.ceil(seconds)))}
    return {}


def problem(
    status: int, code: str, detail: str, facts: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> web.Response:
    body = {
        **facts,
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return web.Response(
        status=status, body=msgspec.json.encode(body), headers={**(headers or {}), "Content-Type": PROBLEM_TYPE}
    )


def fault(request: web.BaseRequest, error: BaseException | None) -> web.Response:
    """The answer where the node itself failed; logs why, which the answer does not say."""
    logger.error("a request failed: %s %.200s", request.method, request.rel_url, exc_info=error)
    return problem(500, INTERNAL, "this node failed to answer, and its log says why", {})
