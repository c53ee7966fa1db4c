"""Problems: how a refusal looks over HTTP (RFC 9457). Only this module knows which status goes with which code.

`code` is stable and the same everywhere in dnarc. `detail` says what is wrong and what would be right. Facts, such as
`retry_after`, are further members. `type` is `about:blank`, which in RFC 9457 means that the status names the problem.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from node.http_api.answers.json_answer import PUBLIC_HEADERS
from node.http_api.requests.refused import RefusedError
from protocol.errors import Code, ProtocolError

STATUSES: Final = {
    Code.MALFORMED: 400,
    Code.TOO_LARGE: 413,
    Code.UNKNOWN_DOMAIN: 404,
    Code.BAD_SIGNATURE: 401,
    Code.NOT_WELCOME: 403,
    Code.PRECONDITION_FAILED: 412,
    Code.TOO_NEW: 422,
    Code.TOO_OLD: 422,
    Code.NOT_OWNER: 403,
    Code.STALE: 409,
    Code.QUOTA_EXCEEDED: 507,
    Code.RATE_LIMITED: 429,
    Code.OVERLOADED: 503,
    Code.STORAGE_FULL: 507,
    Code.UNKNOWN_LABEL: 404,
    Code.NOT_FINAL: 404,
    Code.UNKNOWN_RECORD: 404,
    Code.ERASED: 410,
    Code.NOT_ERASABLE: 403,
    Code.UNKNOWN_PEER: 404,
    Code.UNKNOWN_ROUTE: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.UNAUTHORIZED: 401,
    Code.CURSOR_UNKNOWN: 410,
    Code.UNREACHABLE: 502,
    # Reasons why a link ends. Over HTTP they appear in the report of a sync, never as an answer of their own.
    Code.TIMEOUT: 504,
    Code.UNSUPPORTED_VERSION: 502,
    Code.DUPLICATE_LINK: 502,
    Code.DUPLICATE_KEY: 502,
    Code.RESTART: 503,
    Code.STOPPING: 503,
}

INTERNAL: Final = "internal"
"""The code for a fault of this node. The protocol does not list this code, because a client cannot act on it."""

PROBLEM_TYPE: Final = "application/problem+json"

RETRY_AFTER_S: Final = 1
"""Seconds to wait after a refusal that does not say how long. A full pipeline empties many times a second."""


logger = logging.getLogger(__name__)


def problem_of(error: ProtocolError, *, is_public: bool = False) -> web.Response:
    """The answer to a request that is refused for this error. `is_public`: pages of other origins may read it."""
    if isinstance(error, RefusedError):
        status, headers = error.status, dict(error.headers)
    else:
        status, headers = STATUSES[error.code], headers_of(error.code, error.facts)
    if is_public:
        headers |= PUBLIC_HEADERS
    return problem(status, error.code, error.detail, error.facts, headers)


def headers_of(code: Code, facts: Mapping[str, object]) -> dict[str, str]:
    """The headers that HTTP requires beside the status of this code (RFC 9110, sections 10.2.3 and 11.6.1)."""
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
    """The answer of this status and code. `facts` become members of the body beside the detail."""
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


def fault(method: str, target: object, error: BaseException | None) -> web.Response:
    """The answer after a failure of the node itself. The log gets the error; the client does not."""
    logger.error("a request failed: %s %.200s", method, target, exc_info=error)
    return problem(500, INTERNAL, "this node failed to answer, and its log says why", {})
