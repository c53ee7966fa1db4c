"""Hostile requests: the node answers every request by a documented answer, and never by a fault of its own.

Schemathesis makes requests that the OpenAPI document describes, and requests that it forbids. Hypothesis makes bytes
that are hardly HTTP. A fault shows twice: as a status of 500, and as an error in the log.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.http_api.route import Callers, Route
from node.node import ROUTES, Node
from node.settings.settings import Settings
from tests.examples import percent
from tests.history import claim, signed
from tests.node.http_api.talking import entry

if TYPE_CHECKING:
    from schemathesis import BaseSchema, Case

READ_BYTES_MAX = 2**20
LONG_BYTES = 100_000
TIMEOUT_S = 120
"""Only ends a test that hangs."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node on a loop in a thread of its own, so that clients that block can talk to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    node = Node(Settings(port=0, data=tmp_path_factory.mktemp("node") / "data"))
    asyncio.run_coroutine_threadsafe(node.__aenter__(), loop).result(TIMEOUT_S)
    yield node
    asyncio.run_coroutine_threadsafe(node.__aexit__(None, None, None), loop).result(TIMEOUT_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT_S)
    loop.close()


async def exchange(node: Node, request: bytes, *, ends: bool = True) -> bytes:
    """Send these bytes and return the answer. `ends`: the client closes its side after the request."""
    host, port = node.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        if ends:
            writer.write_eof()
        async with asyncio.timeout(TIMEOUT_S):
            answer = b""
            while not is_whole(answer) and (piece := await reader.read(READ_BYTES_MAX)):
                answer += piece
            return answer
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def is_whole(answer: bytes) -> bool:
    """Whether the head of an answer is here with the whole body that it announces. `100 Continue` is no answer."""
    head, end, body = answer.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return bool(end and length and len(body) >= int(length[1]))


def status_of(answer: bytes) -> int:
    version, status, _ = answer.split(b" ", 2)
    assert version in (
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/0.9",
    )  # that of the request, or none
    return int(status)


@pytest.fixture(scope="module")
def api(node: Node) -> "BaseSchema":
    """The node's document, as Schemathesis reads it. Every worker collects this module, and one worker runs it: so only
    that worker imports Schemathesis.
    """
    from schemathesis import openapi

    return openapi.from_url(f"{node.url}/openapi.json")


def strategy_of(operation: Any, mode: str) -> st.SearchStrategy[Any]:
    """Valid or invalid requests of an operation."""
    from schemathesis import GenerationMode

    strategy: st.SearchStrategy[Any] = operation.as_strategy(generation_mode=GenerationMode(mode))
    return strategy


