"""Erased records on a link: they are never sent, the peer is told once, nothing waits for them, and both sides know
that they agree.
"""

from collections.abc import Sequence
from random import Random

import msgspec
import pytest

from protocol.link.messages import Erased, Have, Reconcile, Records, Want
from protocol.link.orders import Heard
from protocol.link.status import Step
from protocol.link.terms import LinkLimits, Terms
from protocol.records.record import SignedRecord
from protocol.records.skeleton import skeleton_of
from tests.protocol.link.wire import End, Wire
from tests.protocol.link.wire_records import BOTH, HUNDRED, NEWER, PULLING, PUSHING, ids, record, said

SOON_S = 60
HOUR_S = 3_600


def erase(end: End, records: Sequence[SignedRecord]) -> None:
    """Let the operator of this end erase records that the end holds."""
    for each in records:
        skeleton = msgspec.structs.replace(each.record, canonical=skeleton_of(each.record))
        end.held[each.record.id] = SignedRecord(each.signature, skeleton)


def lacking(wire: Wire, end: End, other: End, records: Sequence[SignedRecord]) -> None:
    """Give records to one end without the other, erase them there, and let the link run."""
    for each in records:
        end.commit(each)
    erase(end, records)
    assert not {each.record.id for each in records} & other.ids
    wire.run()


def named(end: End) -> list[str]:
    """The ids that this end has named as erased, repeats included."""
    return [record_id for message in said(end, Erased) for _, record_id in message.keys]


def steps(wire: Wire) -> list[Step]:
    return [end.link.status().domains["example"].step for end in wire.ends]


UNSEEN = [record(at, note="unseen") for at in range(30, 60)]


@pytest.mark.parametrize("terms", [BOTH, PULLING, (Terms(), Terms(push=True))])
@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_lacks_what_its_peer_erased_is_told_once_and_both_agree(
    terms: tuple[Terms, Terms], seed: int
) -> None:
    """The acceptor erased; the dialler finds the difference by repair."""
    wire = Wire(HUNDRED, HUNDRED, terms, LinkLimits(repair_s=SOON_S), Random(seed))
    wire.run()
    lacking(wire, wire.acceptor, wire.dialler, UNSEEN)

    wire.run_for(HOUR_S)

    assert sorted(named(wire.acceptor)) == sorted(ids(UNSEEN))
    assert (steps(wire), wire.codes) == ([Step.IDENTICAL] * 2, (None, None))
    assert wire.dialler.ids == ids(HUNDRED)
    assert wire.dialler.link.is_settled


@pytest.mark.parametrize("terms", [BOTH, PUSHING])
@pytest.mark.parametrize("seed", range(3))
def test_a_dialler_that_erased_names_what_the_acceptor_lacks_once(terms: tuple[Terms, Terms], seed: int) -> None:
    wire = Wire(HUNDRED, HUNDRED, terms, LinkLimits(repair_s=SOON_S), Random(seed))
    wire.run()
    lacking(wire, wire.dialler, wire.acceptor, UNSEEN)

    wire.run_for(HOUR_S)

    assert sorted(named(wire.dialler)) == sorted(ids(UNSEEN))
    assert (steps(wire), wire.codes) == ([Step.IDENTICAL] * 2, (None, None))
    assert wire.acceptor.ids == ids(HUNDRED)


@pytest.mark.parametrize("terms", [BOTH, PULLING, PUSHING])
def test_a_catch_up_brings_everything_but_the_erased_records(terms: tuple[Terms, Terms]) -> None:
    """A pass with whole and erased records in one load, and one with erased records alone."""
    held = (HUNDRED, []) if terms is PUSHING else ([], HUNDRED)
    wire = Wire(*held, terms, LinkLimits(repair_s=SOON_S))
    giver, taker = wire.ends if terms is PUSHING else wire.ends[::-1]
    erase(giver, HUNDRED[10:90])

    wire.run_for(HOUR_S)

    assert taker.ids == ids([*HUNDRED[:10], *HUNDRED[90:]])
    assert sorted(named(giver)) == sorted(ids(HUNDRED[10:90]))
    assert (steps(wire), wire.codes) == ([Step.IDENTICAL] * 2, (None, None))


def test_erased_records_of_the_largest_size_do_not_hide_those_behind_them() -> None:
    """A load that brings nothing but erased records, and not all that was asked for, must not skip the rest."""
    large = [record(at, text="x" * 60_000) for at in range(1, 40)]
    wire = Wire([], large, PULLING, LinkLimits(repair_s=SOON_S))
    erase(wire.acceptor, large[:30])

    wire.run_for(HOUR_S)

    assert wire.dialler.ids == ids(large[30:])


def test_no_skeleton_is_ever_sent() -> None:
    wire = Wire([], HUNDRED, BOTH)
    erase(wire.acceptor, HUNDRED)

    wire.run_for(HOUR_S)

    assert said(wire.acceptor, Records) == []


def test_a_want_for_an_erased_record_is_answered_and_gossip_hears_of_it() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH)
    wire.run()
    (erased,) = UNSEEN[:1]
    wire.acceptor.commit(erased)
    erase(wire.acceptor, [erased])

    wire.hear(wire.dialler, Have((erased.record.id,)))
    wire.run()

    assert said(wire.dialler, Want) == [Want((erased.record.id,), eager=True)]
    assert Heard(Erased("example", (erased.record.order_key,))) in wire.dialler.orders


def test_a_record_that_comes_another_way_is_still_the_same_afterwards() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=SOON_S))
    wire.run()
    lacking(wire, wire.acceptor, wire.dialler, UNSEEN)
    wire.run_for(HOUR_S)

    wire.dialler.commit(UNSEEN[0])
    wire.run_for(HOUR_S)

    assert steps(wire)[0] is Step.IDENTICAL
    assert sorted(named(wire.acceptor)) == sorted(ids(UNSEEN)), "nothing was asked for again"


def test_what_is_known_of_erased_records_outlives_a_link() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=SOON_S))
    wire.run()
    lacking(wire, wire.acceptor, wire.dialler, UNSEEN)
    wire.run_for(HOUR_S)

    wire.connect()
    wire.run_for(HOUR_S)

    assert sorted(named(wire.acceptor)) == sorted(ids(UNSEEN)), "nothing was asked for again"
    assert steps(wire) == [Step.IDENTICAL] * 2


def test_a_repair_that_finds_nothing_but_erased_records_comes_at_its_interval() -> None:
    """Otherwise two nodes would reconcile for ever, every few seconds."""
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=SOON_S))
    wire.run()
    lacking(wire, wire.acceptor, wire.dialler, UNSEEN)
    wire.run_for(HOUR_S)
    reconciled = len(said(wire.dialler, Reconcile))

    wire.run_for(HOUR_S)

    assert len(said(wire.dialler, Reconcile)) == reconciled


def test_live_records_flow_beside_erased_ones() -> None:
    wire = Wire(HUNDRED, HUNDRED, BOTH, LinkLimits(repair_s=SOON_S))
    wire.run()
    lacking(wire, wire.acceptor, wire.dialler, UNSEEN)

    for at in range(5):
        wire.acceptor.write(record(NEWER + at), wire.now)
        wire.run_for(SOON_S)

    assert wire.dialler.ids == ids(HUNDRED) | {record(NEWER + at).record.id for at in range(5)}
