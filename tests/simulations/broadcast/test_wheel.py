"""Events happen in the order of their times, and at the same time in the order in which they were set."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from simulations.broadcast.wheel import Wheel

END_MS = 20
LONG_MS = 10**12


@given(st.lists(st.integers(1, END_MS)))
def test_events_happen_in_the_order_of_times_and_then_of_being_set(times: list[int]) -> None:
    wheel = Wheel()
    happened: list[tuple[int, int]] = []
    for number, at_ms in enumerate(times):
        wheel.set(at_ms, (lambda one, other: happened.append((one, other)), at_ms, number))

    wheel.run_until(END_MS)

    assert happened == sorted(happened)
    assert (len(happened), wheel.events, wheel.now_ms) == (len(times), len(times), END_MS)


def test_an_event_that_another_event_sets_happens_in_the_same_run_if_its_time_comes() -> None:
    wheel = Wheel()
    happened = []

    def again(gap_ms: int, _: Any) -> None:
        happened.append(wheel.now_ms)
        wheel.set(wheel.now_ms + gap_ms, (again, gap_ms, None))

    wheel.set(4, (again, 4, None))
    wheel.run_until(13)

    assert happened == [4, 8, 12]


def test_an_event_that_is_set_for_the_past_happens_in_the_next_millisecond() -> None:
    wheel = Wheel()
    now_ms, past_ms = 10, 3
    wheel.run_until(now_ms)
    happened = []

    wheel.set(past_ms, (lambda one, other: happened.append(wheel.now_ms), None, None))
    wheel.run_until(now_ms)
    before = list(happened)
    wheel.run_until(now_ms + 1)

    assert (before, happened) == ([], [now_ms + 1])


def test_years_without_events_take_no_time() -> None:
    wheel = Wheel()
    happened = []
    at_ms = Random(1).randrange(LONG_MS)

    wheel.set(at_ms, (lambda one, other: happened.append(wheel.now_ms), None, None))
    wheel.run_until(LONG_MS)

    assert happened == [at_ms]
