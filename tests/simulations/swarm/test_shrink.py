"""Shrinking keeps what a run fails by, and hardly anything else."""

from simulations.swarm.draw import draw
from simulations.swarm.plan import Action, Plan
from simulations.swarm.shrink import TRIES_MAX, Shrinker


def test_a_run_that_fails_by_one_act_is_left_with_that_act_on_one_machine() -> None:
    plan = next(it for it in map(draw, range(100)) if it.faults and has(it, Action.USURP))

    small = Shrinker(lambda it: has(it, Action.USURP)).smallest(plan)

    assert [act.action for act in small.acts] == [Action.USURP]
    assert (small.faults, small.ties) == ([], [])
    assert len(small.nodes) <= 2


def test_a_run_that_fails_by_two_things_together_keeps_both() -> None:
    plan = next(it for it in map(draw, range(100)) if len(it.faults) > 4 and len(it.acts) > 50)
    fault, act = plan.faults[3], plan.acts[40]

    small = Shrinker(lambda it: fault in it.faults and act in it.acts).smallest(plan)

    assert small.faults == [fault]
    assert small.acts == [act]


def test_a_run_that_needs_all_it_has_stays_and_the_tries_are_bounded() -> None:
    plan = draw(3)
    shrinker = Shrinker(lambda it: it == plan)

    assert shrinker.smallest(plan) == plan
    assert shrinker.tries <= TRIES_MAX


def has(plan: Plan, action: Action) -> bool:
    return any(act.action is action for act in plan.acts)
