"""The fast path answers exactly as the ordinary way does, and takes only requests for which no client can see a
difference.
"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from node.http_api import start, url_of
from node.http_api.app import FAST_PATH
from node.http_api.handlers.write import BODY_BUDGET
from node.http_api.paced_connection import PIECE_BYTES_MAX
from node.node import ROUTES, Node
from node.settings.settings import Settings
from node.world import World
from protocol.limits import SPELLING_BYTES_MAX
from tests.history import ALICE, BOB, claim, signed
from tests.node.http_api.listening import TIMEOUT_S
from tests.node.http_api.talking import NOW, Answer, Client, as_admin, fresh
from tests.waiting import until

ORDINARY = {"X-Ordinary": "1"}
"""A header that means nothing, and that the fast path does not know."""

GARDEN, SHED = signed(fresh()), signed(fresh("shed"))
OTHERS = signed(claim("garden", BOB, at=NOW))
OLD = signed(claim("well", ALICE, at=1))

FAST: list[tuple[str, str, bytes | None]] = [
    ("GET", "/claims/example/garden", None),
    ("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical),
    ("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical),
    ("GET", "/claims/example/garden", None),
    ("GET", "/claims/example/garden", None),
    ("GET", "/claims/example/nothing", None),
    ("GET", "/claims/elsewhere/garden", None),
    ("PUT", f"/claims/{GARDEN.signature}", SHED.record.canonical),
    ("PUT", f"/claims/{SHED.signature}", SHED.record.canonical.replace(b",", b" , ")),
    ("GET", "/claims/example/shed", None),
    ("PUT", f"/claims/{OTHERS.signature}", OTHERS.record.canonical),
    ("PUT", f"/claims/{OLD.signature}", OLD.record.canonical),
    ("PUT", "/claims/signature", GARDEN.record.canonical),
    ("PUT", f"/claims/{GARDEN.signature}", b"no record"),
    ("PUT", f"/claims/{GARDEN.signature}", b"[]" + b" " * 2_000),
    ("PUT", f"/claims/{GARDEN.signature}", b""),
]
"""Requests that the fast path takes, in this order."""

NOT_FAST: list[tuple[str, str, bytes | None, Mapping[str, str]]] = [
    ("HEAD", "/claims/example/garden", None, {}),
    ("GET", "/claims/example/g%61rden", None, {}),
    ("GET", "/claims/example/garden?final=true", None, {}),
    ("GET", "/claims/example/garden", None, {"If-None-Match": "*"}),
    ("GET", "/claims/example/garden", None, {"Connection": "close"}),
    ("GET", "/claims/example/garden", None, {"Forwarded": "for=192.0.2.1"}),
    ("PUT", f"/claims/{SHED.signature}", SHED.record.canonical, {"If-Match": '"x"'}),
    ("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical, {"Origin": "https://pages.example"}),
    ("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical, {"Authorization": "Bearer wrong"}),
    ("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical, {"Prefer": "wait=1"}),
    ("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical, {"Content-Encoding": "gzip"}),
    ("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical, {"Host": "node.example"}),
    ("PUT", f"/claims/{GARDEN.signature}", b" " * (SPELLING_BYTES_MAX + 1), {}),
]

STRANGERS: dict[str, Any] = {"loopback_trusted": False, "trusted_proxies": ["192.0.2.0/24"]}


class Served:
    """A node, and a server of its own whose parts a test may look at."""

    def __init__(self, node: Node, runner: web.AppRunner, client: Client) -> None:
        self.node = node
        self.server = cast("web.Server", runner.server)
        self.fast_path = runner.app[FAST_PATH]
        self.bodies = runner.app[BODY_BUDGET].budget
        self.client = client

    async def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None) -> Any:
        return _comparable(await self.client.send(method, path, body, headers))


def _comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status, [(name, value) for name, value in answer.headers.items() if name != "Date"], answer.body


@asynccontextmanager
async def serving(folder: Path, **chosen: Any) -> AsyncIterator[Served]:
    settings = Settings(port=0, data=folder, **chosen)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(Node(settings, World(now_s=lambda: NOW)))
        runner = await start(node.api, ROUTES, None)
        stack.push_async_callback(runner.cleanup)
        client = await stack.enter_async_context(Client(url_of(runner, settings)))
        yield Served(node, runner, client)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"write_origins": ["https://pages.example"]},
        STRANGERS | {"refused_per_minute_max": 3},
        STRANGERS | {"records_per_second_max": 0.1},
        {"domains": ["garden.example"]},
    ],
    ids=["local", "write origins", "strangers refused often", "strangers with a quota", "listed domains"],
)
async def test_both_ways_give_the_same_answers_and_count_the_same(tmp_path: Path, chosen: dict[str, Any]) -> None:
    async with serving(tmp_path / "fast", **chosen) as fast, serving(tmp_path / "ordinary", **chosen) as ordinary:
        answers = [(await fast.ask(*each), await ordinary.ask(*each, headers=ORDINARY)) for each in FAST]

        for of_fast, of_ordinary in answers:
            assert of_fast == of_ordinary
        assert (fast.fast_path.taken, ordinary.fast_path.taken) == (len(FAST), 0)
        assert fast.node.traffic.requests == ordinary.node.traffic.requests
        counts, others = fast.node.ingest.intake, ordinary.node.ingest.intake
        assert (counts.accepted, counts.known, counts.refused) == (others.accepted, others.known, others.refused)
        assert list(counts.admission_s.buckets())[-1] == list(others.admission_s.buckets())[-1]
        assert (fast.bodies.held_bytes, fast.node.ingest.room.records) == (0, 0)


async def test_a_request_that_something_could_change_goes_the_ordinary_way(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        await it.ask("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical, as_admin(it.node))

        statuses = [(await it.ask(*each))[0] for each in NOT_FAST]

        assert it.fast_path.taken == 0
        assert statuses == [200, 200, 404, 304, 200, 200, 412, 403, 401, 200, 415, 200, 413]


async def test_answers_keep_the_order_of_requests_on_a_connection(tmp_path: Path) -> None:
    """The second request comes while the first one waits for the disk."""
    async with serving(tmp_path) as it:
        host, port = it.client.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = GARDEN.record.canonical
        with closing(sqlite3.connect(tmp_path / "dnarc.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.write(
                b"PUT /claims/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s"
                % (GARDEN.signature.encode(), len(body), body)
            )
            await until(lambda: it.fast_path.taken == 1)
            writer.write(b"GET /claims/example/garden HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            writer.write(b"GET /domains HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            other.execute("ROLLBACK")
        answers = (await reader.read()).split(b"HTTP/1.1 ")
        writer.close()

    assert [answer[:3] for answer in answers] == [b"", b"201", b"200", b"200"]
    assert GARDEN.signature.encode() in answers[2]


class QuickClient(asyncio.Transport):
    """Sends a request as soon as the connection is made, and the next one as soon as an answer comes: before the
    connection's task has had a turn of the loop. Sockets of uvloop are read so.
    """

    def __init__(self, connection: asyncio.Protocol, requests: Sequence[bytes]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self._connection = connection
        self._requests = list(requests)
        self._is_closing = False
        self.answers: list[bytes] = []
        connection.connection_made(self)
        self._send()

    def write(self, data: Any) -> None:
        self.answers.append(bytes(data))
        asyncio.get_running_loop().call_soon(self._send)

    async def wait_for(self, answers: int) -> None:
        await until(lambda: len(self.answers) == answers)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def _send(self) -> None:
        if self._requests:
            self._connection.data_received(self._requests.pop(0))


READ = b"GET /claims/example/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def test_requests_that_come_before_the_task_of_the_connection_waits_go_the_fast_way(tmp_path: Path) -> None:
    ordinary = READ.replace(b"\r\n\r\n", b"\r\nX-Ordinary: 1\r\n\r\n")
    async with serving(tmp_path) as it:
        client = QuickClient(it.server(), [READ, ordinary, READ, READ, ordinary, ordinary, READ])
        await client.wait_for(7)
        client.close()

    assert it.fast_path.taken == 4
    assert {answer[:12] for answer in client.answers} == {b"HTTP/1.1 404"}


def raw(method: str, path: str, body: bytes | None) -> bytes:
    """The bytes of a request, as a client of little effort writes them."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return f"{head}\r\n".encode() if body is None else f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def undated(answers: Sequence[bytes]) -> list[bytes]:
    return [re.sub(rb"Date: [^\r]*\r\n", b"", answer) for answer in answers]


