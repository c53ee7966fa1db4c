"""A commit waits for clients that come back, for a time that the last commit sets."""

import pytest

from node.intake.commit_delay import SKIPPED_MAX, TOGETHER_MAX, WAIT_S_MIN, CommitDelay

TOOK_S = 0.001
"""Duration of the last commit in these tests. It ends at 1 s."""


def after_a_commit(expected: int, took_s: float = TOOK_S) -> CommitDelay:
    delay = CommitDelay(wait_s_max=0.01, waited_commits=2.0)
    commit(delay, expected, took_s)
    return delay


def commit(delay: CommitDelay, expected: int = 8, took_s: float = TOOK_S) -> None:
    delay.on_committed(expected, begun_s=1.0 - took_s, ended_s=1.0)


def skipped(delay: CommitDelay) -> int:
    """How many of the next commits do not wait for clients."""
    for commits in range(2 * SKIPPED_MAX):
        commit(delay)
        if delay.wait_s(queued=1, arrived=0, now_s=1.0):
            return commits
    raise AssertionError("no commit waits again")


def test_the_first_commit_waits_for_nothing() -> None:
    assert CommitDelay().is_enough(1)


def test_as_many_records_are_expected_as_the_last_commit_answered_and_left() -> None:
    delay = after_a_commit(expected=8)

    assert [delay.is_enough(queued) for queued in (7, 8, 9)] == [False, True, True]


def test_no_more_records_are_expected_than_share_a_commit_with_gain() -> None:
    delay = after_a_commit(expected=10 * TOGETHER_MAX)

    assert [delay.is_enough(queued) for queued in (TOGETHER_MAX - 1, TOGETHER_MAX)] == [False, True]


def test_a_wait_for_clients_ends_two_commits_after_the_last_one() -> None:
    delay = after_a_commit(expected=8)

    waits_s = [delay.wait_s(queued=1, arrived=0, now_s=1.0 + since_s) for since_s in (0.0, TOOK_S, 2.1 * TOOK_S)]

    assert waits_s == pytest.approx([2 * TOOK_S, TOOK_S, 0.0])


def test_a_commit_waits_on_for_records_that_are_being_verified() -> None:
    """Otherwise the clients that were verified first would share a commit, and the others the next one."""
    delay = after_a_commit(expected=8)
    now_s = 1.0 + 2.1 * TOOK_S

    waits_s = [delay.wait_s(queued=3, arrived=arrived, now_s=now_s) for arrived in (0, 1, 5)]

    assert waits_s == pytest.approx([0.0, TOOK_S, TOOK_S])


def test_no_commit_waits_for_a_batch_that_is_being_verified() -> None:
    delay = after_a_commit(expected=8)

    assert delay.wait_s(queued=3, arrived=1_000, now_s=1.0 + 2.1 * TOOK_S) == 0


def test_a_request_after_a_quiet_time_does_not_wait() -> None:
    """The clients of the last commit have gone since."""
    delay = after_a_commit(expected=8)

    assert delay.wait_s(queued=1, arrived=1, now_s=1.0 + 0.011) == 0


def test_a_wait_after_a_slow_commit_is_bounded() -> None:
    """Otherwise clients would wait for another 10 s after another program held the database for 5 s."""
    delay = after_a_commit(expected=8, took_s=0.9)

    waits_s = [delay.wait_s(queued=3, arrived=5, now_s=1.0 + since_s) for since_s in (0.0, 0.009, 0.0099999)]

    assert waits_s == pytest.approx([0.01, 0.001, 0.0])


@pytest.mark.parametrize("took_s", [0.0, 1e-12])
def test_waits_after_a_commit_that_took_no_time_end(took_s: float) -> None:
    """In a simulation a commit takes no time. Waits as short would never come to an end there."""
    delay = after_a_commit(expected=8, took_s=took_s)

    assert delay.wait_s(queued=3, arrived=0, now_s=1.0) == 0
    assert delay.wait_s(queued=3, arrived=5, now_s=1.0) == WAIT_S_MIN


def test_after_each_wait_in_vain_twice_as_many_commits_do_not_wait() -> None:
    delay = after_a_commit(expected=8)
    commits = []

    for _ in range(8):
        delay.on_waited(have_come=False)
        commits.append(skipped(delay))

    assert commits == [1, 2, 4, 8, 16, 32, 64, 64]
    assert max(commits) == SKIPPED_MAX


def test_a_commit_that_waits_for_no_client_waits_for_records_that_are_being_verified() -> None:
    delay = after_a_commit(expected=8)
    delay.on_waited(have_come=False)
    commit(delay)

    assert [delay.wait_s(queued=3, arrived=arrived, now_s=1.0) for arrived in (0, 5)] == pytest.approx([0.0, TOOK_S])


def test_a_wait_that_was_worth_it_ends_the_mistrust() -> None:
    delay = after_a_commit(expected=8)
    delay.on_waited(have_come=False)
    delay.on_waited(have_come=False)
    skipped(delay)

    delay.on_waited(have_come=True)

    assert skipped(delay) == 0
    delay.on_waited(have_come=False)
    assert skipped(delay) == 1