def check_answer(case: "Case[Any]", headers: dict[str, str]) -> None:
    """Make the request. Its answer has to be one that the document describes."""
    from schemathesis.specs.openapi import checks

    described = [
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    case.call_and_validate(checks=described, headers=headers)


FEW = percent(6)
"""An example takes 0.1 s, most of it to draw a request, and there are 76 kinds of request."""

VALID, INVALID = "positive", "negative"
"""How requests are made, by the names that Schemathesis gives."""

ANYBODY, OPERATOR = "anybody", "operator"


def kinds_of_request() -> Iterator[tuple[Route, str, str]]:
    """Each route with each kind of caller, by valid requests and, if something can be wrong, by invalid ones.

    Endless answers have a test of their own, because a client has to leave before their end.
    """
    for route in ROUTES:
        if route.is_endless:
            continue
        is_guarded = route.callers is not Callers.EVERYBODY or route.body == "Batch"
        adds_peers = route.body == "PeerBody"  # the node would try to reach these, wherever they are
        callers = [ANYBODY, OPERATOR] if is_guarded and not adds_peers else [ANYBODY]
        yield from ((route, caller, mode) for caller in callers for mode in modes_of(route))


def modes_of(route: Route) -> list[str]:
    return [VALID, INVALID] if route.parameters or route.body else [VALID]


@pytest.mark.parametrize(
    ("route", "caller", "mode"),
    [
        pytest.param(route, caller, mode, id=f"{route.method} {route.path} {caller} {mode}")
        for route, caller, mode in kinds_of_request()
    ],
)
def test_the_document_describes_every_answer(
    node: Node, api: "BaseSchema", route: Route, caller: str, mode: str
) -> None:
    headers = {"Authorization": f"Bearer {node.admin_token}"} if caller == OPERATOR else {}

    @given(case=strategy_of(api[route.path][route.method], mode))
    @settings(FEW, suppress_health_check=list(HealthCheck))
    def ask(case: "Case[Any]") -> None:
        check_answer(case, headers)

    ask()


@pytest.mark.parametrize(
    ("route", "mode"),
    [
        pytest.param(route, mode, id=f"{route.path} {mode}")
        for route in ROUTES
        if route.is_endless
        for mode in modes_of(route)
    ],
)
def test_the_document_describes_the_head_of_every_endless_answer(
    node: Node, api: "BaseSchema", route: Route, mode: str
) -> None:
    """Only the head is read. `requests` leaves the body in the socket."""
    operation = api[route.path][route.method]

    @given(case=strategy_of(operation, mode))
    @settings(FEW, suppress_health_check=list(HealthCheck))
    def ask(case: "Case[Any]") -> None:
        asked = case.as_transport_kwargs(base_url=node.url)
        with requests.request(**asked, stream=True, timeout=TIMEOUT_S) as answer:
            described = operation.definition.raw["responses"][str(answer.status_code)]["content"]
            assert answer.headers["Content-Type"] in described

    ask()


STARTS = st.sampled_from(
    [
        b"GET /claims HTTP/1.1\r\nHost: x\r\n",
        b"GET /claims/example/",
        b"GET /records?id=",
        b"PUT /claims HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n",
        b"POST /sync/push HTTP/1.1\r\nHost: ",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ",
        b"",
    ]
)
PIECES = st.lists(
    st.binary(max_size=40)
    | st.sampled_from([b"\r\n", b"\r\n\r\n", b" HTTP/1.1\r\n", b"Host: x\r\n", b"Expect: x\r\n", b"0\r\n\r\n", b"%00"])
)


@given(start=STARTS, pieces=PIECES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_hardly_http_never_cause_a_fault(node: Node, start: bytes, pieces: list[bytes]) -> None:
    answer = asyncio.run(exchange(node, start + b"".join(pieces)))

    assert answer == b"" or status_of(answer) < 500


REQUESTS = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "bytes in a path that are not UTF-8": (b"GET /claims/\xff/\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a path that is no URL": (b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a path that is too long": (b"GET /" + b"a" * LONG_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a header that is too long": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * LONG_BYTES + b"\r\n\r\n", 431),
    "too many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 1_000 + b"\r\n", 431),
    "a negative length": (b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "two lengths": (b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a length and chunks": (
        b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "invalid chunks": (b"PUT /claims HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a request line without a version": (b"GET /records?id=\r\n\r\n", 400),
    "a compressed body": (
        b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        415,
    ),
    "a compressed record": (
        b"PUT /claims/x HTTP/1.1\r\nHost: x\r\nContent-Encoding: identity, GZIP\r\nContent-Length: 2\r\n\r\n{}",
        415,
    ),
    "a compressed transfer": (
        b"PUT /claims HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "another expectation": (b"PUT /claims HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n{}", 417),
    "a tunnel": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an invalid host": (b"POST /sync/push HTTP/1.1\r\nHost: a:b:c\r\n\r\n", 401),
    "no host": (b"POST /sync/push HTTP/1.0\r\n\r\n", 401),
    "a length far beyond the limit": (b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n{", 413),
}


@pytest.mark.parametrize(("request_bytes", "status"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_hostile_request_is_refused_by_a_problem_without_a_log_entry(
    node: Node, request_bytes: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = asyncio.run(exchange(node, request_bytes, ends=False))

    head, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == status
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert caplog.records == []


def test_a_client_that_leaves_inside_its_body_causes_no_log_entry(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    answer = asyncio.run(exchange(node, b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"))

    assert answer == b""
    assert caplog.records == []


def test_a_client_that_expects_100_continue_is_asked_for_its_body(node: Node) -> None:
    request = (
        b"PUT /claims HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    )

    answer = asyncio.run(exchange(node, request, ends=False))

    assert answer.startswith(CONTINUE + b"HTTP/1.1 200 OK\r\n")


def test_the_node_still_accepts_claims_after_all_other_tests(node: Node) -> None:
    record = signed(claim("garden", at=int(time.time())))
    body = b"{%s}" % entry(record)
    request = b"PUT /claims HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        len(body),
        body,
    )

    answer = asyncio.run(exchange(node, request, ends=False))

    assert b'"accepted"' in answer
    assert node.health() == []
