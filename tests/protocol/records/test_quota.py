"""Quotas: how much one address may bring."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.records.quota import ADDRESSES_MAX, BURST_S, Quota


def test_without_a_rate_nobody_waits() -> None:
    quota = Quota(None)

    quota.spend("here", 1e12, now_s=0)

    assert quota.wait_s("here", now_s=0) == 0


def test_a_burst_passes_as_a_whole_and_the_next_batch_waits() -> None:
    quota = Quota(2.0)

    before = quota.wait_s("here", now_s=100)
    quota.spend("here", 2 * BURST_S + 10, now_s=100)

    assert before == 0
    assert quota.wait_s("here", now_s=100) == 5.0
    assert quota.wait_s("here", now_s=105) == 0


def test_one_address_does_not_wait_because_of_another() -> None:
    quota = Quota(1.0)

    quota.spend("flood", 1_000, now_s=0)

    assert quota.wait_s("flood", now_s=0) > 0
    assert quota.wait_s("calm", now_s=0) == 0


def test_a_clock_that_is_set_back_leaks_nothing() -> None:
    quota = Quota(1.0)

    quota.spend("here", BURST_S + 5, now_s=100)

    assert quota.wait_s("here", now_s=50) == 5.0


def test_past_the_limit_of_addresses_the_least_recent_is_forgotten() -> None:
    quota = Quota(1.0)

    for number in range(ADDRESSES_MAX + 1):
        quota.spend(str(number), 1_000, now_s=0)

    assert len(quota) == ADDRESSES_MAX
    assert quota.wait_s("1", now_s=0) > 0
    assert quota.wait_s("0", now_s=0) == 0


@given(amounts=st.lists(st.floats(0.1, 100), min_size=1, max_size=50), rate=st.floats(0.1, 10))
def test_an_address_that_waits_as_told_brings_at_most_its_rate_plus_one_burst_and_one_batch(
    amounts: list[float], rate: float
) -> None:
    quota, now_s, brought = Quota(rate), 0.0, 0.0

    for amount in amounts:
        now_s += quota.wait_s("here", now_s)
        quota.spend("here", amount, now_s)
        brought += amount

    assert brought <= rate * (now_s + BURST_S) + max(amounts) + 1e-6
