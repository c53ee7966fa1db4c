"""Plans drawn from seeds: a seed always gives the same plan, a plan can be written as JSON, and can lose a machine."""

import msgspec

from simulations.swarm.draw import draw
from simulations.swarm.plan import Action, FaultKind, Plan

PLANS = 300
"""Plans in which every kind of fault and act is drawn at least once."""


def test_a_plan_is_the_same_after_json() -> None:
    plan = draw(7)

    assert msgspec.json.decode(plan.as_json(), type=Plan) == plan


def test_a_seed_always_draws_the_same_plan_and_another_seed_draws_another() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_a_plan_without_a_machine_names_it_nowhere() -> None:
    plan = draw(3).without("n1")

    assert "n1" not in [node.name for node in plan.nodes]
    assert "n1" not in [name for tie in plan.ties for name in (tie.dialler, tie.acceptor)]
    assert "n1" not in [name for fault in plan.faults for name in fault.machines]
    assert "n1" not in [name for act in plan.acts for name in (act.machine, act.other)]


def test_plans_draw_every_kind_of_fault_and_act() -> None:
    """A fault that is never drawn is never tested."""
    plans = [draw(seed) for seed in range(PLANS)]

    kinds = {fault.kind for plan in plans for fault in plan.faults}
    actions = {act.action for plan in plans for act in plan.acts}

    assert kinds == set(FaultKind)
    assert actions == set(Action)
    assert {len(plan.nodes) for plan in plans} >= set(range(5, 20))
    rules = {
        rule for plan in plans for node in plan.nodes for rule in node.settings.get("write", {}).get("for_all", ())
    }
    assert rules == {"banned_keys", "banned_labels", "writers", "founders", "labels_per_founder_max"}
    assert {plan.nodes[0].settings["records_per_second_max"] for plan in plans} == {1_000.0, 5.0}
