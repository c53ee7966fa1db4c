"""Every order of a few steps: no two records of a slot are decided, and a rule that is too weak shows."""

import pytest

from protocol.witness.policy import Policy
from tests.protocol.witness.council import council_policy
from tests.protocol.witness.orders import Case, explore


@pytest.mark.parametrize(("case", "steps"), [(Case(4, 1), 3), (Case(4, 1, has_liar=True), 3)], ids=str)
def test_in_no_order_two_records_are_decided(case: Case, steps: int) -> None:
    assert explore(case, steps).most_decided <= 1


def test_many_orders_of_three_witnesses_come_to_a_decision_and_none_to_two() -> None:
    """Otherwise an exploration in which nothing ever happens would prove something."""
    found = explore(Case(3, 0), steps=6)

    assert found.most_decided <= 1
    assert found.decided > found.states / 3


class _HalfQuorum(Policy, frozen=True):
    """Two sets of this size need not share anybody."""

    @property
    def quorum(self) -> int:
        return len(self.witnesses) // 2


def test_a_quorum_that_is_too_small_is_found() -> None:
    case, policy = Case(4, 1, has_liar=True), council_policy(witnesses=4, faulty=1)

    assert explore(case, 2, _HalfQuorum(policy.faulty, policy.witnesses)).most_decided == 2
