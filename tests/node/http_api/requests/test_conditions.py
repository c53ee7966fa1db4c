"""Conditions in every form that RFC 9110, section 13.1, allows."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from node.http_api.requests.conditions import is_unchanged, read_precondition, read_tags
from protocol.errors import Code, ProtocolError
from protocol.records.admission import ANY_HEAD, Precondition
from protocol.records.record import Record
from tests.history import NOWHERE, claim
from tests.node.http_api.talking import NOW, Answer, Client, fresh, listed, shown

TAGS = {
    "one": (['"a"'], {"a"}),
    "two": (['"a", "b"'], {"a", "b"}),
    "two lines": (['"a"', '"b"'], {"a", "b"}),
    "without spaces": (['"a","b"'], {"a", "b"}),
    "with tabs": (['\t"a"\t,\t"b"\t'], {"a", "b"}),
    "empty items": ([', "a",,"b" ,'], {"a", "b"}),
    "commas inside": (['"a,b", "c"'], {"a,b", "c"}),
    "an empty tag": (['""'], {""}),
    "any": (["*"], {ANY_HEAD}),
    "any, with spaces": ([" * "], {ANY_HEAD}),
    "nothing": ([""], set()),
}
WRONG = ["a", '"a', 'a"', '"a" "b"', '"a"x', 'w/"a"', '"a", *', "*, *", "W/a", '"a b"']


@pytest.mark.parametrize(("lines", "tags"), TAGS.values(), ids=TAGS.keys())
def test_a_list_of_tags_is_read_in_every_form(lines: list[str], tags: set[str]) -> None:
    request = make_mocked_request("GET", "/", CIMultiDict(("If-Match", line) for line in lines))

    assert read_tags(request, "If-Match", is_strong=True) == tags


@pytest.mark.parametrize("line", WRONG)
def test_anything_else_is_malformed(line: str) -> None:
    request = make_mocked_request("PUT", "/", CIMultiDict({"If-Match": line}))

    with pytest.raises(ProtocolError) as refused:
        read_precondition(request)

    assert refused.value.code is Code.MALFORMED


def test_a_weak_tag_counts_for_if_none_match_only() -> None:
    lines = {"If-Match": 'W/"a", "b"', "If-None-Match": 'W/"a", "b"'}
    request = make_mocked_request("PUT", "/", CIMultiDict(lines))

    assert read_precondition(request) == Precondition(frozenset({"b"}), frozenset({"a", "b"}))


def test_a_request_without_these_headers_demands_nothing() -> None:
    assert read_precondition(make_mocked_request("PUT", "/")) is None
    assert not is_unchanged(make_mocked_request("GET", "/"), '"a"')


READS = [
    ({"If-None-Match": '"{}"'}, 304),
    ({"If-None-Match": 'W/"{}"'}, 304),
    ({"If-None-Match": '"other", W/"another" , "{}"'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"other"'}, 200),
    ({"If-None-Match": "{}"}, 200),
    ({"If-Match": '"{}"'}, 200),
    ({"If-Match": '"other", "{}"'}, 200),
    ({"If-Match": "*"}, 200),
    ({"If-Match": '"other"'}, 412),
    ({"If-Match": 'W/"{}"'}, 412),
    ({"If-Match": '"{}"', "If-None-Match": '"{}"'}, 304),
    ({"If-Match": '"other"', "If-None-Match": '"{}"'}, 412),
    ({"If-Match": "{}"}, 400),
]


@pytest.mark.parametrize(("headers", "status"), READS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_read_of_a_head_obeys_its_conditions(
    client: Client, method: str, headers: dict[str, str], status: int
) -> None:
    record = fresh()
    await client.put(record)
    spelled = {name: value.format(record.id) for name, value in headers.items()}

    answer = await client.send(method, "/claims/example/garden", headers=spelled)

    assert answer.status == status
    assert answer.headers.get("ETag", f'"{record.id}"') == f'"{record.id}"'


async def write(client: Client, headers: dict[str, str]) -> tuple[Record, Answer]:
    """Update a label under these conditions, in which `{}` stands for the id of its head."""
    head, update = fresh(), claim("garden", at=NOW + 1)
    await client.put(head)
    spelled = {name: value.format(head.id) for name, value in headers.items()}
    return update, await client.put(update, spelled)


WRITES = [
    ({"If-Match": '"{}"'}, 201),
    ({"If-Match": f'"{NOWHERE}", "{{}}"'}, 201),
    ({"If-Match": "*"}, 201),
    ({"If-None-Match": f'"{NOWHERE}"'}, 201),
    ({"If-Match": "*", "If-None-Match": f'W/"{NOWHERE}"'}, 201),
    ({"If-Match": f'"{NOWHERE}"'}, 412),
    ({"If-Match": '"x"'}, 412),
    ({"If-Match": 'W/"{}"'}, 412),
    ({"If-None-Match": "*"}, 412),
    ({"If-None-Match": 'W/"{}"'}, 412),
    ({"If-Match": "*", "If-None-Match": "*"}, 412),
    ({"If-Match": "{}"}, 400),
    ({"If-None-Match": "{}"}, 400),
    ({"If-Match": "x"}, 400),
]


@pytest.mark.parametrize(("headers", "status"), WRITES)
async def test_a_write_obeys_its_conditions(client: Client, headers: dict[str, str], status: int) -> None:
    update, answer = await write(client, headers)

    head = await client.get("/claims/example/garden")

    assert answer.status == status
    assert (listed(head) == shown(update)) == (status == 201)


@pytest.mark.parametrize("path", ["/", "/explorer/main.js"])
async def test_files_of_the_page_obey_conditions(client: Client, path: str) -> None:
    etag = (await client.get(path)).headers["ETag"]

    unchanged = await client.get(path, {"If-None-Match": f'"other", W/{etag}'})
    failed = await client.get(path, {"If-Match": '"other"'})

    assert (unchanged.status, failed.refusal) == (304, (412, "precondition_failed"))
