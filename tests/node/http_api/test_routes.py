"""The router and the OpenAPI document have the same routes, and any other request is refused with a problem."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from node.fleet import passport
from node.http_api.answers.json_answer import PUBLIC_HEADERS
from node.http_api.answers.problems import STATUSES
from node.node import ROUTES, Node
from node.settings.settings import Settings
from node.world import World
from protocol.errors import Code
from protocol.records.push import PUSH_HEADER
from tests.node.http_api.talking import NOW, Client, as_admin, fresh
from tests.paths import ROOT

# The requests of sections 4 and 6 of the contract, and the files of the explorer.
CONTRACT = {
    ("GET", "/domains"),
    ("GET", "/claims"),
    ("GET", "/claims/{name}"),
    ("GET", "/claims/{domain}/{label}"),
    ("GET", "/claims/{domain}/{label}/history"),
    ("GET", "/history"),
    ("GET", "/claims/{domain}/{label}/proof"),
    ("GET", "/proof"),
    ("GET", "/witnesses"),
    ("GET", "/records/{id}"),
    ("DELETE", "/records/{id}"),
    ("POST", "/removals"),
    ("GET", "/removals"),
    ("GET", "/removals/{number}"),
    ("DELETE", "/dropped"),
    ("GET", "/records"),
    ("PUT", "/claims/{name}"),
    ("PUT", "/claims"),
    ("POST", "/sync/push"),
    ("POST", "/sync/pull"),
    ("GET", "/stream"),
    ("GET", "/events"),
    ("GET", "/gossip"),
    ("GET", "/peers"),
    ("PUT", "/peers"),
    ("DELETE", "/peers"),
    ("GET", "/node"),
    ("GET", "/usage"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
    ("GET", "/explorer/{file}"),
}


QUERIES = {
    "/records": "?id={id}",
    "/history": "?domain=example&label=garden",
    "/proof": "?domain=example&label=garden",
    "/witnesses": "?domain=example",
}
NOT_FOUND = ("/proof", "/claims/{domain}/{label}/proof", "/witnesses", "/removals/{number}")
"""An ordinary domain has no witnesses, so nothing in it is final, and there is no proof. Nothing was removed."""

"""The query of requests that need one."""

READING = [route for route in ROUTES if route.method == "GET" and not route.is_endless]
"""Routes whose answers end. Event streams have tests of their own."""


def test_every_request_of_the_contract_has_a_route() -> None:
    assert {(route.method, route.path) for route in ROUTES} == CONTRACT


async def test_the_document_has_every_route_and_nothing_else(client: Client) -> None:
    document = (await client.get("/openapi.json")).json()

    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}
    assert document["openapi"] == "3.1.0"


async def test_every_parameter_is_in_the_document(client: Client) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    for route in ROUTES:
        described = {(one["in"], one["name"]) for one in paths[route.path][route.method.lower()]["parameters"]}
        in_path = {("path", name) for name in re.findall(r"{(\w+)}", route.path)}
        in_query = {("query", parameter.name) for parameter in route.parameters}
        in_headers = {("header", parameter.name) for parameter in route.headers}
        assert described == in_path | in_query | in_headers


async def test_every_reference_of_the_document_leads_somewhere(client: Client) -> None:
    answer = await client.get("/openapi.json")

    names = set(re.findall(r'"#/components/schemas/(\w+)"', answer.body.decode()))
    schemas = answer.json()["components"]["schemas"]
    assert names <= set(schemas)
    assert set(schemas) - names == {"Line"}


def test_every_variable_of_a_path_is_described() -> None:
    for route in ROUTES:
        assert re.findall(r"{(\w+)}", route.path) == [variable.name for variable in route.variables]


def test_every_code_has_a_status() -> None:
    assert set(STATUSES) == set(Code)


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/claims/", "/claims/a/", "/claims/a/b/c", "/claims/a/b/history/", "//claims", "/%FF", "/peers/x"],
)
async def test_a_path_without_a_route_is_unknown(client: Client, path: str) -> None:
    assert (await client.get(path)).refusal == (404, "unknown_route")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/claims", "GET, HEAD, OPTIONS, PUT"),
        ("DELETE", "/claims/a/b", "GET, HEAD, OPTIONS"),
        ("PUT", "/claims/a/a%2Fb/history", "GET, HEAD, OPTIONS"),
        ("GET", "/sync/push", "OPTIONS, POST"),
        ("PATCH", "/peers", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("TRACE", "/", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_refused_with_the_methods_that_the_path_has(
    client: Client, method: str, path: str, allow: str
) -> None:
    answer = await client.send(method, path)

    assert answer.refusal == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allow


async def test_a_page_of_any_origin_may_read_public_data_only(client: Client) -> None:
    await client.put(fresh())
    paths = [re.sub(r"{\w+}", "x", route.path) for route in READING]
    public = [route.is_public for route in READING]

    answers = [await client.get(path, {"Accept": "application/json"}) for path in paths]

    assert [answer.headers.get("Access-Control-Allow-Origin") for answer in answers] == [
        "*" if is_public else None for is_public in public
    ]
    assert {path for path, is_public in zip(paths, public, strict=True) if not is_public} == {
        "/peers",
        "/removals",
        "/removals/x",
        "/usage",
        "/health",
        "/metrics",
        "/explorer/x",
    }


SAFE = {"Cache-Control", "Content-Language", "Content-Length", "Content-Type", "Expires", "Last-Modified", "Pragma"}
"""Headers that a page of any origin may read without being allowed to (Fetch standard, section 2.2.2)."""


def test_every_header_of_this_project_in_answers_is_one_that_pages_may_read() -> None:
    """Wherever the name of a header stands in the program. A push and a passport of a fleet stand in requests."""
    literals = re.compile(r'"(Dnarc-[A-Z][A-Za-z-]*)"')
    sources = [path for room in ("node", "protocol") for path in (ROOT / room).rglob("*.py")]
    named = {name for path in sources for name in literals.findall(path.read_text(encoding="utf-8"))}

    assert named - {PUSH_HEADER, passport.HEADER} == {
        name for name in exposed(PUBLIC_HEADERS) if name.startswith("Dnarc-")
    }


OF_BROWSERS = {
    "date", "server", "vary", "transfer-encoding", "connection", "access-control-allow-origin",
    "access-control-expose-headers",
}  # fmt: skip
"""Headers that say nothing to a page."""


async def test_a_page_may_read_the_headers_of_public_answers(client: Client, node: Node) -> None:
    record = fresh()
    await client.put(record)
    await client.put(fresh("lake"))
    paths = ("/claims?limit=1", f"/claims/{record.domain}/{record.label}", f"/records?id={record.id}", "/claims/x/y")
    before = [await client.get(path) for path in paths]
    await client.send("DELETE", f"/records/{record.id}", headers=as_admin(node))
    answers = [*before, await client.get(f"/records?id={record.id}")]

    unreadable = {
        name
        for answer in answers
        for name in {each.lower() for each in answer.headers} - OF_BROWSERS
        if name not in {each.lower() for each in SAFE | exposed(answer.headers)}
    }
    assert unreadable == set()
    assert "Dnarc-Erased" in answers[-1].headers


def exposed(headers: Mapping[str, str]) -> set[str]:
    return set(headers["Access-Control-Expose-Headers"].split(", "))


async def test_a_preflight_allows_pages_to_read_and_not_to_write(client: Client) -> None:
    asks = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}

    public = await client.send("OPTIONS", "/claims/a/b", headers=asks)
    private = await client.send("OPTIONS", "/peers", headers=asks)

    assert (public.status, private.status) == (204, 204)
    assert public.headers["Access-Control-Allow-Origin"] == "*"
    assert public.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "If-None-Match" in public.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in private.headers


ORIGIN = "https://app.example"
OTHER_ORIGIN = "https://other.example"


@pytest.fixture
async def open_client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a node on which pages of one origin may write."""
    settings = Settings(port=0, data=tmp_path / "open", write_origins=[ORIGIN])
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        yield client