async def test_requests_without_a_parser_get_the_same_answers(tmp_path: Path) -> None:
    """The headers of all requests are known from another connection, for which their paths are unknown."""
    requests = [raw(*each) for each in FAST]
    async with serving(tmp_path / "parsed") as parsed, serving(tmp_path / "recalled") as recalled:
        for each in requests:
            line, _, rest = each.partition(b" HTTP/1.1")
            if line.startswith(b"GET "):
                await QuickClient(recalled.server(), [b"GET /claims/example/other HTTP/1.1" + rest]).wait_for(1)
            else:
                await QuickClient(recalled.server(), [b"PUT /claims/other HTTP/1.1" + rest]).wait_for(1)
        assert [recalled.fast_path.known_headers.recall(each) is None for each in requests] == [False] * len(requests)

        clients = [QuickClient(it.server(), requests) for it in (parsed, recalled)]
        for client in clients:
            await client.wait_for(len(requests))

    assert undated(clients[0].answers) == undated(clients[1].answers)


async def test_a_request_with_known_headers_that_is_not_for_the_fast_path_is_parsed(tmp_path: Path) -> None:
    async with serving(tmp_path) as it:
        client = QuickClient(it.server(), [raw("PUT", "/claims/x", b"a"), raw("PUT", "/claims/x/y", b"a"), READ, READ])
        await client.wait_for(4)

    assert [answer[9:12] for answer in client.answers] == [b"400", b"405", b"404", b"404"]
    assert it.fast_path.taken == 3


