"""A receipt of a witness that comes over a link leads to the records that it names."""

from collections.abc import Sequence
from random import Random

import pytest

from node.intake.arrivals import BY_REQUEST, Delivery
from node.links.dissemination import Dissemination
from node.store.recent_records import RecentRecords
from protocol.gossip.plumtree import Plumtree, PlumtreeLimits
from protocol.link.messages import Have, Prune, Want
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import make_policy
from protocol.witness.receipt import receipt_label

WITNESS = SigningKey(bytes([7]) * 32)
DOMAIN = f"com.example.{make_policy([WITNESS.public], 0).name}"
AT_MS = 1_790_000_000_000
LINK, HOPS = 4, 2
FIRST, SEEN, VOTED, COMMITTED = (f"{number:064x}" for number in range(1, 5))


class ListeningLink:
    """A link that notes for what it should look."""

    def __init__(self) -> None:
        self.looked_for: list[Have] = []

    def push(self, records: Sequence[SignedRecord], hops: int) -> None: ...

    def give(self, ids: Sequence[str], hops: int) -> None: ...

    def tell(self, message: Have | Want | Prune) -> None: ...

    def compare_soon(self) -> None: ...

    def look_for(self, have: Have) -> None:
        self.looked_for.append(have)


def receipt(**said: object) -> SignedRecord:
    fields = {"domain": DOMAIN, "label": receipt_label(WITNESS.public), "signedby": WITNESS.public, "at": AT_MS}
    return sign(make(fields | {"timestamp": AT_MS // 1000} | said), WITNESS)


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (Delivery(link=LINK, hops=HOPS), [Have((FIRST, SEEN, VOTED, COMMITTED), HOPS)]),
        (BY_REQUEST, []),
    ],
    ids=["over a link", "from a client"],
)
async def test_the_peer_that_brings_a_receipt_is_asked_for_what_it_names(
    delivery: Delivery, expected: list[Have]
) -> None:
    link = ListeningLink()
    dissemination = Dissemination(Plumtree(PlumtreeLimits(), Random(0)), {LINK: link}, RecentRecords(), ())
    dissemination.on_up(LINK, has_outflow=True, has_inflow=True, is_listed=True)

    dissemination.announce(
        [receipt(first={FIRST: AT_MS}, seen={SEEN: AT_MS}, vote={"1": [VOTED]}, commit={"0": [COMMITTED, FIRST]})],
        delivery,
    )

    assert link.looked_for == expected
    dissemination.close()


async def test_a_malformed_receipt_leads_to_nothing() -> None:
    link = ListeningLink()
    dissemination = Dissemination(Plumtree(PlumtreeLimits(), Random(0)), {LINK: link}, RecentRecords(), ())
    dissemination.on_up(LINK, has_outflow=True, has_inflow=True, is_listed=True)

    dissemination.announce([receipt(first={FIRST: 0})], Delivery(link=LINK, hops=HOPS))

    assert link.looked_for == []
    dissemination.close()
