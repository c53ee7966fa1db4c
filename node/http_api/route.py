"""Route: what the router and the OpenAPI document know about one request."""

from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

import msgspec
from aiohttp import web

from node.http_api.requests.accept import JSON_TYPE
from node.http_api.requests.parts import ApiParts
from node.http_api.requests.query import Parameter
from protocol.errors import Code

Handler = Callable[[ApiParts, web.Request], Coroutine[Any, Any, web.StreamResponse]]


class Callers(StrEnum):
    """Who may send a request: everybody; an operator (on loopback, or with the admin token); the token's holder."""

    EVERYBODY = "everybody"
    OPERATOR = "operator"
    ADMIN = "admin"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `path` has its variables in braces; each takes a whole segment, decoded, slashes included.

    - `answers`: the name of the answer's schema, by status.
    - `content_type`: of the answer; `texts` are further types that it may have, as text.
    - `variables`: those of the path, in its order; `parameters`: of the query;
      `headers`: those of the request that matter; `body`: the name of the body's schema.
    - `codes`: why the whole request may be refused; `outcomes`: why a single record may be.
    - `is_public`: pages of any origin may read the answers.
    - `has_lines`: the answer also comes as NDJSON, if the client asks for it.
    - `is_endless`: the answer goes on until one side ends it.
    - `is_link`: the answer is a link between nodes, over which the other end may write.
    - `ignores_unknown`: unknown parameters of the query are ignored, because a link to a page may carry some.
    - `is_of_writer`: only the process that writes can answer. Other processes of its fleet pass the request on.
    - `is_writable`: pages of the origins in the setting `write_origins` may send the request.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: dict[int, str]
    content_type: str = JSON_TYPE
    texts: tuple[str, ...] = ()
    variables: tuple[Parameter, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: str | None = None
    codes: tuple[Code, ...] = ()
    callers: Callers = Callers.EVERYBODY
    is_public: bool = False
    has_lines: bool = False
    is_endless: bool = False
    is_link: bool = False
    ignores_unknown: bool = False
    is_writable: bool = False
    is_of_writer: bool = False
    outcomes: tuple[Code, ...] = ()

    @property
    def is_metered(self) -> bool:
        """Whether the work of this request counts as reading. Health has to be answered always."""
        return self.method == "GET" and not self.is_link and self.path != "/health"

    @property
    def is_passed_on(self) -> bool:
        """Whether a process that follows passes the request on to the writer."""
        return self.method != "GET" or self.is_link or self.is_of_writer

    @property
    def is_guarded(self) -> bool:
        """Whether the request may change something, so that pages of foreign origins may not send it."""
        return self.method != "GET" or self.is_link
