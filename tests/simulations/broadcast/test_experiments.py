"""The papers' experiments on a few hundred nodes, which show the same as 10,000 nodes, and depend on the seed only."""

import msgspec
import pytest

from simulations.broadcast.experiments import (
    HEALED,
    Broadcast,
    Experiment,
    ExperimentResult,
    FailureResult,
    run_experiments,
)
from simulations.broadcast.published import FLOOD, MANY_SENDERS, ONE_SENDER, OPTIMISED

PLAN = Experiment(nodes=300, seed=3, cycles=5, failures=(0.3, 0.6), drip_cycles=3)
TINY = Experiment(nodes=40, seed=5, cycles=2, failures=(0.5,), drip_cycles=1)

FLOOD_REDUNDANCY_MIN = 2.0
TREE_REDUNDANCY_MAX = 0.05
"""Of one broadcast: links that have just changed may carry a few records twice."""

FIRST_REACH_MIN = 0.99


def broadcast(reliability: float) -> Broadcast:
    return Broadcast(reliability, redundancy=0.0, last_hop=5, payload=1, control=1, seconds=1.0)


@pytest.fixture(scope="module")
def result() -> ExperimentResult:
    return run_experiments(PLAN)


@pytest.mark.parametrize("mode", [FLOOD, ONE_SENDER, MANY_SENDERS, OPTIMISED])
def test_while_no_node_fails_every_record_reaches_all_nodes(result: ExperimentResult, mode: str) -> None:
    assert {each.reliability for each in result.stable[mode]} == {1.0}


@pytest.mark.parametrize("mode", [ONE_SENDER, MANY_SENDERS, OPTIMISED])
def test_from_the_second_record_on_hardly_any_record_is_sent_twice(result: ExperimentResult, mode: str) -> None:
    first, *others = result.stable[mode]

    assert first.redundancy > FLOOD_REDUNDANCY_MIN
    assert len(others) == PLAN.cycles
    assert max(each.redundancy for each in others) < TREE_REDUNDANCY_MAX


def test_the_first_record_after_most_nodes_failed_reaches_the_living_nodes(result: ExperimentResult) -> None:
    assert tuple(failure.share for failure in result.failures) == PLAN.failures
    assert all(failure.broadcasts[0].reliability >= FIRST_REACH_MIN for failure in result.failures)
    assert all(failure.broadcasts[0].reliability <= failure.within_reach <= 1 for failure in result.failures)
    assert all(failure.cycles_to_heal in (0, 1) for failure in result.failures)


def test_if_a_few_nodes_fail_in_each_cycle_records_reach_the_living_nodes(result: ExperimentResult) -> None:
    assert len(result.drip) == PLAN.drip_cycles
    assert all(each.reliability >= HEALED for each in result.drip)


def test_the_same_plan_gives_the_same_result_and_another_seed_gives_another() -> None:
    first = run_experiments(TINY)
    ballast = [object() for _ in range(1_000)]  # so that objects have other addresses in the second run
    again = run_experiments(TINY)
    del ballast
    other = run_experiments(msgspec.structs.replace(TINY, seed=TINY.seed + 1))

    assert first == again
    assert first.stable != other.stable


def test_progress_adds_up_to_the_work_of_the_plan() -> None:
    steps: list[int] = []

    run_experiments(TINY, steps.append)

    assert sum(steps) == TINY.work


@pytest.mark.parametrize(("reliabilities", "cycles"), [((1.0, 0.5), 0), ((0.5, 0.9, HEALED), 2), ((0.5, 0.99), None)])
def test_a_network_has_healed_when_a_record_reaches_nearly_all_nodes(
    reliabilities: tuple[float, ...], cycles: int | None
) -> None:
    failure = FailureResult(share=0.5, within_reach=1.0, broadcasts=tuple(map(broadcast, reliabilities)))

    assert failure.cycles_to_heal == cycles
