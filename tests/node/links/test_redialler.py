"""Dialling again: later after each failure, never at the same moment as others, longest after invalid records."""

from random import Random

from node.links.redialler import CUT_OFF_S, STEADY_S, Backoff


class Even(Random):
    """Chance that always draws the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def test_the_pause_doubles_with_each_failure_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 60.0, Even())

    assert [backoff.pause_s(0.0) for _ in range(9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_link_that_stood_for_a_while_was_no_failure() -> None:
    backoff = Backoff(0.5, 60.0, Even())
    for _ in range(5):
        backoff.pause_s(0.0)

    assert [backoff.pause_s(STEADY_S - 0.1), backoff.pause_s(STEADY_S), backoff.pause_s(0.0)] == [16.0, 0.5, 1.0]


def test_a_peer_that_gave_invalid_records_is_left_alone_longest() -> None:
    backoff = Backoff(0.5, 60.0, Even())

    assert backoff.pause_s(1_000.0, is_cut_off=True) == CUT_OFF_S


def test_the_pauses_of_two_nodes_differ() -> None:
    pauses = [Backoff(1.0, 60.0, Random(seed)).pause_s(0.0) for seed in range(20)]

    assert len(set(pauses)) == 20
    assert all(0.5 <= pause <= 1.5 for pause in pauses)


def test_failures_for_ever_are_no_overflow() -> None:
    backoff = Backoff(0.5, 60.0, Even())

    assert [backoff.pause_s(0.0) for _ in range(5_000)][-1] == 60.0
