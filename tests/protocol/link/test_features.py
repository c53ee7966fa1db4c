"""A witnessed domain is not exchanged with a node that does not know of witnesses."""

import pytest

from protocol.link.comparison import Comparison
from protocol.link.features import FEATURES, WITNESS, SharedHoldings, is_shared
from protocol.link.listing import Listing
from protocol.link.messages import Domains, Summary
from protocol.link.terms import LinkLimits
from protocol.sets.erased import ErasedKeys
from protocol.sets.index import Index, pack_key
from protocol.witness.policy import make_policy
from tests.history import ALICE

WITNESSED = f"com.example.{make_policy([ALICE.public], 0).name}"
ORDINARY = "com.example"
OLD: tuple[str, ...] = ()
HELD = Summary(1, "0" * 32, 1)


class Holdings:
    """One record in each of the two domains."""

    def domains(self) -> list[str]:
        return [ORDINARY, WITNESSED]

    def get(self, domain: str) -> Index | None:
        return Index([pack_key(1, bytes(32))]) if domain in self.domains() else None


@pytest.mark.parametrize(
    ("domain", "features", "expected"),
    [
        (ORDINARY, OLD, True),
        (ORDINARY, FEATURES, True),
        (WITNESSED, OLD, False),
        (WITNESSED, FEATURES, True),
        (WITNESSED, ("later", WITNESS), True),
    ],
)
def test_only_nodes_that_know_of_witnesses_share_witnessed_domains(
    domain: str, features: tuple[str, ...], expected: bool
) -> None:
    assert is_shared(domain, features) is expected


def test_an_old_node_is_not_told_of_a_witnessed_domain() -> None:
    holdings = SharedHoldings(Holdings(), OLD)

    assert (holdings.domains(), holdings.get(WITNESSED)) == ([ORDINARY], None)


def test_what_an_old_node_holds_of_a_witnessed_domain_does_not_count() -> None:
    """It holds claims under the name, and none of the receipts: the two would differ for ever."""
    comparison = Comparison(Listing(Holdings()).shared_with(OLD), LinkLimits(), OLD, ErasedKeys())

    comparison.on_page(Domains({ORDINARY: HELD, WITNESSED: HELD}))

    assert comparison.domains() == [ORDINARY]


def test_a_page_of_witnessed_domains_alone_is_no_fault_of_an_old_node() -> None:
    comparison = Comparison(Listing(Holdings()).shared_with(OLD), LinkLimits(), OLD, ErasedKeys())

    assert comparison.on_page(Domains({WITNESSED: HELD}, more=True)) is False


def test_what_an_older_node_shares_follows_what_is_held() -> None:
    """The names of the last call are kept, because it takes 5 ms to look at 10,000 of them."""

    class Changing:
        names = ("com.a", "com.c", WITNESSED)

        def domains(self) -> list[str]:
            return sorted(self.names)

        def get(self, domain: str) -> Index | None:
            return None

    holdings = Changing()
    shared = SharedHoldings(holdings, OLD)
    first, again = shared.domains(), shared.domains()
    holdings.names = ("com.a", "com.b", WITNESSED)

    assert (first, again, shared.domains()) == (["com.a", "com.c"], ["com.a", "com.c"], ["com.a", "com.b"])


def test_the_domains_of_both_sides_are_sorted() -> None:
    comparison = Comparison(Listing(Holdings()), LinkLimits(), FEATURES, ErasedKeys())

    before = comparison.domains()
    comparison.on_page(Domains({"com.d": HELD, "com.a": HELD, ORDINARY: HELD}))

    assert before == [ORDINARY, WITNESSED]
    assert comparison.domains() == sorted(["com.a", "com.d", ORDINARY, WITNESSED])
