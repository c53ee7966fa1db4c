"""A page of a foreign origin may read what is public, and neither change anything nor open a link."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.http_api.route import Route
from node.node import ROUTES, Node
from node.settings.settings import Settings
from node.world import World
from tests.node.http_api.listening import UPGRADE, listening
from tests.node.http_api.talking import NOW, Client, as_admin, fresh

FOREIGN = "https://attacker.example"
LISTED = "https://app.example"
LINK = UPGRADE | {"Sec-WebSocket-Protocol": "dnarc.v1"}


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a node behind a trusted proxy, which lets pages of one other origin write."""
    settings = Settings(port=0, data=tmp_path / "proxied", trusted_proxies=["127.0.0.0/8"], write_origins=[LISTED])
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        yield client


def example_of(route: Route) -> str:
    """A path that the route takes."""
    return re.sub(r"{\w+}", "x", route.path)


GUARDED = [route for route in ROUTES if route.is_guarded]


def test_every_request_that_may_change_something_is_guarded() -> None:
    assert {(route.method, route.path) for route in GUARDED} == {
        ("PUT", "/claims/{name}"),
        ("PUT", "/claims"),
        ("POST", "/sync/push"),
        ("POST", "/sync/pull"),
        ("PUT", "/peers"),
        ("DELETE", "/peers"),
        ("GET", "/gossip"),
        ("POST", "/removals"),
        ("DELETE", "/records/{id}"),
        ("DELETE", "/dropped"),
    }


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost.attacker.example", "http://127.0.0.1:1"])
async def test_a_page_of_a_foreign_origin_may_not_send_it(
    client: Client, node: Node, route: Route, origin: str
) -> None:
    """With the admin token neither: no page has to know it."""
    headers = as_admin(node) | {"Origin": origin} | (LINK if route.is_link else {})

    answer = await client.send(route.method, example_of(route), b"{}" if route.body else None, headers)

    assert answer.refusal == (403, "unauthorized")
    assert "write_origins" in answer.json()["detail"]


async def test_a_page_at_an_address_without_sec_fetch_site_is_foreign_by_its_origin(client: Client) -> None:
    """At http://0.0.0.0 a browser sends no `Sec-Fetch-Site`, and the connection comes from loopback."""
    headers = {"Host": "0.0.0.0:8080", "Origin": FOREIGN}

    assert (await client.send("POST", "/sync/push", headers=headers)).refusal == (403, "unauthorized")


async def test_a_page_of_this_node_may_write(client: Client) -> None:
    host = client.url.removeprefix("http://")
    own = [
        {"Origin": client.url},
        {"Origin": f"https://{host}"},
        {"Host": "Node.example", "Origin": "https://node.example"},
        {"Host": "node.example:443", "Origin": "https://node.example"},
        {"Host": "127.0.0.1", "Origin": "https://node.example", "Sec-Fetch-Site": "same-origin"},
    ]

    statuses = [(await client.put(fresh(f"label-{number}"), it)).status for number, it in enumerate(own)]

    assert statuses == [201] * len(own)


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-Host": "node.example"},
        {"X-Forwarded-Host": "node.example, inner"},
        {"Forwarded": 'for=192.0.2.1;host="node.example"'},
        {"Forwarded": "for=192.0.2.1, for=10.0.0.1;host=node.example"},
    ],
)
async def test_behind_a_trusted_proxy_the_forwarded_host_is_this_nodes(
    proxied: Client, client: Client, header: dict[str, str]
) -> None:
    headers = header | {"Origin": "https://node.example"}

    believed = await proxied.put(fresh(), headers)
    forged = await client.put(fresh(), headers)

    assert (believed.status, forged.refusal) == (201, (403, "unauthorized"))


async def test_a_page_of_a_listed_origin_may_write(proxied: Client) -> None:
    assert (await proxied.put(fresh(), {"Origin": LISTED})).status == 201


@pytest.mark.parametrize("path", ["/claims", "/domains", "/node", "/health"])
async def test_reads_are_open_to_every_origin(client: Client, path: str) -> None:
    assert (await client.get(path, {"Origin": FOREIGN})).status == 200


@pytest.mark.parametrize("path", ["/stream", "/events"])
async def test_streams_are_open_to_every_origin(node: Node, client: Client, path: str) -> None:
    async with listening(node, path, headers={"Origin": FOREIGN}) as listener:
        await client.put(fresh("heard"))
        labels = await listener.labels(1)

    assert labels == ["heard"]


async def test_a_program_that_is_no_browser_names_no_origin(client: Client) -> None:
    assert (await client.put(fresh())).status == 201
