"""Following a node over many connections, which end in every possible way."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.client.conversation import PASSING, WAIT_S_MAX
from node.client.errors import NodeError, Unreachable
from node.client.following import EventReader, Follower, NoNode
from node.client.http import NodeClient
from node.client.lines import LineSplitter
from protocol.errors import Code, ProtocolError
from tests.history import claim, signed
from tests.node.client.test_http import CHUNKED, serving


def told(seq: int, **fields: Any) -> bytes:
    """An event as a node sends it."""
    record = claim(f"label-{seq}")
    one = signed(record)
    event = {
        "seq": seq,
        "cursor": f"{seq}-c",
        "type": "accepted",
        "domain": record.domain,
        "label": record.label,
        "id": record.id,
        "signature": one.signature,
        "record": json.loads(record.canonical),
    }
    return block(id=f"{seq}-c", data=json.dumps(event | fields))


def block(**fields: str) -> bytes:
    return "".join(f"{name}: {value}\n" for name, value in fields.items()).encode() + b"\n"


def stream(*blocks: bytes) -> tuple[int, dict[str, str], bytes]:
    """An answer that ends properly after these blocks."""
    return 200, {}, b"".join(blocks)


def following(url: str, since: str | None = None, trouble: list[str] | None = None) -> Follower:
    def on_trouble(what: str, wait_s: float) -> None:
        assert trouble is not None
        assert 0 < wait_s <= WAIT_S_MAX
        trouble.append(what)

    names = [("domain", "example"), ("label", "a&b")]
    return Follower(lambda: NodeClient(url), names, since, None if trouble is None else on_trouble)


def seqs(events: Sequence[Any]) -> list[int]:
    return [event.seq for event in events]


def test_each_connection_begins_after_the_last_cursor_that_was_seen() -> None:
    trouble: list[str] = []
    log: list[str] = []
    alive = b": alive\n\n: alive\nid: 7-c\n\n"
    script = [stream(block(retry="1000", id="0-c"), told(1), told(2), alive), (200, CHUNKED, b""), stream(told(8))]

    with serving(script, log) as url:
        events = list(islice(following(url, None, trouble).events(), 3))

    assert seqs(events) == [1, 2, 8]
    assert len(trouble) == 2
    query = "domain=example&label=a%26b"
    assert [line.split()[1] for line in log] == [f"/events?{query}", *[f"/events?{query}&since=7-c"] * 2]


def test_an_event_before_the_first_one_seen_is_not_missed() -> None:
    """The first line of a stream holds the cursor at which it begins."""
    trouble: list[str] = []
    log: list[str] = []

    with serving([stream(block(retry="1000", id="5-c")), stream(told(6))], log) as url:
        (event,) = islice(following(url, None, trouble).events(), 1)

    assert event.seq == 6
    assert log[1].split()[1].endswith("&since=5-c")


def test_after_a_goodbye_of_the_node_the_follower_connects_again() -> None:
    trouble: list[str] = []
    goodbye = block(event="close", data='{"code":"timeout","cursor":"1-c"}')

    with serving([stream(told(1), goodbye), stream(told(2))]) as url:
        events = list(islice(following(url, "0", trouble).events(), 2))

    assert (seqs(events), trouble) == ([1, 2], ["the node ended the stream"])


def refused(status: int, code: str, **facts: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {}, json.dumps({"code": code, "detail": "why", **facts}).encode()


def test_a_node_that_is_full_is_asked_again_after_the_time_that_it_names() -> None:
    trouble: list[str] = []

    with serving([refused(503, "overloaded", retry_after=0.01), stream(told(1))]) as url:
        (event,) = islice(following(url, "0", trouble).events(), 1)

    assert (event.seq, trouble) == (1, ["overloaded: why"])


@pytest.mark.parametrize("status", sorted(PASSING))
def test_a_proxy_that_has_no_node_for_a_moment_is_asked_again(status: int) -> None:
    """Its answer has no code of ours. Requests and streams take the same statuses for passing."""
    trouble: list[str] = []
    script = [(status, {}, b"<html>come back</html>"), stream(told(1))]

    with serving(script) as url:
        (event,) = islice(following(url, "0", trouble).events(), 1)

    assert (event.seq, len(trouble)) == (1, 1)


@pytest.mark.parametrize("code", ["cursor_unknown", "malformed", "http_404"])
def test_a_refusal_that_does_not_pass_ends_the_stream(code: str) -> None:
    trouble: list[str] = []

    with serving([refused(410, code)]) as url, pytest.raises(NodeError) as ended:
        next(following(url, "0", trouble).events())

    assert (ended.value.code, trouble) == (code, [])


NO_NODES = {
    "a page": b"<!doctype html>\n",
    "an event that is none": block(data='{"seq":1}'),
    "an event that is no JSON": block(data="hello"),
    "bytes": b"\xff\xfe\n",
}


@pytest.mark.parametrize("body", NO_NODES.values(), ids=NO_NODES.keys())
def test_a_server_that_is_no_node_is_not_asked_again(body: bytes) -> None:
    trouble: list[str] = []

    with serving([(200, {}, body)]) as url, pytest.raises(NoNode):
        next(following(url, "0", trouble).events())

    assert trouble == []


@pytest.mark.parametrize(
    "answer",
    [stream(told(1)), (200, {"Content-Length": "1000"}, told(1)), stream(told(1), block(event="close", data="{}"))],
    ids=["an end", "a break", "a goodbye"],
)
def test_without_reconnecting_the_first_end_is_an_error(answer: tuple[int, dict[str, str], bytes]) -> None:
    with serving([answer]) as url:
        events = following(url, "0").events()
        first = next(events)
        with pytest.raises(Unreachable):
            next(events)

    assert first.seq == 1


FORGED = {
    "another id": {"id": "a" * 64},
    "another label": {"label": "other"},
    "another domain": {"domain": "other"},
    "another signature": {"signature": "a" * 128},
    "no signature": {"signature": "a"},
    "another record": {"record": {"domain": "example", "label": "label-1", "signedby": "a" * 64, "timestamp": 1}},
}


@pytest.mark.parametrize("fields", FORGED.values(), ids=FORGED.keys())
def test_an_event_with_a_forged_record_is_refused(fields: dict[str, Any]) -> None:
    with serving([stream(told(1, **fields))]) as url:
        event = next(following(url, "0").events())

    with pytest.raises(ProtocolError) as refused:
        event.signed()

    assert refused.value.code in (Code.BAD_SIGNATURE, Code.MALFORMED)


@given(st.integers(0, 6), st.lists(st.integers(0, 3_000), max_size=6))
def test_no_event_is_missed_and_none_comes_twice_wherever_the_connection_breaks(count: int, cuts: list[int]) -> None:
    reader, seen = EventReader([], None), list[int]()

    for cut in [*cuts, None]:
        reader.target()
        after = int((reader.cursor or "0-c").partition("-")[0])
        stored = [block(retry="1000", id=f"{after}-c"), *map(told, range(after + 1, count + 1))]
        splitter = LineSplitter()
        events = [reader.read(line) for line in splitter.feed(b"".join(stored)[:cut])]
        seen += [event.seq for event in events if event is not None]

    assert seen == list(range(1, count + 1))


def test_a_repeated_event_is_left_out() -> None:
    reader = EventReader([], "0")

    events = [reader.read(line) for each in (told(1), told(2), told(2), told(1), told(3)) for line in each.splitlines()]

    assert [event.seq for event in events if event is not None] == [1, 2, 3]