@pytest.mark.parametrize("path", ["/claims", "/claims/x"])
async def test_a_preflight_lets_pages_of_a_listed_origin_write(open_client: Client, path: str) -> None:
    asks = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type, if-match, prefer"}

    listed_origin = await open_client.send("OPTIONS", path, headers=asks | {"Origin": ORIGIN})
    other_origin = await open_client.send("OPTIONS", path, headers=asks | {"Origin": OTHER_ORIGIN})

    assert listed_origin.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "PUT" in listed_origin.headers["Access-Control-Allow-Methods"]
    assert {"If-Match", "Prefer"} <= set(listed_origin.headers["Access-Control-Allow-Headers"].split(", "))
    assert "Origin" in listed_origin.headers["Vary"]
    assert "PUT" not in other_origin.headers["Access-Control-Allow-Methods"]


async def test_no_origin_may_change_peers(open_client: Client) -> None:
    asks = {"Access-Control-Request-Method": "PUT", "Origin": ORIGIN}

    answer = await open_client.send("OPTIONS", "/peers", headers=asks)

    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "statuses", "allowed"),
    [(ORIGIN, (201, 400), ORIGIN), (OTHER_ORIGIN, (403, 403), None), ("null", (403, 403), None)],
)
async def test_only_a_page_of_a_listed_origin_may_write_and_read_what_became_of_its_claim(
    open_client: Client, origin: str, statuses: tuple[int, int], allowed: str | None
) -> None:
    one = await open_client.put(fresh(), {"Origin": origin})
    bad_batch = await open_client.send("PUT", "/claims", b"[]", {"Origin": origin})

    assert (one.status, bad_batch.status) == statuses
    assert one.headers.get("Access-Control-Allow-Origin") == allowed
    assert bad_batch.headers.get("Access-Control-Allow-Origin") == allowed
    assert one.headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", ["/?utm_source=mail&utm_source=x", "/?%FF", "/explorer/main.js?v=1"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_the_page_ignores_unknown_parameters(client: Client, path: str, accept: str) -> None:
    assert (await client.get(path, {"Accept": accept})).status == 200


async def test_every_get_route_answers_head_with_the_same_headers(client: Client) -> None:
    record = fresh()
    await client.put(record)
    values = {"{name}": "example", "{domain}": "example", "{label}": "garden", "{id}": record.id, "{file}": "main.js"}
    values["{number}"] = "1"
    for route in READING:
        path = re.sub(r"{\w+}", lambda match: values[match[0]], route.path)
        path += QUERIES.get(path, "").format(id=record.id)

        read, asked = await client.get(path), await client.send("HEAD", path)

        status = 404 if route.path in NOT_FOUND else 200
        assert (asked.status, asked.body, read.status) == (status, b"", status)
        assert asked.headers["Content-Type"] == read.headers["Content-Type"]
