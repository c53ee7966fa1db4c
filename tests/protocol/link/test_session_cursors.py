"""What moves a cursor and what does not: each record is offered until the peer takes it or refuses it for good."""

import pytest

from protocol.errors import TRANSIENT, Code
from protocol.link.messages import Since
from protocol.link.terms import Flow, LinkLimits, Terms
from protocol.records.record import SignedRecord
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import (
    BOTH,
    HUNDRED,
    PULLING,
    PUSHING,
    count_sent,
    ids,
    record,
    records,
    said,
    signatures_sent,
)

LONG_S = 1_000
"""Seconds in which several repairs take place."""


def test_only_the_node_whose_row_asks_for_a_flow_stores_its_cursor() -> None:
    wire = Wire(HUNDRED[:50], HUNDRED[50:], BOTH)

    wire.run()
    wire.run_for(1)

    assert wire.dialler.cursors == {("example", Flow.PULL): 100, ("example", Flow.PUSH): 100}
    assert wire.acceptor.cursors == {}


@pytest.mark.parametrize("refusal", sorted(TRANSIENT))
def test_a_push_cursor_stays_below_a_record_that_was_refused_for_now(refusal: Code) -> None:
    wire = Wire(HUNDRED, [], PUSHING)
    wire.acceptor.refuses = lambda it: refusal if it.record.timestamp == 70 else None

    wire.run()
    wire.run_for(40)

    assert wire.dialler.cursors == {("example", Flow.PUSH): 69}


def test_a_push_cursor_passes_a_record_that_was_refused_for_good_and_the_record_is_not_offered_again() -> None:
    wire = Wire(HUNDRED, [], PUSHING)
    wire.acceptor.refuses = lambda it: Code.TOO_OLD if it.record.timestamp == 70 else None

    wire.run()
    wire.run_for(LONG_S)

    assert wire.dialler.cursors == {("example", Flow.PUSH): 100}
    assert count_sent(wire.dialler) == 100


def test_a_record_that_was_refused_for_now_is_offered_again_until_it_goes_through() -> None:
    wire = Wire(HUNDRED, [], PUSHING, LinkLimits(repair_s=60))
    wire.acceptor.refuses = lambda it: Code.TOO_NEW if it.record.timestamp > 95 else None
    wire.run()
    wire.run_for(200)

    wire.acceptor.refuses = lambda it: None
    wire.run_for(200)

    assert wire.acceptor.ids == wire.dialler.ids
    assert wire.dialler.cursors == {("example", Flow.PUSH): 100}
    assert wire.dialler.found == []


def test_a_domain_that_the_peer_does_not_keep_is_not_offered_again() -> None:
    wire = Wire([*records(600, "unkept"), *HUNDRED], [], PUSHING)
    wire.acceptor.refuses = lambda it: Code.UNKNOWN_DOMAIN if it.record.domain == "unkept" else None

    wire.run()
    sent = count_sent(wire.dialler)
    wire.run_for(LONG_S)
    wire.dialler.write(record(at=9_000, domain="unkept"), wire.now)
    wire.run()

    assert wire.codes == (None, None)
    assert wire.acceptor.ids == ids(HUNDRED)
    assert count_sent(wire.dialler) == sent


def test_a_cursor_follows_a_pass_record_by_record() -> None:
    wire = Wire([], records(3_000), PULLING)

    wire.step_until(lambda: len(wire.dialler.held) >= 1_000)

    assert wire.dialler.cursors["example", Flow.PULL] == len(wire.dialler.held)


def test_a_live_record_moves_no_cursor_past_a_pass_that_is_under_way() -> None:
    wire = Wire(records(6_000), [], PUSHING)
    wire.step_until(lambda: len(wire.acceptor.held) >= 500)
    live = record(at=9_000)

    wire.dialler.write(live, wire.now)
    wire.step_until(lambda: live.record.id in wire.acceptor.ids)
    for _ in range(3):
        wire.step()

    assert len(wire.acceptor.held) < 6_000
    assert 0 < wire.dialler.cursors["example", Flow.PUSH] < 6_000


def test_a_peer_that_asks_is_sent_everything_again_except_what_it_sent_itself() -> None:
    theirs = records(7, begin=2_000)
    wire = Wire(HUNDRED, theirs, BOTH)
    wire.acceptor.refuses = lambda it: Code.TOO_NEW if it.record.timestamp > 95 else None
    wire.run()
    sent_before = count_sent(wire.dialler)
    assert wire.dialler.ids == ids([*HUNDRED, *theirs])

    wire.acceptor.reads = False
    wire.hear(wire.dialler, Since("example", 51))
    wire.run()

    assert count_sent(wire.dialler) - sent_before == 50, "those with the timestamps 51 to 100"


# --- The second of the cursor, of which both sides may hold many records.

BUSY = [record(at=61, note=f"{number}") for number in range(20)]
HELD = [*HUNDRED[:60], *BUSY]
TAIL = HUNDRED[61:]
CURSORS = {("example", flow): 61 for flow in Flow}


@pytest.mark.parametrize(
    ("here", "there", "push", "pull"),
    [
        (HELD, [*HELD, *TAIL], False, True),
        (HELD, [*HELD, *TAIL], True, True),
        ([*HELD, *TAIL], HELD, True, False),
        ([*HELD, *TAIL], HELD, True, True),
    ],
)
def test_a_pass_leaves_out_the_second_of_its_cursor_if_both_sides_hold_the_same_of_it(
    here: list[SignedRecord], there: list[SignedRecord], push: bool, pull: bool
) -> None:
    """So the bytes of a short tail do not depend on how many records a second has."""
    wire = Wire(here, there, (Terms(push=push, pull=pull, cursors=CURSORS), Terms()))

    wire.run()

    assert [*signatures_sent(wire.dialler), *signatures_sent(wire.acceptor)] == [it.signature for it in TAIL]
    assert wire.dialler.ids == wire.acceptor.ids == ids([*HELD, *TAIL])


def test_a_puller_that_wrote_meanwhile_says_which_records_of_the_second_it_holds() -> None:
    ours = records(5, begin=200)
    wire = Wire([*HELD, *ours], [*HELD, *TAIL], (Terms(pull=True, cursors=CURSORS), Terms()))

    wire.run()

    assert signatures_sent(wire.acceptor) == [it.signature for it in TAIL]


@pytest.mark.parametrize(
    ("here", "there", "terms"),
    [
        ([*HELD[:-1]], [*HELD, *TAIL], Terms(pull=True, cursors=CURSORS)),
        ([*HELD, *TAIL], [*HELD[:-1]], Terms(push=True, cursors=CURSORS)),
    ],
)
def test_a_second_in_which_the_two_differ_is_sent_whole(
    here: list[SignedRecord], there: list[SignedRecord], terms: Terms
) -> None:
    """A cursor counts whole seconds, so a record of its second may have come after it was stored."""
    wire = Wire(here, there, (terms, Terms()))

    wire.run()

    assert count_sent(wire.dialler) + count_sent(wire.acceptor) == len(BUSY) + len(TAIL)
    assert wire.dialler.ids == wire.acceptor.ids == ids([*HELD, *TAIL])


def test_a_node_that_does_not_say_what_it_holds_is_sent_the_whole_second() -> None:
    """As every version before this one."""
    wire = Wire(HELD, HELD, (Terms(), Terms()))
    wire.run()

    wire.hear(wire.dialler, Since("example", 61))
    wire.run()

    assert count_sent(wire.dialler) == len(BUSY)
    assert said(wire.dialler, Since) == []
