"""Witnessed domains drawn from seeds: every kind is drawn."""

import msgspec

from simulations.cast.liar import LieKind
from simulations.cast.tie import Tie
from simulations.swarm.draw import draw
from simulations.swarm.draw_council import connected, has_council, witnessed_seeds
from simulations.swarm.plan import CouncilAction, FaultKind, Plan


def test_seeds_that_are_named_elsewhere_stay_without_a_witnessed_domain() -> None:
    assert not any(map(has_council, [*range(20), 178036647]))


def test_plans_draw_every_shape_lie_act_and_loss() -> None:
    plans = [draw(seed) for seed in witnessed_seeds(0, 150)]
    councils = [plan.council for plan in plans if plan.council is not None]

    assert {(len(it.seats) + len(it.liars), it.faulty) for it in councils} == {(1, 0), (3, 0), (4, 1), (7, 2)}
    assert {lie for it in councils for lie in it.liars} == set(LieKind)
    assert {act.action for it in councils for act in it.acts} == set(CouncilAction)
    assert FaultKind.FORGOTTEN in {fault.kind for plan in plans for fault in plan.faults}
    assert all(len(it.liars) <= it.faulty for it in councils)


def test_a_plan_with_a_witnessed_domain_comes_back_from_json_as_it_was() -> None:
    plan = draw(22)

    assert msgspec.json.decode(plan.as_json(), type=Plan) == plan


def test_a_plan_without_a_machine_has_no_act_there() -> None:
    council = draw(22).without("n1").council

    assert council is not None
    assert "n1" not in [name for act in council.acts for name in (act.machine, act.other)]


def test_records_flow_from_every_machine_to_every_other_where_witnesses_decide() -> None:
    ties = [Tie("b", "a", pull=False), Tie("c", "b", pull=False)]

    assert connected(ties, ["a", "b", "c"]) == [Tie("b", "a"), Tie("c", "b")]
    assert connected([Tie("b", "a")], ["a", "b"]) == [Tie("b", "a")]
