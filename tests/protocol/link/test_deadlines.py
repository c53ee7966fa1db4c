"""How long a peer may leave something undone."""

import pytest

from protocol.errors import Code, ProtocolError
from protocol.link.deadlines import Deadlines, Wait
from protocol.link.terms import LinkLimits

LIMITS = LinkLimits(handshake_s=10, ack_s=20, behind_s=40, answer_s=30)
START_S = 100.0


def is_over(deadlines: Deadlines, now: float) -> bool:
    try:
        deadlines.check(now)
    except ProtocolError as error:
        return error.code is Code.TIMEOUT
    return False


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (Wait.GREETING, 10),
        (Wait.ACK, 20),
        (Wait.ANY_ACK, 40),
        (Wait.ANSWER, 30),
        (Wait.RECONCILE, 30),
        (Wait.LIST, 30),
    ],
)
def test_each_wait_has_its_time(wait: Wait, seconds: float) -> None:
    deadlines = Deadlines(LIMITS)

    deadlines.expect(wait, START_S, is_due=True)

    end_s = START_S + seconds
    assert deadlines.next_at == end_s
    assert (is_over(deadlines, end_s - 0.1), is_over(deadlines, end_s)) == (False, True)


def test_only_progress_starts_a_wait_again() -> None:
    deadlines = Deadlines(LIMITS)
    deadlines.expect(Wait.ACK, START_S, is_due=True)
    later_s = START_S + 15

    deadlines.expect(Wait.ACK, later_s, is_due=True)
    deadlines.renew(Wait.ANSWER, later_s)
    without_progress = deadlines.next_at
    deadlines.renew(Wait.ACK, later_s)

    assert (without_progress, deadlines.next_at) == (START_S + LIMITS.ack_s, later_s + LIMITS.ack_s)


def test_a_wait_that_has_ended_may_begin_again() -> None:
    deadlines = Deadlines(LIMITS)
    deadlines.expect(Wait.ACK, START_S, is_due=True)
    later_s = START_S + 15

    deadlines.expect(Wait.ACK, START_S + 10, is_due=False)
    between = deadlines.next_at
    deadlines.expect(Wait.ACK, later_s, is_due=True)

    assert (between, deadlines.next_at) == (None, later_s + LIMITS.ack_s)


def test_of_several_waits_the_first_that_is_over_counts() -> None:
    deadlines = Deadlines(LIMITS)

    deadlines.expect(Wait.ANSWER, START_S, is_due=True)
    deadlines.expect(Wait.ACK, START_S + 5, is_due=True)

    assert deadlines.next_at == START_S + 5 + LIMITS.ack_s
