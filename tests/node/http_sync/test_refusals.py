"""What an operator is told about refused records."""

import pytest

from node.http_sync.refusals import counts_in_words, remedy_of
from protocol.errors import Code
from protocol.link.terms import Flow

GIVEN_BY_RECORDS = [
    Code.MALFORMED, Code.TOO_LARGE, Code.UNKNOWN_DOMAIN, Code.BAD_SIGNATURE, Code.TOO_NEW, Code.OVERLOADED,
    Code.STORAGE_FULL,
]  # fmt: skip
FALLBACK = remedy_of(Flow.PUSH, "unheard_of")


@pytest.mark.parametrize("code", GIVEN_BY_RECORDS)
def test_each_refusal_has_a_remedy_for_the_side_that_refuses(code: Code) -> None:
    assert FALLBACK not in (remedy_of(Flow.PULL, code), remedy_of(Flow.PUSH, code))


@pytest.mark.parametrize("code", [Code.TOO_OLD, Code.NOT_OWNER, Code.STALE])
def test_a_peer_that_treats_this_node_as_a_client_should_accept_its_key(code: Code) -> None:
    assert "--accept" in remedy_of(Flow.PUSH, code)


def test_counts_are_said_in_words_the_largest_first() -> None:
    assert counts_in_words({"stale": 1, "too_old": 3, "not_owner": 1}) == "3 too_old, 1 not_owner, 1 stale"
    assert counts_in_words({}) == ""
