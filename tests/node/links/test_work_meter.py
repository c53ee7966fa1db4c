"""A meter of work: each source has a share of a core, and all strangers together have one."""

import pytest

from node.fairness.crowd import Crowd
from node.links.work_meter import FRAME_S, STRANGERS_BURST_S, WorkMeter
from protocol.link.terms import LinkLimits
from protocol.records.quota import BURST_S

LIMITS = LinkLimits(work_share_of_listed=0.5, work_share_of_address=0.1, work_share_of_strangers=0.25)
BURST_OF_LISTED = LIMITS.work_share_of_listed * BURST_S
BURST_OF_ADDRESS = LIMITS.work_share_of_address * STRANGERS_BURST_S
BURST_OF_STRANGERS = LIMITS.work_share_of_strangers * STRANGERS_BURST_S

STRANGER = "192.0.2.1"
PEER = "ws://192.0.2.100"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stranger_past_its_share_waits_until_the_excess_is_paid_off() -> None:
    clock = Clock()
    crowd = Crowd(None, STRANGERS_BURST_S)
    meter = WorkMeter(LIMITS, clock, crowd)

    meter.spend(STRANGER, BURST_OF_ADDRESS, is_listed=False)
    within = meter.pause_s(STRANGER, is_listed=False)
    meter.spend(STRANGER, 0.05, is_listed=False)
    past = meter.pause_s(STRANGER, is_listed=False)
    clock.now += past + 1e-9

    assert within == 0.0
    assert past == pytest.approx(0.05 / LIMITS.work_share_of_address)
    assert crowd.counts.delayed == 1
    assert meter.pause_s(STRANGER, is_listed=False) == 0.0


def test_a_stranger_past_its_share_keeps_neither_another_address_nor_a_listed_peer_waiting() -> None:
    meter = WorkMeter(LIMITS, Clock())

    meter.spend(STRANGER, BURST_OF_ADDRESS + 0.1, is_listed=False)

    assert meter.pause_s("192.0.2.2", is_listed=False) == 0.0
    assert meter.pause_s(PEER, is_listed=True) == 0.0


def test_all_strangers_together_have_a_share_that_listed_peers_do_not_use() -> None:
    meter = WorkMeter(LIMITS, Clock())
    meter.spend(PEER, BURST_OF_STRANGERS, is_listed=True)
    for number in range(5):
        meter.spend(f"192.0.2.{number}", BURST_OF_STRANGERS / 5, is_listed=False)

    meter.spend("192.0.2.99", 0.05, is_listed=False)

    expected = pytest.approx(0.05 / LIMITS.work_share_of_strangers)
    assert meter.pause_s("192.0.2.98", is_listed=False) == expected
    assert meter.pause_s(PEER, is_listed=True) == 0.0


def test_a_listed_peer_past_its_share_waits_too() -> None:
    meter = WorkMeter(LIMITS, Clock())

    meter.spend(PEER, BURST_OF_LISTED + 1, is_listed=True)

    assert meter.pause_s(PEER, is_listed=True) == 2.0


def test_a_frame_of_a_stranger_counts_however_little_work_its_content_is() -> None:
    meter = WorkMeter(LIMITS, Clock())

    meter.spend(STRANGER, 0.0, is_listed=False, frames=int(BURST_OF_ADDRESS / FRAME_S) + 2_000)
    meter.spend(PEER, 0.0, is_listed=True, frames=1_000_000)

    assert meter.pause_s(STRANGER, is_listed=False) > 0
    assert meter.pause_s(PEER, is_listed=True) == 0.0


def test_many_links_that_wait_do_not_ask_again_at_every_moment() -> None:
    """Otherwise each frame of one stranger would wake up the links of all others."""
    meter = WorkMeter(LIMITS, Clock())

    meter.spend(STRANGER, BURST_OF_ADDRESS + 1e-6, is_listed=False)

    assert meter.pause_s(STRANGER, is_listed=False) == 0.1
