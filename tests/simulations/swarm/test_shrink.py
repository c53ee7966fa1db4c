"""Shrinking keeps what makes a run fail, and hardly anything else."""

from collections.abc import Iterator

from simulations.swarm.draw import draw
from simulations.swarm.plan import Action, Plan
from simulations.swarm.shrink import TRIES_MAX, Shrinker


def plans() -> Iterator[Plan]:
    """Drawn when they are needed: every worker collects this module, and 100 plans take 0.3 s."""
    return map(draw, range(100))


def test_of_a_run_that_fails_by_one_act_only_the_act_is_left() -> None:
    plan = next(it for it in plans() if it.faults and has(it, Action.USURP))

    small = Shrinker(lambda it: has(it, Action.USURP)).smallest(plan)

    assert [act.action for act in small.acts] == [Action.USURP]
    assert (small.faults, small.ties) == ([], [])
    assert len(small.nodes) <= 2


def test_a_run_that_fails_by_a_fault_and_an_act_together_keeps_both() -> None:
    fault_at, act_at = 3, 40
    plan = next(it for it in plans() if len(it.faults) > fault_at + 1 and len(it.acts) > act_at + 10)
    fault, act = plan.faults[fault_at], plan.acts[act_at]

    small = Shrinker(lambda it: fault in it.faults and act in it.acts).smallest(plan)

    assert small.faults == [fault]
    assert small.acts == [act]


def test_a_run_that_needs_all_its_parts_stays_the_same_and_the_tries_have_a_limit() -> None:
    plan = draw(3)
    shrinker = Shrinker(lambda it: it == plan)

    assert shrinker.smallest(plan) == plan
    assert shrinker.tries <= TRIES_MAX


def has(plan: Plan, action: Action) -> bool:
    return any(act.action is action for act in plan.acts)
