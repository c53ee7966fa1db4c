"""A commit waits for clients that come back, for a time that the last commit sets."""

import pytest

from node.intake.commit_delay import SKIPPED_MAX, TOGETHER_MAX, CommitDelay

TOOK_S = 0.001
"""Duration of the last commit in these tests. It ends at 1 s."""


def after_a_commit(expected: int, took_s: float = TOOK_S) -> CommitDelay:
    delay = CommitDelay(wait_s_max=0.01, waited_commits=2.0)
    delay.on_committed(expected, begun_s=1.0 - took_s, ended_s=1.0)
    return delay


def skipped(delay: CommitDelay) -> int:
    """How many of the next commits do not wait."""
    commits = 0
    while not delay.wait_s(now_s=1.0):
        commits += 1
    return commits


def test_the_first_commit_waits_for_nothing() -> None:
    assert CommitDelay().is_enough(1)


def test_as_many_records_are_expected_as_the_last_commit_answered_and_left() -> None:
    delay = after_a_commit(expected=8)

    assert [delay.is_enough(queued) for queued in (7, 8, 9)] == [False, True, True]


def test_no_more_records_are_expected_than_share_a_commit_with_gain() -> None:
    delay = after_a_commit(expected=10 * TOGETHER_MAX)

    assert [delay.is_enough(queued) for queued in (TOGETHER_MAX - 1, TOGETHER_MAX)] == [False, True]


def test_a_wait_ends_two_commits_after_the_last_one() -> None:
    delay = after_a_commit(expected=8)

    assert [delay.wait_s(now_s) for now_s in (1.0, 1.0 + TOOK_S)] == pytest.approx([2 * TOOK_S, TOOK_S])


def test_a_request_after_a_quiet_time_does_not_wait() -> None:
    """The clients of the last commit have gone since."""
    delay = after_a_commit(expected=8)

    assert delay.wait_s(1.0 + 2.1 * TOOK_S) == 0


def test_a_wait_after_a_slow_commit_is_bounded() -> None:
    """Otherwise clients would wait for another 10 s after another program held the database for 5 s."""
    delay = after_a_commit(expected=8, took_s=0.9)

    assert delay.wait_s(now_s=1.0) == pytest.approx(0.01)


def test_after_each_wait_in_vain_twice_as_many_commits_do_not_wait() -> None:
    delay = after_a_commit(expected=8)
    commits = []

    for _ in range(8):
        delay.on_waited(have_come=False)
        commits.append(skipped(delay))

    assert commits == [1, 2, 4, 8, 16, 32, 64, 64]
    assert max(commits) == SKIPPED_MAX


def test_a_wait_that_was_worth_it_ends_the_mistrust() -> None:
    delay = after_a_commit(expected=8)
    delay.on_waited(have_come=False)
    delay.on_waited(have_come=False)
    skipped(delay)

    delay.on_waited(have_come=True)

    assert skipped(delay) == 0
    delay.on_waited(have_come=False)
    assert skipped(delay) == 1
