"""Which form a client wants, by its `Accept`."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from node.http_api.requests.accept import JSON_TYPE, LINES_TYPE, read_weights, wants_lines, weight_of

WANTED = [
    ([LINES_TYPE], True),
    (["Application/X-NDJSON; charset=utf-8"], True),
    ([f"{LINES_TYPE}, */*"], True),
    ([f"{LINES_TYPE}, {JSON_TYPE}"], True),
    ([f"{JSON_TYPE};q=0.5, {LINES_TYPE}"], True),
    ([JSON_TYPE, LINES_TYPE], True),
    ([f"{LINES_TYPE};q=0.5, {JSON_TYPE}"], False),
    ([f"{LINES_TYPE};q=0.5, */*"], False),
    ([f"{LINES_TYPE};q=0"], False),
    ([f"{LINES_TYPE};q=x"], False),
    ([JSON_TYPE], False),
    (["*/*"], False),
    (["application/x-ndjson-other"], False),
    ([], False),
]


@pytest.mark.parametrize(("lines", "is_wanted"), WANTED)
def test_lines_are_for_clients_that_name_them_and_do_not_prefer_json(lines: list[str], is_wanted: bool) -> None:
    request = make_mocked_request("GET", "/", CIMultiDict(("Accept", line) for line in lines))

    assert wants_lines(request) is is_wanted


WEIGHTS = {
    "*/*;q=0.1, text/*;q=0.2, text/html;q=0.3": 0.3,
    "*/*;q=0.1, text/*;q=0.2": 0.2,
    "*/*;q=0.1": 0.1,
    "text/html; level=1 ; Q=0.25": 0.25,
    "text/html;q=1.000": 1.0,
    "text/html;q=1.001": 0.0,
    "text/html;q=nan": 0.0,
    "application/json": 0.0,
    "": 0.0,
}


@pytest.mark.parametrize(("field", "weight"), WEIGHTS.items())
def test_the_most_specific_range_gives_the_weight(field: str, weight: float) -> None:
    assert weight_of(read_weights(field), "text/html") == weight
