"""How far another clock is ahead, as far as one answer can tell."""

import pytest

from node.clocks import WARNED_S, ClockReading, differs, least_ahead_s


@pytest.mark.parametrize(
    ("told_s", "asked_s", "answered_s", "ahead_s"),
    [
        (100, 100.2, 100.9, 0.0),
        (112, 100.2, 100.5, 11.5),
        (88, 100.5, 100.9, -11.5),
        (100, 100.5, 130.0, 0.0),  # the answer took half a minute, so nothing is known
        (129, 100.5, 130.0, 0.0),
        (142, 100.5, 130.0, 12.0),
    ],
)
def test_a_slow_answer_does_not_look_like_a_clock_that_differs(
    told_s: int, asked_s: float, answered_s: float, ahead_s: float
) -> None:
    assert least_ahead_s(told_s, asked_s, answered_s) == pytest.approx(ahead_s)


@pytest.mark.parametrize(
    ("ahead_s", "is_said"), [(None, False), (WARNED_S, False), (WARNED_S + 0.1, True), (-WARNED_S - 0.1, True)]
)
def test_a_difference_counts_beyond_the_limit(ahead_s: float | None, is_said: bool) -> None:
    assert differs(ahead_s) == is_said


def test_a_reading_says_nothing_after_the_own_clock_was_set() -> None:
    reading = ClockReading(ahead_s=12.0, zero_s=1_000.0)

    assert reading.ahead_now_s(zero_s=1_001.0) == 12.0
    assert reading.ahead_now_s(zero_s=1_012.0) is None
