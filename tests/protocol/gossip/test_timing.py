"""How long a node waits for an announced record: as long as records have been late, within bounds."""

import pytest

from protocol.gossip.timing import ANSWER_S_MIN, FIRST_S, WANT_S_MAX, WANT_S_MIN, Timing


def test_without_any_measurement_a_node_waits_one_second() -> None:
    timing = Timing()

    assert (timing.want_s, timing.answer_s(None)) == (FIRST_S, FIRST_S)


@pytest.mark.parametrize(
    ("round_trip_s", "want_s", "answer_s"), [(0.0002, WANT_S_MIN, ANSWER_S_MIN), (0.2, 1.2, 0.6), (99.0, 10.0, 10.0)]
)
def test_waits_follow_the_round_trip_between_their_bounds(round_trip_s: float, want_s: float, answer_s: float) -> None:
    timing = Timing()

    timing.on_round_trip(round_trip_s)

    assert timing.want_s == pytest.approx(want_s)
    assert timing.answer_s(None) == pytest.approx(answer_s)


def test_the_wait_for_an_answer_follows_the_round_trip_of_its_link() -> None:
    timing = Timing()
    timing.on_round_trip(0.2)

    assert timing.answer_s(1.0) == pytest.approx(3.0)


def test_waits_grow_with_the_lag_of_records() -> None:
    timing, lag_s = Timing(), 2.0
    timing.on_round_trip(0.001)

    for _ in range(20):
        timing.on_lag(lag_s)

    assert lag_s <= timing.want_s < 1.05 * lag_s


def test_waits_shrink_again_when_records_arrive_sooner() -> None:
    timing = Timing()
    timing.on_round_trip(0.001)

    for lag_s in [2.0] * 20 + [0.01] * 60:
        timing.on_lag(lag_s)

    assert timing.want_s < 0.1


def test_even_the_longest_lag_makes_a_node_wait_no_longer_than_the_limit() -> None:
    timing, years_s = Timing(), 10.0**9

    timing.on_lag(years_s)

    assert timing.want_s == WANT_S_MAX
