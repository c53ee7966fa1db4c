"""Pauses before a peer is dialled again: longer after each failure, never equal on two nodes."""

from random import Random

from node.links.redialler import CUT_OFF_S, Backoff
from node.peer_state import STEADY_S

FIRST_S = 0.5
LONGEST_S = 60.0
NEVER_OPEN_S = 0.0
NODES = 20
MANY = 5_000
"""Failures, more than the doublings that a float could hold."""


class MiddleRandom(Random):
    """Randomness that always gives the middle of the range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def test_the_pause_doubles_with_each_failure_up_to_the_longest() -> None:
    backoff = Backoff(FIRST_S, LONGEST_S, MiddleRandom())

    assert [backoff.pause_s(NEVER_OPEN_S) for _ in range(9)] == [
        0.5,
        1.0,
        2.0,
        4.0,
        8.0,
        16.0,
        32.0,
        LONGEST_S,
        LONGEST_S,
    ]


def test_a_link_that_lasted_a_while_was_no_failure() -> None:
    backoff = Backoff(FIRST_S, LONGEST_S, MiddleRandom())
    for _ in range(5):
        backoff.pause_s(NEVER_OPEN_S)

    assert [backoff.pause_s(STEADY_S - 0.1), backoff.pause_s(STEADY_S), backoff.pause_s(NEVER_OPEN_S)] == [
        16.0,
        0.5,
        1.0,
    ]


def test_the_pause_after_invalid_records_is_the_longest() -> None:
    backoff = Backoff(FIRST_S, LONGEST_S, MiddleRandom())

    assert backoff.pause_s(2 * STEADY_S, is_cut_off=True) == CUT_OFF_S


def test_the_pauses_of_two_nodes_differ() -> None:
    pauses = [Backoff(1.0, 60.0, Random(seed)).pause_s(NEVER_OPEN_S) for seed in range(NODES)]

    assert len(set(pauses)) == NODES
    assert all(0.5 <= pause <= 1.5 for pause in pauses)


def test_the_pause_does_not_overflow_after_many_failures() -> None:
    backoff = Backoff(FIRST_S, LONGEST_S, MiddleRandom())

    assert [backoff.pause_s(NEVER_OPEN_S) for _ in range(MANY)][-1] == LONGEST_S
