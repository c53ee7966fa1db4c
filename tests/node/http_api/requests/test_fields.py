"""A header that is a list has a bound on its items, because to read each of them takes time."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from node.http_api.handlers.write import read_wait_s
from node.http_api.requests.fields import ITEMS_MAX, read_list
from node.http_api.requests.refused import RefusedError
from tests.history import signed
from tests.node.http_api.talking import Client, fresh


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_list_has_so_many_items_and_parameters_in_all_its_lines(separator: str) -> None:
    half, rest = separator.join(["a"] * (ITEMS_MAX // 2)), separator.join(["a"] * (ITEMS_MAX // 2 + 1))
    fitting = make_mocked_request("GET", "/", CIMultiDict([("Accept", half), ("Accept", half)]))
    past = make_mocked_request("GET", "/", CIMultiDict([("Accept", half), ("Accept", rest)]))

    assert read_list(fitting, "Accept") == f"{half},{half}"
    with pytest.raises(RefusedError) as refused:
        read_list(past, "Accept")
    assert (refused.value.status, refused.value.code) == (431, "too_large")


def test_a_preference_in_a_list_that_is_too_long_is_ignored() -> None:
    """RFC 7240, section 2: a server may ignore any preference."""
    wait = make_mocked_request("PUT", "/", CIMultiDict([("Prefer", "a, wait=7")]))
    many = make_mocked_request("PUT", "/", CIMultiDict([("Prefer", "a," * ITEMS_MAX), ("Prefer", "wait=7")]))

    assert (read_wait_s(wait), read_wait_s(many)) == (7.0, None)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match", "Expect", "Content-Encoding"])
async def test_a_claim_with_a_list_that_is_too_long_is_refused(client: Client, header: str) -> None:
    one = signed(fresh())

    answer = await client.send("PUT", f"/claims/{one.signature}", one.record.canonical, {header: "," * ITEMS_MAX})

    assert answer.refusal == (431, "too_large")


async def test_a_read_with_an_accept_that_is_too_long_is_refused(client: Client) -> None:
    answers = [await client.get(path, {"Accept": "," * ITEMS_MAX}) for path in ("/claims", "/")]

    assert [answer.refusal for answer in answers] == [(431, "too_large")] * 2