@pytest.mark.parametrize(
    ("pieces", "answers"),
    [
        ([READ + READ[:30], READ[30:], READ], [b"404", b"404", b"404"]),
        ([READ + READ, READ], [b"404", b"404", b"404"]),
        ([b"GET /domains HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", READ], [b"400"]),
        ([b"PUT /claims/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(READ), READ], [b"400"]),
    ],
    ids=["a part of the next", "two at once", "in a head", "in a body"],
)
async def test_bytes_with_known_headers_are_a_request_only_between_two_requests(
    tmp_path: Path, pieces: Sequence[bytes], answers: Sequence[bytes]
) -> None:
    async with serving(tmp_path) as it:
        await QuickClient(it.server(), [READ]).wait_for(1)
        assert it.fast_path.known_headers.recall(READ) is not None

        connection = it.server()
        client = QuickClient(connection, [])
        for piece in pieces:
            connection.data_received(piece)
        await client.wait_for(len(answers))

    assert [answer[9:12] for answer in client.answers] == answers


async def test_answers_keep_the_order_of_requests_whenever_the_second_one_comes(tmp_path: Path) -> None:
    """It comes so many turns of the loop after an ordinary request: before that one has begun, under way, answered."""
    async with serving(tmp_path) as it:
        for turns in range(8):
            connection = it.server()
            client = QuickClient(connection, [b"GET /domains HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
            for _ in range(turns):
                await asyncio.sleep(0)
            connection.data_received(READ)
            await client.wait_for(2)
            client.close()

            assert [answer[:12] for answer in client.answers] == [b"HTTP/1.1 200", b"HTTP/1.1 404"], turns


async def test_no_request_is_taken_after_the_last_one_of_a_connection(tmp_path: Path) -> None:
    last = READ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with serving(tmp_path) as it:
        client = QuickClient(it.server(), [last, READ])
        await until(client.is_closing)

    assert (it.fast_path.taken, len(client.answers)) == (0, 1)


async def test_a_stranger_gets_one_fast_answer_in_a_turn_of_the_loop(tmp_path: Path) -> None:
    """However many requests come at once on a connection, others have their turn between them."""
    head = b"GET /claims/example/garden HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: "
    request = head + b"x" * (PIECE_BYTES_MAX - len(head) - 4) + b"\r\n\r\n"
    async with serving(tmp_path, **STRANGERS) as it:
        host, port = it.client.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(request * 10)
        taken = [0]
        async with asyncio.timeout(TIMEOUT_S):
            while taken[-1] < 10:
                await asyncio.sleep(0)
                taken.append(it.fast_path.taken)
        writer.close()

    assert max(later - earlier for earlier, later in pairwise(taken)) == 1


async def test_a_connection_is_not_idle_while_a_claim_waits_for_the_disk(tmp_path: Path) -> None:
    async with serving(tmp_path, idle_timeout=0.01) as it:
        with closing(sqlite3.connect(tmp_path / "dnarc.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            asking = asyncio.create_task(it.ask("PUT", f"/claims/{GARDEN.signature}", GARDEN.record.canonical))
            await until(lambda: it.fast_path.taken == 1)
            end_s = asyncio.get_running_loop().time() + 0.05
            await until(lambda: asyncio.get_running_loop().time() > end_s)
            other.execute("ROLLBACK")
        status, _, _ = await asking

    assert status == 201


async def test_a_node_that_stops_answers_the_claim_that_waits_for_the_disk(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with closing(sqlite3.connect(tmp_path / "dnarc.db", isolation_level=None)) as other:
            node = await stack.enter_async_context(Node(Settings(port=0, data=tmp_path), World(now_s=lambda: NOW)))
            client = await stack.enter_async_context(Client(node.url))
            other.execute("BEGIN IMMEDIATE")
            asking = asyncio.create_task(client.put(GARDEN.record))
            await until(lambda: node.ingest.room.records == 1)
            stopping = asyncio.create_task(node.__aexit__(None, None, None))
            await until(lambda: node.commits.uncommitted != set())
            other.execute("ROLLBACK")
            answer = await asking
            await stopping

    assert answer.status == 201
