"""A listing gives each item exactly once and in order: whole or in pages, of heads or of every record."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

from node.http_api.answers.pages import PAGE_RECORDS_MAX
from node.http_api.requests import cursor
from node.http_api.requests.query import LIMIT_MAX
from node.node import Node
from node.settings.settings import Settings
from node.world import World
from protocol.records.record import Record
from tests.history import ALICE, BOB, CAROL, claim, signed
from tests.node.http_api.talking import NOW, Answer, Client, fresh, listed, shown


def heads_of_two_domains() -> list[Record]:
    """Heads in no order. Some of the labels sort differently by UTF-16 than by UTF-8."""
    labels = ["b", "￿", "a", "😀", "A", "é"]
    return [fresh(label, domain=domain) for domain in ("y.example", "example") for label in labels]


def by_name(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.domain, record.label.encode()))


def by_order_key(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.order_key)


async def pages_of(client: Client, path: str) -> list[Answer]:
    """All pages: the `Link` of each page leads to the next."""
    pages = [await client.get(path)]
    while link := pages[-1].headers.get("Link"):
        match = re.fullmatch('<([^>]+)>; rel="next"', link)
        assert match is not None
        pages.append(await client.get(urljoin(path, match[1])))
    return pages


async def test_heads_come_in_order_of_domain_then_label(client: Client) -> None:
    records = heads_of_two_domains()
    await client.put_batch(records)

    everything = await client.get("/claims")
    one_domain = await client.get("/claims/example")

    assert listed(everything) == shown(*by_name(records))
    assert listed(one_domain) == shown(*by_name(records[6:]))
    assert "Link" not in everything.headers


async def test_an_empty_node_lists_nothing(client: Client) -> None:
    assert [(await client.get(path)).body for path in ("/claims", "/claims?history=true")] == [b"{}", b"{}"]
    assert (await client.get("/claims?history=true&ids=true")).body == b"[]"
    assert (await client.get("/claims", {"Accept": "application/x-ndjson"})).body == b""


async def test_history_is_every_record_by_order_key_across_domains(client: Client, node: Node) -> None:
    records = [
        claim(label, by, at=at, domain=domain)
        for domain in ("example", "y.example")
        for label in ("a", "b")
        for by in (ALICE, BOB)
        for at in (1, 2, 3)
    ]
    await client.import_all(node, records)

    everything = await client.get("/claims?history=true")
    one_domain = await client.get("/claims/example?history=true")
    ids = await client.get("/claims/example?history=true&ids=true")

    assert listed(everything) == shown(*by_order_key(records))
    assert listed(one_domain) == shown(*by_order_key(records[:12]))
    assert ids.json() == [[record.timestamp, record.id] for record in by_order_key(records[:12])]


@pytest.mark.parametrize("limit", [1, 4, 5, 11, 12, 13])
@pytest.mark.parametrize("query", ["", "&history=true", "&since=1", "&history=true&since=1"])
async def test_pages_joined_are_the_whole(client: Client, limit: int, query: str) -> None:
    await client.put_batch(heads_of_two_domains())
    whole = listed(await client.get(f"/claims?{query[1:]}"))

    pages = await pages_of(client, f"/claims?limit={limit}{query}")

    assert [item for page in pages for item in listed(page)] == whole
    assert [len(listed(page)) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert len(pages) == -(-12 // limit)


@pytest.mark.parametrize("path", ["/claims?limit=1", "/claims/example?limit=1&history=true"])
async def test_the_link_to_the_next_page_holds_below_any_path(client: Client, path: str) -> None:
    await client.put_batch([fresh("a"), fresh("b")])

    link = (await client.get(path)).headers["Link"][1:].partition(">")[0]

    assert urljoin(f"https://proxy.example/dnarc{path}", link).startswith(f"https://proxy.example/dnarc{path}&after=")


async def test_pages_of_ids_joined_are_the_whole(client: Client) -> None:
    await client.put_batch(heads_of_two_domains())
    whole = (await client.get("/claims?history=true&ids=true")).json()

    pages = await pages_of(client, "/claims?history=true&ids=true&limit=5")

    assert [item for page in pages for item in page.json()] == whole


@pytest.mark.parametrize("query", ["limit=1", "limit=1&history=true"])
async def test_records_that_arrive_between_two_pages_shift_nothing(client: Client, node: Node, query: str) -> None:
    early, late = fresh("b"), claim("d", at=NOW + 1)
    await client.put_batch([early, late])
    first = await client.get(f"/claims?{query}")
    await client.import_all(node, [claim("a", at=1), claim("c", at=NOW + 1)])

    rest = await pages_of(client, urljoin("/claims", first.headers["Link"][1:].partition(">")[0]))

    assert listed(first) == shown(early)
    assert shown(late)[0] in [item for page in rest for item in listed(page)]
    assert shown(early)[0] not in [item for page in rest for item in listed(page)]


@pytest.mark.parametrize("limit", ["", "&limit=1", "&limit=2", "&limit=3"])
async def test_a_prefix_selects_the_labels_that_begin_with_it(client: Client, limit: str) -> None:
    records = [fresh(label) for label in ("a", "ga", "gate", "gate 1", "gb", "g\u0301")]
    await client.put_batch(records)

    pages = await pages_of(client, f"/claims/example?prefix=ga{limit}")

    assert [item for page in pages for item in listed(page)] == shown(*records[1:4])


async def test_pages_go_on_into_the_next_of_the_listed_domains(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path / "data", domains=["y.example", "example", "empty"])
    records = heads_of_two_domains()
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        await client.put_batch(records)

        pages = await pages_of(client, "/claims?limit=4")

    assert [item for page in pages for item in listed(page)] == shown(*by_name(records))


@pytest.mark.parametrize("limit", ["", "&limit=1", "&limit=2", "&limit=3"])
async def test_signedby_selects_the_labels_of_an_owner(client: Client, limit: str) -> None:
    of_alice = [fresh(label, domain=domain) for domain in ("a.example", "example") for label in ("a", "c")]
    of_bob = [fresh("b", by=BOB, domain=domain) for domain in ("a.example", "example")]
    await client.put_batch([*of_alice, *of_bob])

    everywhere = await pages_of(client, f"/claims?signedby={ALICE.public}{limit}")
    in_one_domain = await pages_of(client, f"/claims/example?signedby={ALICE.public}{limit}")
    of_nobody = await client.get(f"/claims?signedby={CAROL.public}{limit}")

    assert [item for page in everywhere for item in listed(page)] == shown(*of_alice)
    assert [item for page in in_one_domain for item in listed(page)] == shown(*of_alice[2:])
    assert listed(of_nobody) == []


async def test_signedby_shows_only_domains_that_the_node_keeps(tmp_path: Path) -> None:
    data, kept, left = tmp_path / "data", fresh(domain="kept"), fresh(domain="left")
    async with Node(Settings(port=0, data=data), World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        await client.put_batch([kept, left])
    settings = Settings(port=0, data=data, domains=["kept"])
    async with Node(settings, World(now_s=lambda: NOW)) as node, Client(node.url) as client:
        answer = await client.get(f"/claims?signedby={ALICE.public}")

    assert listed(answer) == shown(kept)


@pytest.mark.parametrize("rest", ["&history=true", "&prefix=a"])
async def test_signedby_is_for_heads_without_a_prefix(client: Client, rest: str) -> None:
    await client.put(fresh())

    assert (await client.get(f"/claims/example?signedby={ALICE.public}{rest}")).refusal == (400, "malformed")


async def test_since_is_inclusive(client: Client, node: Node) -> None:
    old, middle, new = (claim(label, at=at) for label, at in (("a", 1), ("b", 2), ("c", 3)))
    await client.import_all(node, [old, middle, new])

    heads = await client.get("/claims?since=2")
    history = await client.get("/claims/example?history=true&since=2")
    after_all = await client.get("/claims?history=true&since=9007199254740991")

    assert listed(heads) == listed(history) == shown(middle, new)
    assert listed(after_all) == []


async def test_lines_hold_the_same_records_as_the_dict(client: Client) -> None:
    records = by_name([fresh("a"), fresh("b")])
    await client.put_batch(records)

    answer = await client.get("/claims", {"Accept": "application/json;q=0.5, application/x-ndjson"})
    ids = await client.get("/claims?history=true&ids=true", {"Accept": "application/x-ndjson"})

    assert answer.headers["Content-Type"] == ids.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.body.splitlines()] == [
        {"id": record.id, "signature": signed(record).signature, "record": json.loads(record.canonical)}
        for record in records
    ]
    assert [json.loads(line) for line in ids.body.splitlines()] == [
        [record.timestamp, record.id] for record in by_order_key(records)
    ]


async def test_a_listing_of_many_pages_is_whole(client: Client, node: Node) -> None:
    count = 2 * PAGE_RECORDS_MAX + 1
    records = [claim(f"label-{number:04}", at=1 + number % 7) for number in range(count)]
    await client.import_all(node, records)

    heads = await client.get("/claims")
    history = await client.get("/claims?history=true")
    limited = await client.get(f"/claims?limit={count - 1}")

    assert listed(heads) == shown(*records)
    assert listed(history) == shown(*by_order_key(records))
    assert listed(limited) == shown(*records[:-1])
    assert "Link" in limited.headers


async def test_a_listing_of_large_records_is_whole(client: Client, node: Node) -> None:
    records = [claim(f"label-{number:02}", at=NOW, text="x" * 60_000) for number in range(40)]
    for begin in range(0, 40, 20):
        await client.import_all(node, records[begin : begin + 20])

    assert listed(await client.get("/claims")) == shown(*records)
    assert listed(await client.get("/claims?history=true")) == shown(*by_order_key(records))


MALFORMED = [
    "limit=0",
    f"limit={LIMIT_MAX + 1}",
    "limit=",
    "limit=-1",
    "limit=1.0",
    "limit=%D9%A1",
    "limit=1&limit=1",
    "since=-1",
    "since=9007199254740992",
    "since=x",
    "since=" + "1" * 5_000,
    "history=yes",
    "ids=true",
    "history=false&ids=true",
    "Limit=1",
    "signedby=",
    f"signedby={ALICE.public.upper()}",
    f"signedby={ALICE.public}0",
    "label=a&limit=1",
    "after=",
    "after=x",
    "after=%FF",
    "after=%ED%A0%80",
    f"after={cursor.of_key(bytes(40))}",
    f"history=true&after={cursor.of_label('example', 'a')}",
    f"after={cursor.of_label('', 'a')}",
    "%FF=1",
    "=1",
]


async def test_an_impossible_prefix_and_a_cursor_of_another_domain_are_malformed(client: Client) -> None:
    await client.put(fresh())
    queries = ["prefix=%00", "prefix=" + "x" * 256, "prefix=a&history=true", "prefix=a&prefix=b"]
    queries.append(f"after={cursor.of_label('other', 'a')}")

    answers = [await client.get(f"/claims/example?{query}") for query in queries]

    assert [answer.refusal for answer in answers] == [(400, "malformed")] * len(queries)
    assert (await client.get("/claims?prefix=a")).refusal == (400, "malformed"), "a prefix needs a domain"
    assert (await client.get("/claims?label=a")).refusal == (400, "malformed"), "a label needs a domain"


@pytest.mark.parametrize("query", MALFORMED)
@pytest.mark.parametrize("path", ["/claims", "/claims/example"])
async def test_a_parameter_that_cannot_be_read_is_malformed(client: Client, path: str, query: str) -> None:
    await client.put(fresh())

    assert (await client.get(f"{path}?{query}")).refusal == (400, "malformed")


async def test_the_largest_limit_is_allowed(client: Client) -> None:
    assert (await client.get(f"/claims?limit={LIMIT_MAX}")).status == 200


async def test_a_head_request_has_the_headers_and_no_body(client: Client) -> None:
    await client.put_batch([fresh("a"), fresh("b")])

    answer = await client.send("HEAD", "/claims?limit=1")

    assert (answer.status, answer.body) == (200, b"")
    assert "Link" in answer.headers
