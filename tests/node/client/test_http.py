"""The client against busy nodes, and against servers that are no nodes."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from node.client.answers import LINE_BYTES_MAX, signed_records
from node.client.errors import NodeError, Unreachable
from node.client.http import NodeClient
from node.client.targets import path_of
from protocol.errors import ProtocolError
from protocol.records.record import make, sign
from protocol.signing import SigningKey

Reply = tuple[int, dict[str, str], bytes]
Script = list[Reply]
"""Answers, one a request: status, headers, body. A `Content-Length` that is not the body's breaks off."""


CHUNKED = {"Transfer-Encoding": "chunked", "Content-Length": ""}


@contextmanager
def serving(script: Script, log: list[str] | None = None) -> Iterator[str]:
    """A server that gives these answers in order. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            (log if log is not None else []).append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
            status, headers, body = script.pop(0)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = "Content-Length" in headers or headers.get("Connection") == "quietly"

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - as the library calls them

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as the library calls it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_request_carries_path_query_and_token() -> None:
    log: list[str] = []

    with serving([(200, {}, b"[]")], log) as url, NodeClient(f"{url}/prefix/", token="secret") as client:
        value = client.get(path_of("claims", "a.b", "x/ü"), {"since": "7"})

    assert value == []
    assert log == ["GET /prefix/claims/a.b/x%2F%C3%BC?since=7 Bearer secret"]


def test_a_problem_is_raised_with_its_code_and_facts() -> None:
    body = b'{"code": "stale", "detail": "late", "head": null, "status": 409}'

    with serving([(409, {}, body)]) as url, NodeClient(url) as client, pytest.raises(NodeError) as refused:
        client.get("/claims")

    error = refused.value
    assert (error.status, error.code, error.detail) == (409, "stale", "late")
    assert error.facts == {"head": None, "status": 409}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 1, "detail": 2}', b"\xff"])
def test_a_refusal_without_a_problem_is_named_by_its_status(body: bytes) -> None:
    with serving([(502, {}, body)]) as url, NodeClient(url) as client, pytest.raises(NodeError) as refused:
        client.get("/claims")

    assert refused.value.code == "http_502"


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_json_comes_from_no_node(body: bytes) -> None:
    with serving([(200, {}, body)]) as url, NodeClient(url) as client, pytest.raises(Unreachable):
        client.get("/claims")


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"one\ntwo\n"), (CHUNKED, b"6\r\none\ntw\r\n2\r\no\n\r\n0\r\n\r\n"), (CHUNKED, b"0\r\n\r\n")],
)
def test_a_listing_comes_line_by_line(headers: dict[str, str], body: bytes) -> None:
    with serving([(200, headers, body)]) as url, NodeClient(url) as client:
        assert list(client.lines("/claims")) == ([b"one", b"two"] if b"one" in body else [])


BROKEN_OFF: Script = [
    (200, {"Content-Length": "100"}, b"one\ntw"),
    (200, {"Content-Length": "100"}, b"one\n"),
    (200, CHUNKED, b"4\r\none\n\r\n"),
    (200, CHUNKED, b"8\r\none\n"),
    (200, CHUNKED, b"6\r\none\ntw\r\n0\r\n\r\n"),
    (200, {}, b"one\ntw"),
    (200, {}, b"one\n" + b"x" * (LINE_BYTES_MAX + 1) + b"\n"),
]


@pytest.mark.parametrize("answer", BROKEN_OFF)
def test_a_listing_that_breaks_off_is_an_error_after_its_whole_lines(answer: tuple[int, dict[str, str], bytes]) -> None:
    with serving([answer]) as url, NodeClient(url) as client:
        lines = client.lines("/claims")

        assert next(lines) == b"one"
        with pytest.raises(Unreachable):
            next(lines)


def test_a_line_may_have_as_many_bytes_as_the_limit_says() -> None:
    line = b"x" * LINE_BYTES_MAX

    with serving([(200, {}, line + b"\n")]) as url, NodeClient(url) as client:
        assert list(client.lines("/claims")) == [line]


def test_an_answer_that_breaks_off_is_an_error() -> None:
    script: Script = [(200, {"Content-Length": "100"}, b"{}")]

    with serving(script) as url, NodeClient(url) as client, pytest.raises(Unreachable, match="broke off"):
        client.get("/claims")


def test_a_refused_listing_is_a_refusal() -> None:
    body = b'{"code": "unknown_domain", "detail": "no"}'

    with serving([(404, {}, body)]) as url, NodeClient(url) as client, pytest.raises(NodeError) as refused:
        list(client.lines("/claims/a"))

    assert refused.value.code == "unknown_domain"


def test_a_connection_that_was_closed_in_a_pause_is_opened_again() -> None:
    log: list[str] = []
    script: Script = [(200, {"Connection": "quietly"}, b"1"), (200, {}, b"2")]

    with serving(script, log) as url, NodeClient(url) as client:
        values = [client.get("/a"), client.get("/b")]

    assert values == [1, 2]


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("", None), ("Mon, 23 Nov 2026", None), ("-1", None)])
def test_the_time_to_wait_is_read_if_it_is_in_seconds(text: str, seconds: float | None) -> None:
    with serving([(503, {"Retry-After": text}, b"")]) as url, NodeClient(url) as client:
        assert client.ask("GET", "/").retry_after_s == seconds


KEY = SigningKey(bytes(32))
SIGNED = sign(make({"domain": "a.b", "label": "l", "signedby": KEY.public, "timestamp": 1}), KEY)


def test_a_dict_of_claims_is_read_with_its_exact_bytes() -> None:
    body = b'{"%s": %s}' % (SIGNED.signature.encode(), SIGNED.record.canonical)

    assert signed_records(body) == [SIGNED]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"00": {}}', b'{"%s": {}}' % SIGNED.signature.encode(), b"\xff"])
def test_other_json_than_a_dict_of_claims_is_malformed(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        signed_records(body)


@pytest.mark.parametrize(
    ("user", "token", "sent"),
    [
        ("", None, None),
        ("ann:s3%20cret@", None, "Basic YW5uOnMzIGNyZXQ="),
        ("ann@", None, "Basic YW5uOg=="),
        ("ann:s3cret@", "token", "Bearer token"),
    ],
)
def test_a_request_is_authorized_by_the_token_or_by_the_url(user: str, token: str | None, sent: str | None) -> None:
    log: list[str] = []

    with serving([(200, {}, b"1")], log) as url, NodeClient(url.replace("//", f"//{user}"), token) as client:
        client.get("/node")

    assert log == [f"GET /node {sent}"]


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "http://127.0.0.1:1/a@b", "https://[::1]:1/prefix"])
def test_a_password_in_the_url_is_not_shown(host: str) -> None:
    """Errors end up in logs."""
    client = NodeClient(host.replace("//", "//ann:s3cret@"), timeout_s=1.0)

    with client, pytest.raises(Unreachable) as failed:
        client.get("/node")

    assert client.url == host
    assert str(failed.value).startswith(f"no node answers at {host}: ")
    with pytest.raises(ValueError, match=r"^ftp://127\.0\.0\.1 is no URL of a node"):
        NodeClient("ftp://ann:s3cret@127.0.0.1")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8080", "localhost:8080 has no scheme: write http://localhost:8080 or https://localhost:8080"),
        ("ws://127.0.0.1:8080", "clients ask over HTTP: write http://127.0.0.1:8080"),
        ("wss://127.0.0.1:8080", "clients ask over HTTP: write https://127.0.0.1:8080"),
        ("ftp://127.0.0.1", "ftp://127.0.0.1 is no URL of a node: write http://HOST:PORT or https://HOST:PORT"),
        ("http://127.0.0.1:99999", "has a port that is no number from 0 to 65535"),
        ("http://127.0.0.1:port", "has a port that is no number from 0 to 65535"),
    ],
)
def test_a_wrong_url_is_told_with_the_right_spelling(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        NodeClient(url)


def test_a_wrong_url_is_told_without_its_password() -> None:
    with pytest.raises(ValueError, match="//127") as refused:
        NodeClient("ws://name:secret@127.0.0.1:8080")

    assert "secret" not in str(refused.value)
