"""Event streams as clients see them: both protocols carry the same events, and the end of a stream has a cursor."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from node.http_api.answers.json_answer import CURSOR_HEADER
from node.http_api.handlers.event_stream import (
    CONTROL_FRAMES_PER_MINUTE_MAX,
    MESSAGE_BYTES_MAX,
    SIGNS_UNANSWERED_MAX,
)
from node.node import Node
from node.streams import Consumer
from protocol.limits import RECORD_BYTES_MAX
from tests.history import BOB, claim
from tests.node.http_api.listening import (
    BOTH,
    SERVER_SENT,
    TIMEOUT_S,
    WEBSOCKET,
    connect,
    listening,
    running,
)
from tests.node.http_api.talking import NOW, Client, as_admin, fresh
from tests.waiting import until

CLAIMS_AT_ONCE = 20
TEXT_BYTES = 60_000
"""The size of a large record."""

SOON_S = 0.05
"""An interval for signs of life that a test does not wait long for."""

CLOSE_FRAME = b"\x88"


@BOTH
async def test_stored_events_come_first_and_live_events_after_them(node: Node, client: Client, path: str) -> None:
    await client.put(fresh("one"))
    async with listening(node, path, "?since=0") as listener:
        stored = await listener.event()
        await client.put(fresh("two"))
        live = await listener.event()

    assert [(event["seq"], event["label"]) for event in (stored, live)] == [(1, "one"), (2, "two")]
    assert live["record"] == json.loads(fresh("two").canonical)


async def test_both_protocols_carry_the_same_events(node: Node, client: Client) -> None:
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


async def test_a_browser_that_comes_back_continues_where_it_was(node: Node, client: Client) -> None:
    """A browser sends the same URL again, with the last cursor in a header."""
    await client.put(fresh("one"))
    async with listening(node, SERVER_SENT, "?since=0") as listener:
        first = await listener.event()
    await client.put(fresh("two"))

    async with listening(node, SERVER_SENT, "?since=0", {"Last-Event-ID": first["cursor"]}) as listener:
        assert await listener.labels(1) == ["two"]


@BOTH
async def test_a_client_knows_where_its_stream_begins_before_the_first_event(
    node: Node, client: Client, path: str
) -> None:
    await client.put(fresh("one"))
    async with listening(node, path) as listener:
        begin = listener.cursor
        said = None if path == WEBSOCKET else await listener.until("sign")

    assert begin == node.streams.last.cursor(node.store.epoch)
    assert said in (None, begin)


@BOTH
async def test_a_client_that_leaves_makes_room_at_once(node: Node, path: str) -> None:
    reader, writer = await connect(node, path)
    await reader.readuntil(b"\r\n\r\n")
    assert len(node.streams) == 1

    writer.transport.abort()
    await until(lambda: len(node.streams) == 0)


async def write_until_full(client: Client, consumer: Consumer) -> int:
    """Write large claims until the sockets are full, and some more. Returns how many claims were written."""
    written = 0
    is_last = False
    async with asyncio.timeout(TIMEOUT_S):
        while not is_last:
            is_last = consumer.is_full
            labels = [f"label-{number}" for number in range(written, written + CLAIMS_AT_ONCE)]
            answer = await client.put_batch([fresh(label, text="x" * TEXT_BYTES) for label in labels])
            assert {outcome["status"] for outcome in answer.json().values()} == {"accepted"}
            written += len(labels)
    return written


async def read_until(reader: asyncio.StreamReader, is_enough: Callable[[bytearray], bool]) -> bytearray:
    read = bytearray()
    async with asyncio.timeout(TIMEOUT_S):
        while not is_enough(read):
            piece = await reader.read(2**20)
            assert piece, "the node must not end the connection before"
            read += piece
    return read


def is_goodbye(read: bytearray) -> bool:
    return b'{"code"' in read[-200:] and b"}" in read[read.rindex(b'{"code"') :]


def goodbye_of(read: bytearray) -> Any:
    return json.loads(read[read.rindex(b'{"code"') : read.rindex(b"}") + 1])


@BOTH
async def test_a_consumer_that_does_not_read_is_closed_with_its_last_cursor(tmp_path: Path, path: str) -> None:
    async with running(tmp_path, stream_stall=0.5) as (node, client):
        reader, writer = await connect(node, path)
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
async def test_a_consumer_that_reads_late_misses_nothing_and_delays_no_other(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as (node, client):
        reader, writer = await connect(node, path)
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
async def test_a_sign_of_life_moves_the_cursor_past_unwanted_events(tmp_path: Path, path: str) -> None:
    async with running(tmp_path, stream_keepalive=SOON_S) as (node, client):
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
    async with running(tmp_path, stream_keepalive=SOON_S) as (node, _), listening(node, SERVER_SENT) as listener:
        first = await listener.until("sign")
        rest = [await listener.until("sign") for _ in range(3)]

    assert (first, rest) == (listener.cursor, [None] * 3)


async def test_a_client_that_answers_no_ping_is_closed_with_its_cursor(tmp_path: Path) -> None:
    async with (
        running(tmp_path, stream_keepalive=SOON_S) as (node, _),
        listening(node, WEBSOCKET, autoping=False) as listener,
    ):
        message = await listener.answer.receive()
        pings = 0
        while message.type is aiohttp.WSMsgType.PING:
            pings += 1
            message = await listener.answer.receive()

    assert pings == SIGNS_UNANSWERED_MAX
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.POLICY_VIOLATION)
    assert json.loads(message.extra) == {"code": "timeout", "cursor": listener.cursor}


async def test_a_client_that_answers_pings_stays(tmp_path: Path) -> None:
    async with (
        running(tmp_path, stream_keepalive=0.1) as (node, _),
        listening(node, WEBSOCKET, autoping=False) as listener,
    ):
        for _ in range(SIGNS_UNANSWERED_MAX + 1):
            message = await listener.answer.receive()
            assert message.type is aiohttp.WSMsgType.PING
            await listener.answer.pong(message.data)
        await listener.answer.ping(b"and mine")
        while (message := await listener.answer.receive()).type is aiohttp.WSMsgType.PING:
            await listener.answer.pong(message.data)

    assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"and mine")


@pytest.mark.parametrize("message", ["hello", b"hello"])
async def test_a_client_that_sends_a_message_is_closed(node: Node, message: str | bytes) -> None:
    async with listening(node, WEBSOCKET) as listener:
        send = listener.answer.send_str if isinstance(message, str) else listener.answer.send_bytes
        await send(message)
        said = await listener.until("close")

    assert said == {"status": aiohttp.WSCloseCode.UNSUPPORTED_DATA, "code": "malformed", "cursor": listener.cursor}


async def test_a_client_that_floods_with_pings_is_closed(node: Node) -> None:
    async with listening(node, WEBSOCKET, autoping=False) as listener:
        for _ in range(CONTROL_FRAMES_PER_MINUTE_MAX + 1):
            await listener.answer.ping()
        message = await listener.answer.receive()
        while message.type is aiohttp.WSMsgType.PONG:
            message = await listener.answer.receive()

    assert message.type is aiohttp.WSMsgType.CLOSE
    assert json.loads(message.extra)["code"] == "rate_limited"


INVALID_FRAMES = {
    "a message one byte past the limit": b"\x81\xfe\x04\x01\x00\x00\x00\x00" + b"x" * (MESSAGE_BYTES_MAX + 1),
    "a reserved bit": b"\xc1\x80\x00\x00\x00\x00",
    "a ping that is too long": b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126,
}


@pytest.mark.parametrize("frame", INVALID_FRAMES.values(), ids=INVALID_FRAMES.keys())
async def test_an_invalid_frame_ends_the_stream_without_a_log_entry(
    node: Node, frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await connect(node, WEBSOCKET)
    await reader.readuntil(b"\r\n\r\n")

    writer.write(frame)
    said = await reader.readexactly(1)
    writer.transport.abort()
    await until(lambda: len(node.streams) == 0)

    assert said == CLOSE_FRAME
    assert caplog.records == []


@BOTH
async def test_a_node_that_stops_says_so_with_a_cursor_to_come_back_with(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as (node, client):
        await client.put(fresh())
        async with listening(node, path) as listener:
            goodbye = asyncio.create_task(listener.until("close"))
            await node.__aexit__(None, None, None)
            said = await goodbye

    assert said == {"code": "stopping", "cursor": listener.cursor} | (
        {"status": aiohttp.WSCloseCode.GOING_AWAY} if path == WEBSOCKET else {}
    )


@BOTH
async def test_a_node_stops_although_a_consumer_does_not_read(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as (node, client):
        _, writer = await connect(node, path)
        await until(lambda: len(node.streams.consumers) == 1)
        (consumer,) = node.streams.consumers
        await write_until_full(client, consumer)
    writer.transport.abort()

    assert caplog.records == []


async def test_a_head_request_shows_the_headers_of_a_stream(node: Node, client: Client) -> None:
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


async def test_a_store_that_fails_breaks_the_connection_of_a_stream(node: Node, client: Client) -> None:
    await client.import_all(node, [claim("garden", at=at) for at in range(1, 4)])
    await node.store.close()

    with pytest.raises(aiohttp.ClientError):
        async with listening(node, SERVER_SENT, "?since=0") as listener:
            await listener.until("close")


async def test_an_import_by_the_operator_is_streamed_like_any_claim(node: Node, client: Client) -> None:
    async with listening(node, SERVER_SENT) as listener:
        answer = await client.put_batch([claim("old", at=1)], as_admin(node))
        assert answer.status == 200

        assert await listener.labels(1) == ["old"]
