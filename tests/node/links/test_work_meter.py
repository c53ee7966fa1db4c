"""A meter of work: each source has a share of a core, and all strangers together have one."""

from node.links.work_meter import WorkMeter
from protocol.link.terms import LinkLimits
from protocol.records.quota import BURST_S

LIMITS = LinkLimits(work_share_of_listed=0.5, work_share_of_address=0.1, work_share_of_strangers=0.25)
BURST_OF_ADDRESS = LIMITS.work_share_of_address * BURST_S
BURST_OF_STRANGERS = LIMITS.work_share_of_strangers * BURST_S


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stranger_past_its_share_waits_until_the_excess_is_paid_off() -> None:
    clock = Clock()
    meter = WorkMeter(LIMITS, clock)

    waits = [meter.spend("192.0.2.1", seconds, is_listed=False) for seconds in (BURST_OF_ADDRESS, 0.5)]
    clock.now += waits[-1]

    assert waits == [0.0, 0.5 / LIMITS.work_share_of_address]
    assert meter.spend("192.0.2.1", 0.0, is_listed=False) == 0.0


def test_a_stranger_past_its_share_keeps_neither_another_address_nor_a_listed_peer_waiting() -> None:
    meter = WorkMeter(LIMITS, Clock())
    meter.spend("192.0.2.1", BURST_OF_ADDRESS + 1, is_listed=False)

    assert meter.spend("192.0.2.2", 0.1, is_listed=False) == 0.0
    assert meter.spend("ws://192.0.2.3", 0.1, is_listed=True) == 0.0


def test_all_strangers_together_have_a_share_that_listed_peers_do_not_use() -> None:
    meter = WorkMeter(LIMITS, Clock())
    meter.spend("ws://192.0.2.100", BURST_OF_STRANGERS, is_listed=True)
    for number in range(5):
        meter.spend(f"192.0.2.{number}", BURST_OF_STRANGERS / 5, is_listed=False)

    wait_s = meter.spend("192.0.2.99", 0.25, is_listed=False)

    assert wait_s == 0.25 / LIMITS.work_share_of_strangers
    assert meter.spend("ws://192.0.2.100", 0.0, is_listed=True) == 0.0


def test_a_listed_peer_past_its_share_waits_too() -> None:
    meter = WorkMeter(LIMITS, Clock())

    wait_s = meter.spend("ws://192.0.2.1", LIMITS.work_share_of_listed * BURST_S + 1, is_listed=True)

    assert wait_s == 2.0
