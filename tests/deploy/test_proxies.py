"""The configurations of nginx and Caddy, with the real programs in front of a real node."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import pytest
from aiohttp import ClientSession

from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from node.world import World
from tests.deploy.programs import DEPLOY, needs, path_of
from tests.deploy.proxying import Proxy, caddy, nginx
from tests.node.http_api.talking import NOW, Client, as_admin, fresh, listed, shown
from tests.node.http_sync.sync_network import claims, give
from tests.node.links.network import running, until_held

TRUSTED: Final = "127.0.0.1/32"
"""The network of the proxies, as the configurations say."""

ONE, OTHER = "127.0.0.2", "127.0.0.3"
"""Addresses of callers, outside of that network."""

FORGED: Final = "198.51.100.9"
FORGERIES: Final[list[dict[str, str]]] = [
    {"X-Forwarded-For": FORGED},
    {"Forwarded": f"for={FORGED}"},
    {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
]

NEVER_S: Final = 3_600.0
HANG_S: Final = 120.0
"""Seconds after which a test that hangs fails. No test takes as long."""

COMPRESSED: Final = {"Accept-Encoding": "gzip"}

Front = Callable[[Path, str], AbstractContextManager[Proxy]]


@pytest.fixture(params=[pytest.param(nginx, marks=needs("nginx")), pytest.param(caddy, marks=needs("caddy"))])
def front(request: pytest.FixtureRequest) -> Front:
    """Starts a proxy in a folder, in front of the node with this URL."""
    chosen: Front = request.param
    return chosen


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that takes next to nothing from one address, and sends no keep-alives on streams."""
    settings = Settings(
        port=0,
        data=tmp_path / "data",
        trusted_proxies=[TRUSTED],
        records_per_second_max=0.001,
        stream_keepalive=NEVER_S,
    )
    async with Node(settings, World(now_s=lambda: NOW)) as node:
        yield node


@pytest.fixture
def proxy(tmp_path: Path, front: Front, node: Node) -> Iterator[Proxy]:
    with front(tmp_path, node.url) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    """A client of the proxy."""
    async with proxy.client(ONE) as client:
        yield client


async def use_up_the_quota(client: Client) -> None:
    for number in range(100):
        if (await client.put(fresh(f"label-{number}"))).status == 429:
            return
    raise AssertionError("there is no quota")


async def test_each_caller_has_its_own_quota_whatever_headers_it_forges(proxy: Proxy) -> None:
    async with proxy.client(ONE) as one, proxy.client(OTHER) as other:
        await use_up_the_quota(one)

        of_one = [(await one.put(fresh("garden"), headers)).status for headers in FORGERIES]
        of_other = (await other.put(fresh("garden"))).status

    assert (of_one, of_other) == ([429] * len(FORGERIES), 201)


async def test_a_caller_has_no_privilege_of_loopback(client: Client, node: Node) -> None:
    refused = [await client.send("POST", "/sync/push", headers=headers) for headers in ({}, *FORGERIES)]
    with_token = await client.send("POST", "/sync/push", headers=as_admin(node))

    assert [answer.refusal for answer in refused] == [(401, "unauthorized")] * len(refused)
    assert with_token.status == 200


async def test_the_node_sees_no_proxy_that_it_does_not_trust(client: Client, node: Node) -> None:
    await client.get("/domains")

    assert node.warnings() == []


async def test_the_page_of_the_node_may_write_and_a_page_of_another_site_may_not(proxy: Proxy, client: Client) -> None:
    own = await client.put(fresh(), {"Origin": proxy.url})
    foreign = await client.put(fresh("pond"), {"Origin": "https://attacker.example"})

    assert (own.status, foreign.status) == (201, 403)


@pytest.mark.parametrize("prefix", ["", "/dnarc"])
async def test_a_server_sent_event_arrives_at_once_and_uncompressed(proxy: Proxy, node: Node, prefix: str) -> None:
    async with (
        ClientSession(connector=proxy.connector(ONE), auto_decompress=False) as session,
        session.get(f"{proxy.url}{prefix}/events", headers=COMPRESSED) as stream,
    ):
        await give(node, fresh())
        event = await asyncio.wait_for(first_event(stream.content), HANG_S)

    assert "Content-Encoding" not in stream.headers
    assert event["record"] == json.loads(fresh().canonical)


