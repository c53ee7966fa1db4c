"""Streams as clients see them: the same events by WebSocket and as Server-Sent Events, and an end that says where."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from node.http_api.stream import CURSOR_HEADER, NAMES_MAX, QUERY_CHARACTERS_MAX
from node.node import Node
from node.streams import Consumer
from protocol.limits import RECORD_BYTES_MAX
from tests.history import BOB, claim
from tests.node.http_api.listening import (
    SERVER_SENT,
    TIMEOUT_S,
    UPGRADE,
    WEBSOCKET,
    connected,
    listening,
    running,
    until,
)
from tests.node.http_api.talking import NOW, Client, as_admin, fresh

BOTH = pytest.mark.parametrize("path", [WEBSOCKET, SERVER_SENT])


@BOTH
async def test_what_is_stored_comes_first_then_what_is_written_now(node: Node, client: Client, path: str) -> None:
    await client.put(fresh("one"))
    async with listening(node, path, "?since=0") as listener:
        stored = await listener.event()
        await client.put(fresh("two"))
        live = await listener.event()

    assert [(event["seq"], event["label"]) for event in (stored, live)] == [(1, "one"), (2, "two")]
    assert live["record"] == json.loads(fresh("two").canonical)


async def test_both_ways_say_the_same(node: Node, client: Client) -> None:
    founded, older = fresh("garden"), claim("garden", by=BOB, at=NOW - 10)
    async with listening(node, WEBSOCKET) as one, listening(node, SERVER_SENT) as other:
        await client.put(founded)
        await client.import_all(node, [older])
        events = [[await listener.event(), await listener.event()] for listener in (one, other)]

    assert events[0] == events[1]
    assert [event["type"] for event in events[0]] == ["accepted", "reverted"]
    assert (events[0][1]["previous"], events[0][1]["id"]) == (founded.id, older.id)


@BOTH
@pytest.mark.parametrize("size_bytes", [0, 30_000, RECORD_BYTES_MAX])
async def test_an_event_of_any_size_arrives_whole(node: Node, client: Client, path: str, size_bytes: int) -> None:
    size_bytes -= len(fresh(text="").canonical)
    record = fresh(text="x" * max(0, size_bytes))
    async with listening(node, path) as listener:
        await client.put(record)

        assert (await listener.event())["record"] == json.loads(record.canonical)


@BOTH
async def test_a_client_that_comes_back_with_a_cursor_misses_nothing(node: Node, client: Client, path: str) -> None:
    async with listening(node, path) as listener:
        begin = listener.cursor
        await client.put(fresh("one"))
        first = await listener.event()
    await client.put(fresh("two"))
    async with listening(node, path, f"?since={first['cursor']}") as listener:
        after_one = await listener.labels(1)
        await client.put(fresh("three"))
        after_one += await listener.labels(1)
    async with listening(node, path, f"?since={begin}") as listener:
        from_the_header = await listener.labels(3)

    assert (after_one, from_the_header) == (["two", "three"], ["one", "two", "three"])


async def test_a_browser_that_comes_back_goes_on_where_it_was(node: Node, client: Client) -> None:
    """It asks the same URL again, with what it saw last in a header."""
    await client.put(fresh("one"))
    async with listening(node, SERVER_SENT, "?since=0") as listener:
        first = await listener.event()
    await client.put(fresh("two"))

    async with listening(node, SERVER_SENT, "?since=0", {"Last-Event-ID": first["cursor"]}) as listener:
        assert await listener.labels(1) == ["two"]


@BOTH
async def test_a_browser_knows_where_it_began_before_the_first_event(node: Node, client: Client, path: str) -> None:
    await client.put(fresh("one"))
    async with listening(node, path) as listener:
        begin = listener.cursor
        said = None if path == WEBSOCKET else await listener.until("sign")

    assert begin == node.streams.last.cursor(node.store.epoch)
    assert said in (None, begin)


QUERIES = {
    "": ["a/x", "a/y", "b/x", "b/z", "end/x"],
    "domain=a": ["a/x", "a/y"],
    "domain=a&domain=b": ["a/x", "a/y", "b/x", "b/z"],
    "label=x": ["a/x", "b/x", "end/x"],
    "label=y&label=z": ["a/y", "b/z"],
    "domain=b&label=x&label=y": ["b/x"],
    "domain=not-yet&domain=b": ["b/x", "b/z"],
}


@BOTH
@pytest.mark.parametrize(("query", "wanted"), QUERIES.items(), ids=[query or "everything" for query in QUERIES])
async def test_a_filter_names_domains_and_labels(
    node: Node, client: Client, path: str, query: str, wanted: list[str]
) -> None:
    names = [name.split("/") for name in QUERIES[""]]
    for domain, label in names[:2]:
        await client.put(fresh(label, domain=domain))
    async with listening(node, path, f"?since=0&{query}") as listener:
        for domain, label in names[2:]:
            await client.put(fresh(label, domain=domain))
        events = [await listener.event() for _ in wanted]

    assert [f"{event['domain']}/{event['label']}" for event in events] == wanted


@BOTH
async def test_a_label_may_hold_anything(node: Node, client: Client, path: str) -> None:
    async with listening(node, path, "?label=a%2Fb%20%26%22c") as listener:
        await client.put(fresh('a/b &"c'))

        assert await listener.labels(1) == ['a/b &"c']


REFUSED = {
    "a cursor that is none": ("?since=1", (400, "malformed")),
    "a cursor of another store": (f"?since=1-{'0' * 32}", (410, "cursor_unknown")),
    "a cursor of what has not happened": (f"?since=999-{'0' * 32}", (410, "cursor_unknown")),
    "a domain that none can be": ("?domain=NONE", (400, "malformed")),
    "a label that none can be": ("?label=", (400, "malformed")),
    "a label that is no UTF-8": ("?label=%FF%FE%00", (400, "malformed")),
    "a parameter that there is not": ("?domains=a", (400, "malformed")),
    "two cursors": ("?since=0&since=0", (400, "malformed")),
}


@pytest.mark.parametrize(("path", "headers"), [(WEBSOCKET, UPGRADE), (SERVER_SENT, {})])
@pytest.mark.parametrize(("query", "refusal"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_streamed_is_refused_before_anything_is_switched(
    client: Client, path: str, headers: dict[str, str], query: str, refusal: tuple[int, str]
) -> None:
    await client.put(fresh())

    answer = await client.get(path + query, headers)

    assert answer.refusal == refusal
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


NO_WEBSOCKETS = {
    "no header of one": {},
    "another upgrade": UPGRADE | {"Upgrade": "h2c"},
    "no connection upgrade": UPGRADE | {"Connection": "keep-alive"},
    "no key": {name: value for name, value in UPGRADE.items() if name != "Sec-WebSocket-Key"},
    "a key that is none": UPGRADE | {"Sec-WebSocket-Key": "!"},
    "an old version": UPGRADE | {"Sec-WebSocket-Version": "0"},
}


@pytest.mark.parametrize("headers", NO_WEBSOCKETS.values(), ids=NO_WEBSOCKETS.keys())
async def test_what_is_no_websocket_is_refused_by_a_problem(client: Client, headers: dict[str, str]) -> None:
    assert (await client.get("/stream", headers)).refusal == (400, "malformed")


@BOTH
@pytest.mark.parametrize("name", ["domain", "label"])
async def test_a_stream_names_so_many_and_not_one_more(node: Node, client: Client, path: str, name: str) -> None:
    most = "&".join(f"{name}=a{number}" for number in range(NAMES_MAX))
    headers = UPGRADE if path == WEBSOCKET else {}

    async with listening(node, path, f"?{most}"):
        refused = await client.get(f"{path}?{most}&{name}=b", headers)

    assert refused.refusal == (400, "malformed")


@BOTH
async def test_a_query_has_so_many_characters_and_not_one_more(node: Node, client: Client, path: str) -> None:
    labels = "".join(f"&label={number:0243d}" for number in range(16))
    most = f"since=0{labels}&domain=".ljust(QUERY_CHARACTERS_MAX, "d")

    async with listening(node, path, f"?{most}"):
        refused = await client.get(f"{path}?{most}d", UPGRADE if path == WEBSOCKET else {})

    assert refused.refusal == (400, "malformed")


@BOTH
async def test_one_stream_past_the_limit_is_told_when_to_come_back(tmp_path: Path, path: str) -> None:
    headers = UPGRADE if path == WEBSOCKET else {}
    async with running(tmp_path, streams_max=1) as (node, client):
        async with listening(node, path):
            refused = await client.get(path, headers)
        await until(lambda: len(node.streams) == 0)
        async with listening(node, path):
            pass

    assert refused.refusal == (503, "overloaded")
    assert int(refused.headers["Retry-After"]) >= 1


@BOTH
async def test_one_stream_past_the_limit_of_its_address_is_told_so(tmp_path: Path, path: str) -> None:
    """Loopback is exempt, unless it speaks for others."""
    proxied = {"Via": "1.1 proxy"}
    async with (
        running(tmp_path, streams_per_address_max=1) as (node, client),
        listening(node, path, headers=proxied),
        listening(node, path),
    ):
        refused = await client.get(path, proxied | (UPGRADE if path == WEBSOCKET else {}))

    assert refused.refusal == (429, "rate_limited")


@BOTH
async def test_a_client_that_leaves_makes_room_at_once(node: Node, path: str) -> None:
    reader, writer = await connected(node, path)
    await reader.readuntil(b"\r\n\r\n")
    assert len(node.streams) == 1

    writer.transport.abort()
    await until(lambda: len(node.streams) == 0)


async def write_until_full(client: Client, consumer: Consumer) -> int:
    """Write large claims until the sockets on the way hold no more, and some beyond that. Returns how many."""
    written = 0
    is_last = False
    async with asyncio.timeout(TIMEOUT_S):
        while not is_last:
            is_last = consumer.is_full
            labels = [f"label-{number}" for number in range(written, written + 20)]
            answer = await client.put_batch([fresh(label, text="x" * 60_000) for label in labels])
            assert {outcome["status"] for outcome in answer.json().values()} == {"accepted"}
            written += len(labels)
    return written


async def read_until(reader: asyncio.StreamReader, is_enough: Callable[[bytearray], bool]) -> bytearray:
    read = bytearray()
    async with asyncio.timeout(TIMEOUT_S):
        while not is_enough(read):
            piece = await reader.read(2**20)
            assert piece, "the node ends the connection when everything is said"
            read += piece
    return read


def is_goodbye(read: bytearray) -> bool:
    return b'{"code"' in read[-200:] and b"}" in read[read.rindex(b'{"code"') :]


def goodbye_of(read: bytearray) -> Any:
    return json.loads(read[read.rindex(b'{"code"') : read.rindex(b"}") + 1])


@BOTH
async def test_a_consumer_that_does_not_read_is_closed_with_the_last_cursor_it_was_given(
    tmp_path: Path, path: str
) -> None:
    async with running(tmp_path, stream_stall=0.5) as (node, client):
        reader, writer = await connected(node, path)
        await reader.readuntil(b"\r\n\r\n")
        (consumer,) = node.streams.consumers
        writing = asyncio.create_task(write_until_full(client, consumer))
        await until(lambda: consumer.ending is not None)
        rest = await read_until(reader, is_goodbye)
        writer.transport.abort()
        last, written = goodbye_of(rest), await writing
        async with listening(node, path, f"?since={last['cursor']}") as listener:
            after = (await listener.event())["seq"]

    assert last["code"] == "timeout"
    assert rest.count(b'"type":"accepted"') == after - 1 < written


@BOTH
async def test_a_consumer_that_reads_late_misses_nothing_and_holds_nobody_up(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as (node, client):
        reader, writer = await connected(node, path)
        await reader.readuntil(b"\r\n\r\n")
        (consumer,) = node.streams.consumers
        async with listening(node, path) as quick:
            written = await write_until_full(client, consumer)
            seen = [(await quick.event())["seq"] for _ in range(written)]
            was_full = consumer.is_full
        late = await read_until(reader, lambda read: read.count(b'"type":"accepted"') == written)
        writer.transport.abort()

    numbers = [int(part.split(b",")[0]) for part in bytes(late).split(b'{"seq":')[1:]]
    assert was_full
    assert seen == numbers == list(range(1, written + 1))


@BOTH
async def test_a_sign_of_life_carries_the_cursor_past_what_was_not_wanted(tmp_path: Path, path: str) -> None:
    async with running(tmp_path, stream_keepalive=0.05) as (node, client):
        async with listening(node, path, "?label=mine") as listener:
            await client.put(fresh("other"))
            last = node.streams.last.cursor(node.store.epoch)
            while (moved := await listener.until("sign")) != last:
                pass
            await client.put(fresh("mine"))
            event = await listener.event()
        async with listening(node, path, f"?label=mine&since={moved}") as listener:
            again = await listener.event()

    assert event == again


async def test_signs_of_life_come_while_nothing_happens(tmp_path: Path) -> None:
    async with running(tmp_path, stream_keepalive=0.05) as (node, _), listening(node, SERVER_SENT) as listener:
        first = await listener.until("sign")
        rest = [await listener.until("sign") for _ in range(3)]

    assert (first, rest) == (listener.cursor, [None] * 3)


async def test_a_client_that_answers_no_ping_is_closed_with_the_cursor(tmp_path: Path) -> None:
    async with (
        running(tmp_path, stream_keepalive=0.05) as (node, _),
        listening(node, WEBSOCKET, autoping=False) as listener,
    ):
        message = await listener.answer.receive()
        pings = 0
        while message.type is aiohttp.WSMsgType.PING:
            pings += 1
            message = await listener.answer.receive()

    assert pings == 3
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert json.loads(message.extra) == {"code": "timeout", "cursor": listener.cursor}


async def test_a_client_that_answers_pings_stays(tmp_path: Path) -> None:
    async with (
        running(tmp_path, stream_keepalive=0.1) as (node, _),
        listening(node, WEBSOCKET, autoping=False) as listener,
    ):
        for _ in range(4):
            message = await listener.answer.receive()
            assert message.type is aiohttp.WSMsgType.PING
            await listener.answer.pong(message.data)
        await listener.answer.ping(b"and mine")
        while (message := await listener.answer.receive()).type is aiohttp.WSMsgType.PING:
            await listener.answer.pong(message.data)

    assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"and mine")


@pytest.mark.parametrize("message", ["hello", b"hello"])
async def test_a_client_that_talks_is_told_that_nobody_listens(node: Node, message: str | bytes) -> None:
    async with listening(node, WEBSOCKET) as listener:
        send = listener.answer.send_str if isinstance(message, str) else listener.answer.send_bytes
        await send(message)
        said = await listener.until("close")

    assert said == {"status": 1003, "code": "malformed", "cursor": listener.cursor}


NO_FRAMES = {
    "a message past the limit": b"\x81\xfe\x04\x01\x00\x00\x00\x00" + b"x" * 1_025,
    "a reserved bit": b"\xc1\x80\x00\x00\x00\x00",
    "a long ping": b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126,
}


@pytest.mark.parametrize("frame", NO_FRAMES.values(), ids=NO_FRAMES.keys())
async def test_frames_that_are_none_end_the_stream_without_a_word_in_the_log(
    node: Node, frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await connected(node, WEBSOCKET)
    await reader.readuntil(b"\r\n\r\n")

    writer.write(frame)
    said = await reader.readexactly(1)
    writer.transport.abort()
    await until(lambda: len(node.streams) == 0)

    assert said == b"\x88"
    assert caplog.records == []


@BOTH
async def test_a_node_that_stops_says_so_and_with_which_cursor_to_come_back(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as (node, client):
        await client.put(fresh())
        async with listening(node, path) as listener:
            goodbye = asyncio.create_task(listener.until("close"))
            await node.__aexit__(None, None, None)
            said = await goodbye

    assert said == {"code": "stopping", "cursor": listener.cursor} | ({"status": 1001} if path == WEBSOCKET else {})


@BOTH
async def test_a_node_stops_though_a_consumer_does_not_read(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as (node, client):
        _, writer = await connected(node, path)
        await until(lambda: len(node.streams.consumers) == 1)
        (consumer,) = node.streams.consumers
        await write_until_full(client, consumer)
    writer.transport.abort()

    assert caplog.records == []


async def test_a_head_request_shows_how_a_stream_would_begin(node: Node, client: Client) -> None:
    await client.put(fresh())

    answer = await client.send("HEAD", "/events")
    unknown = await client.send("HEAD", f"/events?since=1-{'0' * 32}")

    assert (answer.status, answer.body, unknown.status) == (200, b"", 410)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers[CURSOR_HEADER] == node.streams.last.cursor(node.store.epoch)
    assert len(node.streams) == 0


async def test_a_client_of_http_1_0_gets_events_without_chunks(node: Node, client: Client) -> None:
    parts = urlsplit(node.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"GET /events HTTP/1.0\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    begin = await reader.readuntil(b"\n\n")
    await client.put(fresh())
    event = await reader.readuntil(b"\n\n")
    writer.transport.abort()

    assert b"chunked" not in head
    assert begin.startswith(b"retry: ")
    assert event.startswith(b"id: 1-")


async def test_a_store_that_fails_breaks_the_stream_instead_of_ending_it_well(node: Node, client: Client) -> None:
    await client.import_all(node, [claim("garden", at=at) for at in range(1, 4)])
    await node.store.close()

    with pytest.raises(aiohttp.ClientError):
        async with listening(node, SERVER_SENT, "?since=0") as listener:
            await listener.until("close")


async def test_an_import_by_the_operator_is_streamed_like_all_else(node: Node, client: Client) -> None:
    async with listening(node, SERVER_SENT) as listener:
        answer = await client.put_batch([claim("old", at=1)], as_admin(node))
        assert answer.status == 200

        assert await listener.labels(1) == ["old"]
