"""Events happen in order of their times, and of being set where those are equal."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from simulations.broadcast.wheel import Wheel


@given(st.lists(st.integers(1, 20)))
def test_events_happen_in_order_of_time_and_then_of_being_set(times: list[int]) -> None:
    wheel = Wheel()
    happened: list[tuple[int, int]] = []
    for number, at_ms in enumerate(times):
        wheel.set(at_ms, (lambda one, other: happened.append((one, other)), at_ms, number))

    wheel.run_until(20)

    assert happened == sorted(happened)
    assert (len(happened), wheel.events, wheel.now_ms) == (len(times), len(times), 20)


def test_what_follows_from_an_event_happens_in_the_same_run_if_its_time_comes() -> None:
    wheel = Wheel()
    happened = []

    def again(gap_ms: int, _: Any) -> None:
        happened.append(wheel.now_ms)
        wheel.set(wheel.now_ms + gap_ms, (again, gap_ms, None))

    wheel.set(4, (again, 4, None))
    wheel.run_until(13)

    assert happened == [4, 8, 12]


def test_what_is_set_for_the_past_happens_in_the_next_millisecond() -> None:
    wheel = Wheel()
    wheel.run_until(10)
    happened = []

    wheel.set(3, (lambda one, other: happened.append(wheel.now_ms), None, None))
    wheel.run_until(10)
    before = list(happened)
    wheel.run_until(11)

    assert (before, happened) == ([], [11])


def test_a_million_milliseconds_without_events_take_no_time() -> None:
    wheel = Wheel()
    happened = []
    at_ms = Random(1).randrange(10**12)

    wheel.set(at_ms, (lambda one, other: happened.append(wheel.now_ms), None, None))
    wheel.run_until(10**12)

    assert happened == [at_ms]
