"""How long a peer may leave something undone."""

import pytest

from protocol.errors import Code, ProtocolError
from protocol.link.deadlines import Deadlines, Wait
from protocol.link.terms import LinkLimits

LIMITS = LinkLimits(handshake_s=10, ack_s=20, behind_s=40, answer_s=30)


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

    deadlines.expect(wait, 100, is_due=True)

    assert deadlines.next_at == 100 + seconds
    assert (is_over(deadlines, 99.9 + seconds), is_over(deadlines, 100 + seconds)) == (False, True)


def test_progress_renews_a_wait_and_nothing_else_does() -> None:
    deadlines = Deadlines(LIMITS)
    deadlines.expect(Wait.ACK, 0, is_due=True)

    deadlines.expect(Wait.ACK, 15, is_due=True)
    deadlines.renew(Wait.ANSWER, 15)
    unmoved = deadlines.next_at
    deadlines.renew(Wait.ACK, 15)

    assert (unmoved, deadlines.next_at) == (20, 35)


def test_a_wait_that_is_over_begins_anew() -> None:
    deadlines = Deadlines(LIMITS)
    deadlines.expect(Wait.ACK, 0, is_due=True)

    deadlines.expect(Wait.ACK, 10, is_due=False)
    between = deadlines.next_at
    deadlines.expect(Wait.ACK, 15, is_due=True)

    assert (between, deadlines.next_at) == (None, 35)


def test_the_first_of_several_counts() -> None:
    deadlines = Deadlines(LIMITS)

    deadlines.expect(Wait.ANSWER, 0, is_due=True)
    deadlines.expect(Wait.ACK, 5, is_due=True)

    assert deadlines.next_at == 25
