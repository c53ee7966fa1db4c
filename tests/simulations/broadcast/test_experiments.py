"""The papers' experiments on a few hundred nodes: what must hold there holds at ten thousand, and a seed says all."""

import pytest

from simulations.broadcast.experiments import HEALED, Broadcast, Experiment, ExperimentResult, Failure, run_experiments
from simulations.broadcast.published import FLOOD, MANY_SENDERS, ONE_SENDER, OPTIMISED

PLAN = Experiment(nodes=300, seed=3, cycles=5, failures=(0.3, 0.6), drip_cycles=3)
TINY = Experiment(nodes=40, seed=5, cycles=2, failures=(0.5,), drip_cycles=1)


def broadcast(reliability: float) -> Broadcast:
    return Broadcast(reliability, redundancy=0.0, last_hop=5, payload=1, control=1, seconds=1.0)


@pytest.fixture(scope="module")
def report() -> ExperimentResult:
    return run_experiments(PLAN)


@pytest.mark.parametrize("mode", [FLOOD, ONE_SENDER, MANY_SENDERS, OPTIMISED])
def test_while_nobody_fails_every_record_reaches_all(report: ExperimentResult, mode: str) -> None:
    assert {each.reliability for each in report.stable[mode]} == {1.0}


@pytest.mark.parametrize("mode", [ONE_SENDER, MANY_SENDERS, OPTIMISED])
def test_from_the_second_record_on_next_to_nothing_is_sent_twice(report: ExperimentResult, mode: str) -> None:
    first, *others = report.stable[mode]

    assert first.redundancy > 2
    assert len(others) == PLAN.cycles
    assert max(each.redundancy for each in others) < 0.05


def test_the_first_record_after_most_nodes_failed_reaches_the_others(report: ExperimentResult) -> None:
    assert [failure.share for failure in report.failures] == [0.3, 0.6]
    assert all(failure.broadcasts[0].reliability >= 0.99 for failure in report.failures)
    assert all(failure.broadcasts[0].reliability <= failure.within_reach <= 1 for failure in report.failures)
    assert all(failure.cycles_to_heal in (0, 1) for failure in report.failures)


def test_where_a_few_nodes_fail_all_the_time_records_reach_the_others(report: ExperimentResult) -> None:
    assert len(report.drip) == PLAN.drip_cycles
    assert all(each.reliability >= HEALED for each in report.drip)


def test_the_same_plan_gives_the_same_report_and_another_seed_another() -> None:
    first = run_experiments(TINY)
    ballast = [object() for _ in range(1_000)]
    again = run_experiments(TINY)
    del ballast
    other = run_experiments(Experiment(nodes=40, seed=6, cycles=2, failures=(0.5,), drip_cycles=1))

    assert first == again
    assert first.stable != other.stable


def test_progress_ends_where_it_was_said_to() -> None:
    steps: list[int] = []

    run_experiments(TINY, steps.append)

    assert sum(steps) == TINY.work


@pytest.mark.parametrize(("reliabilities", "cycles"), [((1.0, 0.5), 0), ((0.5, 0.9, HEALED), 2), ((0.5, 0.99), None)])
def test_a_network_is_healed_when_a_record_reaches_nearly_all(
    reliabilities: tuple[float, ...], cycles: int | None
) -> None:
    assert Failure(0.5, 1.0, tuple(map(broadcast, reliabilities))).cycles_to_heal == cycles
