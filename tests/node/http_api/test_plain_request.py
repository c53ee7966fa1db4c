"""A request needs no parser only if aiohttp parsed the same headers before, and only between two requests."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser

from node.http_api.plain_request import KNOWN_BYTES_MAX, KNOWN_MAX, Boundary, KnownHeaders, PlainRequest, read

HEADERS = b"Host: node.example\r\nUser-Agent: x\r\n"
GET = b"GET /claims/example/garden HTTP/1.1\r\n" + HEADERS + b"\r\n"
PUT = b"PUT /claims/5a-_ HTTP/1.1\r\n" + HEADERS + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = b"PUT /claims/5a HTTP/1.1\r\n" + HEADERS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


class Parser:
    """aiohttp's, with a `Boundary` beside it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.boundary = Boundary()
        protocol = BaseProtocol(loop, None)  # its parser is needed only to pause it
        self._parser = HttpRequestParser(protocol, loop, 2**16, auto_decompress=False)

    def feed(self, data: bytes) -> tuple[list[PlainRequest | None], bool]:
        """The requests whose heads end in these bytes, and whether the bytes are one whole request."""
        found, _, _ = self._parser.feed_data(data)
        is_whole = self.boundary.on_fed(data, [body for _, body in found])
        return [read(message, body) for message, body in found], is_whole


def learned(*requests: bytes) -> KnownHeaders:
    """The headers of these requests, which are plain."""
    known = KnownHeaders()
    for request in requests:
        [[plain], is_whole] = Parser().feed(request)
        assert plain is not None
        assert is_whole
        known.learn(request, plain)
    return known


@pytest.mark.parametrize("request_bytes", [GET, PUT, PUT.replace(b"/claims/5a-_", b"/claims/example/a.b@~c")])
async def test_a_request_is_recalled_as_it_was_parsed(request_bytes: bytes) -> None:
    [[plain], _] = Parser().feed(request_bytes)

    assert learned(request_bytes).recall(request_bytes) == plain


async def test_paths_and_bodies_of_known_headers_may_change() -> None:
    known = learned(GET, PUT)

    other = known.recall(GET.replace(b"garden", b"shed")), known.recall(PUT.replace(b"hello", b"world"))

    assert other == (
        PlainRequest("GET", "/claims/example/shed", "node.example", b""),
        PlainRequest("PUT", "/claims/5a-_", "node.example", b"world"),
    )


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"x\r\n", b"y\r\n"),
        (b"User-Agent", b"user-agent"),
        (b"\r\n\r\n", b"\r\nCookie: a\r\n\r\n"),
        (b"hello", b"hell"),
        (b"hello", b"hello "),
        (b"hello", b"helloGET / HTTP/1.1\r\n\r\n"),
        (b"\r\n\r\nhello", b"\r\n"),
        (b"Content-Length: 5", b"Content-Length: 05"),
        (b"PUT", b"GET"),
        (b"PUT", b"put"),
        (b"PUT", b"\r\nPUT"),
        (b"PUT ", b"PUT  "),
        (b"1.1", b"1.0"),
        (b"1.1\r\n", b"1.1\n"),
        (b"5a-_", b"5a?final=true"),
        (b"5a-_", b"5%61"),
        (b"5a-_", b"\xe9"),
        (b"/claims/", b"/labels/"),
        (b"/claims/", b"http://node.example/claims/"),
    ],
)
async def test_any_other_request_has_to_be_parsed(was: bytes, becomes: bytes) -> None:
    assert PUT.count(was) == 1
    assert learned(PUT).recall(PUT.replace(was, becomes)) is None


async def test_headers_are_known_up_to_a_length_and_up_to_a_number() -> None:
    room = KNOWN_BYTES_MAX - len(GET.partition(b"\r\n")[2])
    longest = GET.replace(b": x", b": x" + b"x" * room)
    longer = longest.replace(b": x", b": xx")
    known = learned(GET, longest, longer)
    assert [known.recall(each) is None for each in (GET, longest, longer)] == [False, False, True]

    for number in range(KNOWN_MAX - 1):
        known.learn(GET.replace(b": x", b": %d" % number), PlainRequest("GET", "/", "node.example", b""))

    assert [known.recall(GET) is None, known.recall(GET.replace(b": x", b": %d" % number)) is None] == [True, False]


@pytest.mark.parametrize(
    ("pieces", "is_whole", "is_between"),
    [
        ([GET], [True], True),
        ([PUT, GET, PUT], [True, True, True], True),
        ([PUT[:-2], PUT[-2:]], [False, False], True),
        ([PUT[:-2], PUT[-2:] + GET], [False, False], False),
        ([GET + GET], [False], False),
        ([GET + GET[:5]], [False], False),
        ([GET[:-1], GET[-1:]], [False, False], False),
        ([GET[:-1], GET[-1:], GET], [False, False, False], False),
        ([b"\r\n\r\n" + GET], [False], False),
        ([CHUNKED], [False], False),
        ([CHUNKED, GET], [False, False], False),
        ([b""], [False], True),
    ],
    ids=range(12),
)
async def test_a_parser_is_between_two_requests_when_all_its_bytes_belong_to_whole_ones(
    pieces: Sequence[bytes], is_whole: Sequence[bool], is_between: bool
) -> None:
    parser = Parser()

    found = [parser.feed(piece)[1] for piece in pieces]

    assert (found, parser.boundary.is_here) == (list(is_whole), is_between)
