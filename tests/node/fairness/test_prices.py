"""What strangers begin has a price, and nobody else pays it."""

import pytest

from node.fairness.crowd import Crowd
from node.fairness.places import Source
from node.fairness.prices import BURST_S, SHARE_MAX, Price

STRANGER, OTHER = Source("192.0.2.1"), Source("192.0.2.2")
LISTED = Source("192.0.2.3", is_stranger=False)
GATEWAY = Source("192.0.2.4", has_share=False)


async def test_a_stranger_past_its_share_begins_nothing_more_and_another_stranger_does() -> None:
    crowd = Crowd(None, BURST_S)
    price = Price(SHARE_MAX * BURST_S + 0.01, crowd)

    begun = [price.charge(source) for source in (STRANGER, STRANGER, OTHER)]

    assert begun == [True, False, True]
    assert crowd.counts.refused == 1


@pytest.mark.parametrize("source", [LISTED, GATEWAY])
async def test_a_listed_peer_and_a_proxy_of_the_operator_pay_nothing(source: Source) -> None:
    price = Price(1_000.0)

    assert [price.charge(source) for _ in range(3)] == [True] * 3
