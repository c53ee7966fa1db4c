"""Requests are repeated while that can help, up to their limits and no further."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.client.answers import Answer
from node.client.conversation import WAIT_S_MAX, WAIT_S_MIN, Backoff, Pause, Request, Retry, ask_again
from node.client.errors import Unreachable

REQUEST = Request("GET", "/node")

Reply = Answer | Unreachable


def answer(status: int, retry_after: int | None = None) -> Answer:
    return Answer(status, {} if retry_after is None else {"retry-after": str(retry_after)}, b"")


def away(*, is_passing: bool = True) -> Unreachable:
    return Unreachable("away", is_passing=is_passing)


def ask(replies: list[Reply], retry: Retry) -> tuple[Reply, int, list[Pause]]:
    """The end of a conversation with these replies in turn, the number of requests, and the pauses."""
    conversation, pauses, asked = ask_again(REQUEST, retry), list[Pause](), 0
    told: Reply | None = None
    while True:
        try:
            step = conversation.throw(told) if isinstance(told, Unreachable) else conversation.send(told)
        except StopIteration as end:
            return end.value, asked, pauses
        except Unreachable as error:
            return error, asked, pauses
        if isinstance(step, Pause):
            pauses.append(step)
            told = None
        else:
            told = replies[asked]
            asked += 1


REPLIES = st.one_of(
    st.builds(answer, st.sampled_from([200, 201, 404, 409, 429, 500, 502, 503, 504, 507]), st.integers(0, 90)),
    st.builds(away, is_passing=st.booleans()),
)


@given(st.lists(REPLIES, min_size=6, max_size=6), st.integers(1, 6), st.integers(0, 100))
def test_a_request_is_repeated_within_both_limits_and_ends_with_its_last_reply(
    replies: list[Reply], tries_max: int, wait_s_max: int
) -> None:
    end, asked, pauses = ask(replies, Retry(tries_max, wait_s_max))

    assert 1 <= asked <= tries_max
    assert sum(pause.seconds for pause in pauses) <= wait_s_max
    assert len(pauses) == asked - 1
    assert end is replies[asked - 1]
    for passed, pause in zip(replies, pauses, strict=False):
        assert isinstance(passed, Unreachable) or passed.status in (429, 502, 503, 504)
        assert isinstance(passed, Unreachable) or pause.seconds >= (passed.retry_after_s or 0)


@pytest.mark.parametrize("status", [200, 201, 304, 400, 401, 404, 409, 412, 422, 500, 507])
def test_an_answer_that_does_not_pass_is_not_asked_for_again(status: int) -> None:
    assert ask([answer(status)], Retry()) == (answer(status), 1, [])


def test_a_server_that_is_no_node_is_not_asked_again() -> None:
    refused = away(is_passing=False)

    assert ask([refused], Retry()) == (refused, 1, [])


def test_a_node_that_asks_for_a_longer_wait_than_the_limit_is_not_asked_again() -> None:
    assert ask([answer(429, 61)], Retry(wait_s_max=60)) == (answer(429, 61), 1, [])


def test_waits_double_up_to_their_limit() -> None:
    backoff = Backoff(Random(1))

    drawn = [backoff.draw_s() for _ in range(20)]

    assert WAIT_S_MIN / 2 <= drawn[0] <= WAIT_S_MIN
    assert all(WAIT_S_MAX / 2 <= wait_s <= WAIT_S_MAX for wait_s in drawn[10:])
    assert backoff.draw_s(100.0) == 100.0


def test_after_a_success_waits_begin_anew() -> None:
    backoff = Backoff(Random(1))
    for _ in range(9):
        backoff.draw_s()

    backoff.reset()

    assert backoff.draw_s() <= WAIT_S_MIN
