"""What a cursor passes, and what it never does: each record is offered until it is taken, or refused for good."""

import pytest

from protocol.errors import Code
from protocol.link.messages import Since, encode
from protocol.link.terms import Flow, LinkLimits, Terms
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import BOTH, HUNDRED, count_sent, records


def test_cursors_are_kept_for_what_this_nodes_row_asks_for() -> None:
    wire = Wire(HUNDRED[:50], HUNDRED[50:], (Terms(push=True, pull=True), Terms()))

    wire.run()
    wire.run_for(1)

    assert wire.dialler.cursors == {("example", Flow.PULL): 100, ("example", Flow.PUSH): 100}
    assert wire.acceptor.cursors == {}


@pytest.mark.parametrize("refusal", [Code.TOO_NEW, Code.RATE_LIMITED, Code.OVERLOADED, Code.STORAGE_FULL])
def test_a_push_cursor_never_passes_what_was_refused_for_now(refusal: Code) -> None:
    wire = Wire(HUNDRED, [], (Terms(push=True), Terms()))
    wire.acceptor.refuses = lambda it: refusal if it.record.timestamp == 70 else None

    wire.run()
    wire.run_for(40)

    assert wire.dialler.cursors == {("example", Flow.PUSH): 69}


def test_a_push_cursor_passes_what_was_refused_for_good_and_it_is_not_offered_again() -> None:
    wire = Wire(HUNDRED, [], (Terms(push=True), Terms()))
    wire.acceptor.refuses = lambda it: Code.TOO_OLD if it.record.timestamp == 70 else None

    wire.run()
    wire.run_for(1_000)

    assert wire.dialler.cursors == {("example", Flow.PUSH): 100}
    assert count_sent(wire.dialler) == 100


def test_what_was_refused_for_now_is_offered_again_and_goes_through_when_its_time_has_come() -> None:
    wire = Wire(HUNDRED, [], (Terms(push=True), Terms()), LinkLimits(repair_s=60))
    wire.acceptor.refuses = lambda it: Code.TOO_NEW if it.record.timestamp > 95 else None
    wire.run()
    wire.run_for(200)

    wire.acceptor.refuses = lambda it: None
    wire.run_for(200)

    assert wire.acceptor.ids == wire.dialler.ids
    assert wire.dialler.cursors == {("example", Flow.PUSH): 100}
    assert wire.dialler.found == []


def test_a_domain_that_the_peer_does_not_keep_is_offered_no_more() -> None:
    wire = Wire([*records(600, "unkept"), *HUNDRED], [], (Terms(push=True), Terms()))
    wire.acceptor.refuses = lambda it: Code.UNKNOWN_DOMAIN if it.record.domain == "unkept" else None

    wire.run()
    sent = count_sent(wire.dialler)
    wire.run_for(1_000)
    wire.dialler.write(records(1, "unkept", begin=9_000)[0], wire.now)
    wire.run()

    assert wire.codes == (None, None)
    assert wire.acceptor.ids == {it.record.id for it in HUNDRED}
    assert count_sent(wire.dialler) == sent


def test_a_cursor_follows_a_pass_record_by_record() -> None:
    wire = Wire([], records(3_000), (Terms(pull=True), Terms()))

    while len(wire.dialler.held) < 1_000:
        assert wire.step()

    assert wire.dialler.cursors["example", Flow.PULL] == len(wire.dialler.held)


def test_a_live_record_moves_no_cursor_past_a_pass_that_is_under_way() -> None:
    wire = Wire(records(3_000), [], (Terms(push=True), Terms()))
    while len(wire.acceptor.held) < 500:
        assert wire.step()
    live = records(1, begin=9_000)[0]

    wire.dialler.write(live, wire.now)
    while live.record.id not in wire.acceptor.ids:
        assert wire.step()
    for _ in range(3):
        wire.step()

    assert len(wire.acceptor.held) < 3_000
    assert 0 < wire.dialler.cursors["example", Flow.PUSH] < 3_000


def test_who_asks_is_sent_everything_again_but_what_it_sent_itself() -> None:
    theirs = records(7, begin=2_000)
    wire = Wire(HUNDRED, theirs, BOTH)
    wire.acceptor.refuses = lambda it: Code.TOO_NEW if it.record.timestamp > 95 else None
    wire.run()
    before = count_sent(wire.dialler)
    assert wire.dialler.ids == {it.record.id for it in [*HUNDRED, *theirs]}

    wire.acceptor.reads = False
    wire.dialler.carry_out(wire.dialler.link.on_frame(encode(Since("example", 51)), wire.now), wire.now)
    wire.run()

    assert count_sent(wire.dialler) - before == 50