async def first_event(lines: Any) -> Any:
    async for line in lines:
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("prefix", ["", "/dnarc"])
async def test_an_event_on_a_websocket_arrives_at_once(proxy: Proxy, node: Node, prefix: str) -> None:
    async with (
        ClientSession(connector=proxy.connector(ONE)) as session,
        session.ws_connect(f"{proxy.url}{prefix}/stream") as stream,
    ):
        await give(node, fresh())
        event = await stream.receive_json(timeout=HANG_S)

    assert event["record"] == json.loads(fresh().canonical)


async def test_nodes_link_through_the_proxy(tmp_path: Path, front: Front) -> None:
    async with running(tmp_path / "a", trusted_proxies=[TRUSTED]) as one:
        with front(tmp_path, one.url) as proxy:
            async with running(tmp_path / "b", tls_ca=proxy.authority.ca) as other:
                await give(one, *claims(2))
                await other.peers.put(Peer(url=proxy.prefixed_url.replace("https", "wss"), pull=True))
                await until_held(claims(2), other)


async def test_answers_are_compressed(client: Client) -> None:
    compressed = await client.get("/openapi.json", COMPRESSED)
    plain = await client.get("/openapi.json", {"Accept-Encoding": "identity"})

    assert (compressed.headers["Content-Encoding"], "Content-Encoding" in plain.headers) == ("gzip", False)
    assert compressed.body == plain.body


class Assets(HTMLParser):
    """The files that a page names."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and (tag, name) in (("link", "href"), ("script", "src"))]


async def test_the_page_and_its_files_are_served_under_a_path(client: Client) -> None:
    page = await client.get("/dnarc/", {"Accept": "text/html"})
    files = [await client.get(urljoin("/dnarc/", name)) for name in Assets(page.body).found]

    assert page.headers["Content-Type"].startswith("text/html")
    assert len(files) > 5
    assert [file.status for file in files] == [200] * len(files)


async def test_the_path_without_its_slash_leads_to_the_page(proxy: Proxy) -> None:
    async with (
        ClientSession(connector=proxy.connector(ONE)) as session,
        session.get(proxy.prefixed_url, allow_redirects=False) as answer,
    ):
        location = answer.headers["Location"]

    assert urlsplit(urljoin(proxy.prefixed_url, location)).path == "/dnarc/"


@pytest.mark.parametrize("prefix", ["", "/dnarc"])
async def test_a_label_with_an_encoded_slash_passes(client: Client, node: Node, prefix: str) -> None:
    await give(node, fresh("a/b"))

    answer = await client.get(f"{prefix}/claims/example/a%2Fb")

    assert listed(answer) == shown(fresh("a/b"))


async def test_a_batch_that_is_too_large_is_refused_by_the_node(client: Client) -> None:
    answer = await client.send("PUT", "/claims", b" " * (8 * 2**20 + 1))

    assert answer.refusal == (413, "too_large")


def test_the_timeouts_of_nginx_leave_room_for_every_sign_of_life() -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    slowest_s = max(Settings().ping_interval, Settings().stream_keepalive)

    timeouts_s = [int(seconds) for seconds in re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", text)]

    assert len(timeouts_s) == 2
    assert min(timeouts_s) > 4 * slowest_s


@needs("caddy")
@pytest.mark.parametrize("name", ["Caddyfile", "fleet.Caddyfile"])
def test_caddy_accepts_its_file_as_it_stands(tmp_path: Path, name: str) -> None:
    """The tests above change its addresses."""
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}

    done = subprocess.run(
        [path_of("caddy"), "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / name)],
        capture_output=True,
        text=True,
        env=os.environ | homes,
        timeout=HANG_S,
        check=False,
    )

    assert (done.returncode, '"warn"' in done.stderr) == (0, False), done.stderr
