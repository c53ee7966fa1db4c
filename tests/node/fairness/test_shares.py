"""Each address has a share of a core, and all strangers together have one."""

from node.fairness.crowd import Crowd
from node.fairness.shares import STRANGERS_SHARES, Shares
from protocol.records.quota import BURST_S

SHARE = 0.25
BURST = SHARE * BURST_S
"""Seconds of work that an address may cause at once."""

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def test_an_address_waits_when_it_has_used_more_than_its_share() -> None:
    shares = Shares(SHARE)

    shares.spend(ONE, BURST, now_s=0.0)
    at_the_limit = shares.wait_s(ONE, now_s=0.0)
    shares.spend(ONE, 1.0, now_s=0.0)

    assert at_the_limit == 0.0
    assert shares.wait_s(ONE, now_s=0.0) == 1.0 / SHARE
    assert shares.wait_s(OTHER, now_s=0.0) == 0.0
    assert shares.wait_s(ONE, now_s=1.0 / SHARE) == 0.0


def test_an_address_that_causes_little_goes_on_while_strangers_have_used_up_their_share() -> None:
    shares = Shares(SHARE)
    addresses = [f"198.51.100.{number}" for number in range(10)]

    for address in addresses:
        shares.spend(address, STRANGERS_SHARES * BURST / 10 + 0.01, now_s=0.0)

    assert shares.wait_s(addresses[0], now_s=0.0) > 0.0, "although it has used less than its own share"
    assert shares.wait_s(OTHER, now_s=0.0) == 0.0


def test_work_of_another_kind_counts_in_the_crowd_of_all_kinds() -> None:
    crowd = Crowd(SHARE, BURST_S)
    one_kind, other_kind, apart = Shares(SHARE, crowd=crowd), Shares(SHARE, crowd=crowd), Shares(SHARE)

    one_kind.spend(ONE, BURST + 0.01, now_s=0.0)

    assert other_kind.wait_s(ONE, now_s=0.0) > 0.0
    assert apart.wait_s(ONE, now_s=0.0) == 0.0


def test_without_a_share_there_is_no_limit() -> None:
    shares = Shares(None)

    shares.spend(ONE, 1e9, now_s=0.0)

    assert shares.wait_s(ONE, now_s=0.0) == 0.0
