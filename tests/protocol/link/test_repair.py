"""Repairs: what a link finds that should not have been missed, and how often it looks."""

from random import Random

import pytest

from protocol.link.messages import Domains, Reconcile
from protocol.link.orders import Load
from protocol.link.status import Step
from protocol.link.terms import Flow, LinkLimits, Terms
from protocol.sets.index import key_id, pack_key
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import BOTH, HUNDRED, count_sent, records, said


def test_a_repair_finds_what_slipped_in_unseen_and_says_how_much() -> None:
    """A record that was neither pushed nor told of, as after a fault."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=60))
    wire.run()
    wire.dialler.commit(records(1, begin=50, note="unseen")[0])
    wire.acceptor.commit(records(1, begin=51, note="unseen")[0])

    wire.run_for(200)

    assert wire.dialler.ids == wire.acceptor.ids
    assert [(it.have, it.need) for it in wire.dialler.found] == [(1, 1)]


def test_a_repair_takes_nothing_for_missed_that_arrives_meanwhile_by_another_way() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=60))
    wire.run()
    on_its_way = records(1, begin=50, note="on its way")[0]
    wire.dialler.commit(on_its_way)
    reconciled = len(said(wire.dialler, Reconcile))

    while len(said(wire.dialler, Reconcile)) == reconciled:
        wire.run_for(1)
    wire.acceptor.commit(on_its_way)
    wire.run_for(100)

    assert wire.dialler.found == []
    assert count_sent(wire.dialler) == 0


def test_what_only_was_on_its_way_when_a_repair_compared_is_soon_seen_as_the_same() -> None:
    """Else a node would call a peer different that is not, and not move its cursors, until the next repair."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=10_000))
    wire.run()
    wire.run_for(1)
    on_its_way = records(1, begin=500)[0]
    wire.dialler.commit(on_its_way)
    wire.dialler.carry_out(wire.dialler.link.compare(wire.now), wire.now)
    wire.run()

    wire.acceptor.commit(on_its_way)
    wire.run_for(30)

    assert wire.dialler.link.status().domains["example"].step is Step.IDENTICAL
    assert wire.dialler.cursors == {("example", Flow.PUSH): 500, ("example", Flow.PULL): 500}


def test_a_repair_confirms_what_it_saw_before_and_nothing_that_is_new_since() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(settle_s=10))
    wire.run()
    wire.run_for(1)
    missed, on_its_way = records(2, begin=50, note="unseen")
    wire.dialler.commit(missed)
    wire.dialler.carry_out(wire.dialler.link.compare(wire.now), wire.now)
    wire.run()

    wire.dialler.commit(on_its_way)
    wire.run_for(11)

    assert [(it.have, it.need) for it in wire.dialler.found] == [(1, 0)]
    assert on_its_way.record.id not in wire.acceptor.ids


def test_repairs_that_find_nothing_come_at_their_interval() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=100))
    wire.run()
    wire.run_for(1)
    listed = len(said(wire.dialler, Domains))

    wire.run_for(1_000)

    assert 8 <= len(said(wire.dialler, Domains)) - listed <= 14


def test_a_repair_that_goes_on_finding_comes_ever_later() -> None:
    """A peer that takes records and loses them must not be fed for ever."""
    wire = Wire(HUNDRED, [], (Terms(push=True), Terms()), LinkLimits(repair_s=300))
    wire.acceptor.loses = True

    wire.run()
    wire.run_for(3_000)

    assert wire.codes == (None, None)
    assert count_sent(wire.dialler) < 100 * 25


def test_a_difference_that_only_the_dialler_sees_is_repaired_while_live_records_flow() -> None:
    """The acceptor compared the moment before, asks for no pass, and the dialler must not wait for one for ever."""
    wire = Wire(HUNDRED, HUNDRED, (Terms(), Terms(pull=True)))
    while not said(wire.dialler, Domains):
        assert wire.step()
    unseen = records(1, begin=50, note="unseen")[0]
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
    wire.acceptor.commit(records(1, begin=50, note="unseen")[0])
    end = wire.ends[side]

    end.carry_out(end.link.compare(wire.now), wire.now)
    wire.run_for(5)

    assert wire.dialler.ids == wire.acceptor.ids
    assert wire.codes == (None, None)


def test_a_difference_that_the_acceptors_own_list_shows_is_looked_at_again_soon() -> None:
    """Otherwise the dialler would call the two different until its next comparison, long after they are the same."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(settle_s=2, repair_s=10_000))
    wire.run()
    wire.run_for(10)
    wire.acceptor.commit(records(1, begin=50, note="unseen")[0])

    wire.acceptor.carry_out(wire.acceptor.link.compare(wire.now), wire.now)
    wire.run_for(30)

    assert wire.dialler.ids == wire.acceptor.ids
    assert wire.dialler.link.status().domains["example"].step is Step.IDENTICAL


def test_comparisons_may_be_asked_for_at_any_time_by_both() -> None:
    wire = Wire(HUNDRED[:50], HUNDRED[40:], BOTH, random=Random(1))
    for number in range(60):
        end = wire.ends[number % 2]
        if end.opened:
            end.carry_out(end.link.compare(wire.now), wire.now)
        wire.step()

    wire.run_for(20)

    assert wire.dialler.ids == wire.acceptor.ids
    assert wire.codes == (None, None)


def test_a_repair_that_finds_nearly_everything_missing_counts_so_far_and_gives_it_all() -> None:
    """A peer that claims to hold nothing: what it lacks is given as it can be sent, and never listed whole. As nothing
    ever arrives there, further repairs find the same.
    """
    wire = Wire([], [], (Terms(push=True), Terms()), LinkLimits(repair_s=10_000))
    wire.run()
    keys = [pack_key(second, second.to_bytes(32, "big")) for second in range(1, 30_001)]
    wire.dialler.holdings.fill("example", keys)

    wire.dialler.carry_out(wire.dialler.link.compare(wire.now), wire.now)
    wire.run_for(60)

    given = [each for order in wire.dialler.orders if isinstance(order, Load) for each in order.ids]
    assert given[: len(keys)] == [key_id(key).hex() for key in keys]
    assert {(it.have, it.need) for it in wire.dialler.found} == {(10_001, 0)}


def test_a_peer_that_is_behind_is_asked_for_no_list_until_it_reads_again() -> None:
    """It could not answer, and would be taken for one that has gone."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(in_flight_frames_max=1, queued_max=10, repair_s=20))
    wire.run()
    wire.run_for(5)
    listed = len(said(wire.dialler, Domains))
    wire.acceptor.reads = False
    for it in records(20, begin=1_000):
        wire.dialler.write(it, wire.now)

    wire.run_for(200)
    listed_while_behind = len(said(wire.dialler, Domains)) - listed
    wire.acceptor.reads = True
    wire.run_for(200)

    assert listed_while_behind == 0
    assert wire.codes == (None, None)
    assert wire.dialler.ids == wire.acceptor.ids
    assert len(said(wire.dialler, Domains)) > listed
