"""The comparison has one row for each measure, with the published figure and those of all seeds."""

from simulations.broadcast.comparison import Row, comparison_rows
from simulations.broadcast.experiments import FAILURE_CYCLES, Broadcast, Experiment, ExperimentResult, FailureResult
from simulations.broadcast.published import FLOOD, MANY_SENDERS, ONE_SENDER, OPTIMISED

MOST = 0.6
NEARLY_ALL = 0.95
"""Shares of nodes that fail at once. The paper has a figure for the first one only."""


def broadcast(reliability: float = 1.0, redundancy: float = 0.0) -> Broadcast:
    return Broadcast(reliability, redundancy, last_hop=9, payload=9_999, control=30_000, seconds=0.5)


def result_of_seed(redundancy: float, reliability: float) -> ExperimentResult:
    flooded = broadcast(redundancy=3.0)
    modes = (ONE_SENDER, MANY_SENDERS, OPTIMISED)
    return ExperimentResult(
        plan=Experiment(),
        stable={FLOOD: (flooded,)} | {mode: (flooded, broadcast(redundancy=redundancy)) for mode in modes},
        failures=(
            FailureResult(MOST, within_reach=1.0, broadcasts=(broadcast(reliability), broadcast(reliability))),
            FailureResult(NEARLY_ALL, within_reach=0.625, broadcasts=(broadcast(0.5),)),
        ),
        drip=(broadcast(reliability),),
        events=1,
    )


def test_each_row_has_the_published_figure_and_the_lowest_median_and_highest_of_all_seeds() -> None:
    results = [
        result_of_seed(redundancy=0.0, reliability=1.0),
        result_of_seed(redundancy=0.01, reliability=0.998),
    ]

    compared = {(row.measure, row.where): row for row in comparison_rows(results)}

    for expected in (
        Row("redundancy (RMR)", FLOOD, "3.000", "3.000", "3.000", "3.000"),
        Row("redundancy (RMR)", ONE_SENDER, "0.000", "0.000", "0.005", "0.010"),
        Row("last delivery hop", MANY_SENDERS, "50 to 75", "9", "9", "9"),
        Row("payload messages", OPTIMISED, "9,999", "9,999", "9,999", "9,999"),
        Row("control messages", OPTIMISED, "38,976", "30,000", "30,000", "30,000"),
        Row("first message reaches", "60 % fail at once", "56 % to 84 %", "99.8 %", "99.9 %", "100 %"),
        Row("cycles to heal", "60 % fail at once", "1", "0", "3", f"{FAILURE_CYCLES} or more"),
        Row("first message reaches", "95 % fail at once", "–", "50 %", "50 %", "50 %"),
        Row("at most could be reached", "95 % fail at once", "–", "62.5 %", "62.5 %", "62.5 %"),
        Row("messages reach", "0.5 % fail in each cycle", "100 %", "99.8 %", "99.9 %", "100 %"),
    ):
        assert compared[expected.measure, expected.where] == expected
