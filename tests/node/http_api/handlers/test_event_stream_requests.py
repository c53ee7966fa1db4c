"""Requests for an event stream: what a query selects, and which requests are refused before a stream begins."""

from pathlib import Path

import pytest

from node.http_api.handlers.event_stream import NAMES_MAX, QUERY_CHARACTERS_MAX
from node.node import Node
from tests.node.http_api.listening import BOTH, SERVER_SENT, UPGRADE, WEBSOCKET, listening, running
from tests.node.http_api.talking import Client, fresh
from tests.waiting import until

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
async def test_a_query_selects_domains_and_labels(
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
async def test_a_query_can_name_any_label(node: Node, client: Client, path: str) -> None:
    async with listening(node, path, "?label=a%2Fb%20%26%22c") as listener:
        await client.put(fresh('a/b &"c'))

        assert await listener.labels(1) == ['a/b &"c']


REFUSED = {
    "no cursor": ("?since=1", (400, "malformed")),
    "a cursor of another store": (f"?since=1-{'0' * 32}", (410, "cursor_unknown")),
    "a cursor of a future event": (f"?since=999-{'0' * 32}", (410, "cursor_unknown")),
    "an impossible domain": ("?domain=NONE", (400, "malformed")),
    "an impossible label": ("?label=", (400, "malformed")),
    "a label that is not UTF-8": ("?label=%FF%FE%00", (400, "malformed")),
    "an unknown parameter": ("?domains=a", (400, "malformed")),
    "a certainty that no filter has": ("?certainty=ordered", (400, "malformed")),
    "two certainties": ("?certainty=final&certainty=final", (400, "malformed")),
    "two cursors": ("?since=0&since=0", (400, "malformed")),
}


@pytest.mark.parametrize(("path", "headers"), [(WEBSOCKET, UPGRADE), (SERVER_SENT, {})])
@pytest.mark.parametrize(("query", "refusal"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_query_is_refused_before_the_protocol_is_switched(
    client: Client, path: str, headers: dict[str, str], query: str, refusal: tuple[int, str]
) -> None:
    await client.put(fresh())

    answer = await client.get(path + query, headers)

    assert answer.refusal == refusal
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


NO_WEBSOCKETS = {
    "none of the headers": {},
    "another upgrade": UPGRADE | {"Upgrade": "h2c"},
    "no connection upgrade": UPGRADE | {"Connection": "keep-alive"},
    "no key": {name: value for name, value in UPGRADE.items() if name != "Sec-WebSocket-Key"},
    "an invalid key": UPGRADE | {"Sec-WebSocket-Key": "!"},
    "an old version": UPGRADE | {"Sec-WebSocket-Version": "0"},
}


@pytest.mark.parametrize("headers", NO_WEBSOCKETS.values(), ids=NO_WEBSOCKETS.keys())
async def test_an_invalid_opening_handshake_is_refused_by_a_problem(client: Client, headers: dict[str, str]) -> None:
    assert (await client.get("/stream", headers)).refusal == (400, "malformed")


@BOTH
@pytest.mark.parametrize("name", ["domain", "label"])
async def test_a_query_may_have_so_many_names_and_not_one_more(
    node: Node, client: Client, path: str, name: str
) -> None:
    most = "&".join(f"{name}=a{number}" for number in range(NAMES_MAX))
    headers = UPGRADE if path == WEBSOCKET else {}

    async with listening(node, path, f"?{most}"):
        refused = await client.get(f"{path}?{most}&{name}=b", headers)

    assert refused.refusal == (400, "malformed")


@BOTH
async def test_a_query_may_have_so_many_characters_and_not_one_more(node: Node, client: Client, path: str) -> None:
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
async def test_one_stream_past_the_limit_of_its_address_is_rate_limited(tmp_path: Path, path: str) -> None:
    """Loopback is exempt, but a proxy on loopback is not."""
    proxied = {"Via": "1.1 proxy"}
    async with (
        running(tmp_path, streams_per_address_max=1) as (node, client),
        listening(node, path, headers=proxied),
        listening(node, path),
    ):
        refused = await client.get(path, proxied | (UPGRADE if path == WEBSOCKET else {}))

    assert refused.refusal == (429, "rate_limited")
