"""A crowd: all strangers together have a share, and once it is used up, each address has its part."""

import pytest

from node.fairness.crowd import FORGET_S, Crowd, CrowdCounts
from protocol.records.quota import ADDRESSES_MAX

SHARE = 0.5
BURST_S = 1.0
BURST = SHARE * BURST_S
"""Seconds of work that all may cause at once."""

LISTED = "203.0.113.1"


def crowd_of(addresses: list[str], each_s: float) -> Crowd:
    crowd = Crowd(SHARE, BURST_S, LISTED.__eq__, is_strict=True)
    for address in addresses:
        crowd.spend(address, each_s, now_s=0.0)
    return crowd


def test_nobody_waits_up_to_the_share_of_all_and_who_caused_it_waits_past_it() -> None:
    crowd = crowd_of(["192.0.2.1"], BURST)

    within = crowd.wait_s("192.0.2.1", now_s=0.0)
    crowd.spend("192.0.2.1", 0.1, now_s=0.0)

    assert within == 0.0
    assert crowd.wait_s("192.0.2.1", now_s=0.0) == pytest.approx(0.1 / SHARE)
    assert crowd.wait_s("192.0.2.1", now_s=0.1 / SHARE) == 0.0


def test_addresses_have_equal_parts_of_the_part_of_their_network() -> None:
    """One network has 100 addresses, the other one has two: these two may cause as much as the 100."""
    many, few = [f"192.0.2.{number}" for number in range(100)], ["198.51.100.1", "198.51.100.2"]
    crowd = crowd_of([*many, *few], BURST / 101)

    part_of_few, part_of_many = SHARE / 2 / 2, SHARE / 2 / 100

    assert crowd.wait_s(few[0], now_s=0.0) == 0.0
    assert crowd.wait_s(many[0], now_s=0.0) == pytest.approx(BURST / 101 / part_of_many - BURST_S)
    crowd.spend(few[0], part_of_few * BURST_S, now_s=0.0)
    assert crowd.wait_s(few[0], now_s=0.0) == pytest.approx(BURST / 101 / part_of_few)


def test_ipv6_networks_of_one_customer_count_together() -> None:
    crowd = crowd_of([f"2001:db8:1:{number:x}::/64" for number in range(100)] + ["2001:db8:2:1::/64"], BURST / 100)

    assert crowd.wait_s("2001:db8:1:1::/64", now_s=0.0) > 0.0
    assert crowd.wait_s("2001:db8:2:1::/64", now_s=0.0) == 0.0


def test_ever_new_addresses_are_bounded_together() -> None:
    """Each of them causes less than its part, and all of them cause twice what they may."""
    crowd = crowd_of([f"10.{number}.0.1" for number in range(200)], 2 * BURST / 200)

    at_the_bound = crowd.wait_s("10.200.0.1", now_s=0.0)
    crowd.spend("10.200.0.1", 0.01, now_s=0.0)

    assert at_the_bound == pytest.approx(0.0)
    assert crowd.wait_s("10.201.0.1", now_s=0.0) == pytest.approx(0.01 / SHARE)


def test_ever_new_addresses_of_a_network_are_bounded_by_its_part() -> None:
    """A second network halves the part of the first one."""
    addresses = [f"192.0.2.{number}" for number in range(200)]
    crowd = crowd_of(["198.51.100.1", *addresses], 2 * BURST / 200)

    assert crowd.wait_s("192.0.2.201", now_s=0.0) == pytest.approx(2 * BURST_S)
    assert crowd.wait_s("198.51.100.2", now_s=0.0) == 0.0


def test_nobody_else_waits_for_what_addresses_of_one_network_began_at_once() -> None:
    """Their work is counted after it is done, so it may be far beyond the share of all."""
    crowd = crowd_of([f"192.0.2.{number}" for number in range(200)], 20 * BURST / 200)

    assert crowd.wait_s("198.51.100.1", now_s=0.0) == 0.0
    crowd.spend("198.51.100.1", SHARE / 2 * BURST_S, now_s=0.0)
    assert crowd.wait_s("198.51.100.1", now_s=0.0) == 0.0
    assert crowd.wait_s("192.0.2.1", now_s=0.0) > 10 * BURST_S


def test_a_listed_peer_neither_counts_nor_waits() -> None:
    crowd = crowd_of(["192.0.2.1"], 3 * BURST)

    crowd.spend(LISTED, 100.0, now_s=0.0)

    assert crowd.wait_s(LISTED, now_s=0.0) == 0.0
    assert crowd.counts == CrowdCounts(work_s=3 * BURST)
    assert crowd.size(0.0) == 1


def test_an_address_that_is_silent_loses_its_part_and_so_does_the_oldest_of_too_many() -> None:
    crowd = crowd_of([f"10.{number // 250}.{number % 250}.1" for number in range(ADDRESSES_MAX + 1)], 1e-9)

    at_the_limit = crowd.size(0.0)
    crowd.spend("192.0.2.1", 1e-9, now_s=FORGET_S + 0.1)

    assert (at_the_limit, crowd.size(FORGET_S + 0.1)) == (ADDRESSES_MAX, 1)


def test_an_address_that_has_to_wait_is_not_forgotten() -> None:
    """Otherwise it could be silent for a moment, and have no debt any more."""
    crowd = crowd_of(["192.0.2.1"], 10 * BURST)

    in_debt = crowd.size(FORGET_S + 0.1)
    debt_s = crowd.wait_s("192.0.2.1", FORGET_S + 0.1)
    out_of_debt = crowd.size(10 * BURST_S + FORGET_S)

    assert (in_debt, out_of_debt) == (1, 0)
    assert debt_s == pytest.approx(9 * BURST_S - FORGET_S - 0.1)


def test_without_a_share_there_is_no_limit() -> None:
    crowd = Crowd(None, BURST_S)

    crowd.spend("192.0.2.1", 1e9, now_s=0.0)

    assert crowd.wait_s("192.0.2.1", now_s=0.0) == 0.0
    assert crowd.counts == CrowdCounts(work_s=1e9)
