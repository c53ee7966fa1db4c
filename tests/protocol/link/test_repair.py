"""Repairs: a link finds records that it missed by a fault, and compares at its interval."""

from random import Random

import pytest

from protocol.link.messages import Domains, Reconcile
from protocol.link.orders import Found, Load
from protocol.link.status import Step
from protocol.link.terms import Flow, LinkLimits, Terms
from protocol.sets.index import key_id, pack_key
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import BOTH, HUNDRED, NEWER, PUSHING, count_sent, record, records, said

NEVER_S = 10_000
"""Seconds between repairs: so many that no test has a second repair."""


def test_a_repair_finds_records_that_were_neither_pushed_nor_announced_and_counts_them() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=60))
    wire.run()
    wire.dialler.commit(record(at=50, note="unseen"))
    wire.acceptor.commit(record(at=51, note="unseen"))

    wire.run_for(200)

    assert wire.dialler.ids == wire.acceptor.ids
    assert wire.dialler.found == [Found("example", have=1, need=1)]


def test_a_record_that_arrives_another_way_during_a_repair_was_not_missed() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=60))
    wire.run()
    on_its_way = record(at=50, note="on its way")
    wire.dialler.commit(on_its_way)
    reconciled = len(said(wire.dialler, Reconcile))

    while len(said(wire.dialler, Reconcile)) == reconciled:
        wire.run_for(1)
    wire.acceptor.commit(on_its_way)
    wire.run_for(100)

    assert wire.dialler.found == []
    assert count_sent(wire.dialler) == 0


def test_a_record_that_was_on_its_way_during_a_comparison_is_soon_seen_as_the_same() -> None:
    """Otherwise a node would show a peer as different, and not move its cursors, until the next repair."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=NEVER_S))
    wire.run()
    wire.run_for(1)
    on_its_way = record(at=NEWER)
    wire.dialler.commit(on_its_way)
    wire.compare(wire.dialler)
    wire.run()

    wire.acceptor.commit(on_its_way)
    wire.run_for(30)

    assert wire.dialler.link.status().domains["example"].step is Step.IDENTICAL
    assert wire.dialler.cursors == {("example", Flow.PUSH): NEWER, ("example", Flow.PULL): NEWER}


def test_a_repair_confirms_what_it_saw_before_and_nothing_that_is_new_since() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(settle_s=10))
    wire.run()
    wire.run_for(1)
    missed, on_its_way = records(2, begin=50, note="unseen")
    wire.dialler.commit(missed)
    wire.compare(wire.dialler)
    wire.run()

    wire.dialler.commit(on_its_way)
    wire.run_for(11)

    assert wire.dialler.found == [Found("example", have=1, need=0)]
    assert on_its_way.record.id not in wire.acceptor.ids


def test_repairs_that_find_nothing_come_at_their_interval() -> None:
    repair_s, times = 100, 10
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=repair_s))
    wire.run()
    wire.run_for(1)
    listed = len(said(wire.dialler, Domains))

    wire.run_for(times * repair_s)

    repairs = len(said(wire.dialler, Domains)) - listed
    assert times / 1.25 <= repairs <= times / 0.75 + 1, "the interval varies by a quarter"


def test_repairs_that_find_records_again_and_again_come_at_longer_and_longer_intervals() -> None:
    """A peer that acknowledges records and loses them must not get them again all the time."""
    repair_s, times_sent_max = 300, 25
    wire = Wire(HUNDRED, [], PUSHING, LinkLimits(repair_s=repair_s))
    wire.acceptor.loses = True

    wire.run()
    wire.run_for(10 * repair_s)

    assert wire.codes == (None, None)
    assert count_sent(wire.dialler) < times_sent_max * len(HUNDRED)


def test_a_difference_that_only_the_dialler_sees_is_repaired_while_live_records_flow() -> None:
    """The acceptor compared a moment earlier and asks for no pass. The dialler must not wait for the pass for ever."""
    wire = Wire(HUNDRED, HUNDRED, (Terms(), Terms(pull=True)))
    wire.step_until(lambda: said(wire.dialler, Domains))
    unseen = record(at=50, note="unseen")
    wire.dialler.commit(unseen)

    for it in records(40, begin=1_000):
        wire.dialler.write(it, wire.now)
        wire.run_for(1)

    assert unseen.record.id in wire.acceptor.ids


@pytest.mark.parametrize("side", [0, 1], ids=["dialler", "acceptor"])
def test_a_comparison_that_is_asked_for_finds_what_was_missed(side: int) -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)
    wire.run()
    wire.run_for(1)
    wire.acceptor.commit(record(at=50, note="unseen"))

    wire.compare(wire.ends[side])
    wire.run_for(5)

    assert wire.dialler.ids == wire.acceptor.ids
    assert wire.codes == (None, None)


def test_a_difference_that_the_acceptors_own_list_shows_is_looked_at_again_soon() -> None:
    """Otherwise the dialler would show the two as different until its next repair, long after they are the same."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(settle_s=2, repair_s=NEVER_S))
    wire.run()
    wire.run_for(10)
    wire.acceptor.commit(record(at=50, note="unseen"))

    wire.compare(wire.acceptor)
    wire.run_for(30)

    assert wire.dialler.ids == wire.acceptor.ids
    assert wire.dialler.link.status().domains["example"].step is Step.IDENTICAL


def test_both_sides_may_ask_for_a_comparison_at_any_time() -> None:
    wire = Wire(HUNDRED[:50], HUNDRED[40:], BOTH, random=Random(1))
    for number in range(60):
        end = wire.ends[number % 2]
        if end.opened:
            wire.compare(end)
        wire.step()

    wire.run_for(20)

    assert wire.dialler.ids == wire.acceptor.ids
    assert wire.codes == (None, None)


def test_a_repair_that_finds_nearly_everything_missing_sends_it_all_without_collecting_it_first() -> None:
    """The peer claims to hold nothing. Nothing ever arrives there, so further repairs find the same."""
    collected_max = 10_000
    wire = Wire([], [], PUSHING, LinkLimits(repair_s=NEVER_S))
    wire.run()
    keys = [pack_key(second, second.to_bytes(32, "big")) for second in range(1, 3 * collected_max + 1)]
    wire.dialler.holdings.fill("example", keys)

    wire.compare(wire.dialler)
    wire.run_for(60)

    given = [each for order in wire.dialler.orders if isinstance(order, Load) for each in order.ids]
    assert given[: len(keys)] == [key_id(key).hex() for key in keys]
    assert set(wire.dialler.found) == {Found("example", have=collected_max + 1, need=0)}


def test_a_peer_that_is_behind_is_asked_for_no_list_until_it_reads_again() -> None:
    """Such a peer could not answer, and would be treated as a peer that has gone."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(in_flight_frames_max=1, queued_max=10, repair_s=20))
    wire.run()
    wire.run_for(5)
    listed_before = len(said(wire.dialler, Domains))
    wire.acceptor.reads = False
    for it in records(20, begin=1_000):
        wire.dialler.write(it, wire.now)

    wire.run_for(200)
    listed_while_behind = len(said(wire.dialler, Domains))
    wire.acceptor.reads = True
    wire.run_for(200)

    assert listed_while_behind == listed_before
    assert wire.codes == (None, None)
    assert wire.dialler.ids == wire.acceptor.ids
    assert len(said(wire.dialler, Domains)) > listed_before
