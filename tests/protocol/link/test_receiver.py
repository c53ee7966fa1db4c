"""What comes in: in order, no more at once than is read, and nothing invalid twice."""

import msgspec
import pytest
from msgspec import Raw

from protocol.errors import Code, ProtocolError
from protocol.link.messages import Ack, Since, Want, encode_records
from protocol.link.orders import Take
from protocol.link.terms import LinkLimits, Terms
from protocol.records.outcome import Outcome
from protocol.records.record import SignedRecord
from tests.history import claim, signed
from tests.protocol.link.wire import End, Wire


def records(count: int, begin: int = 1) -> list[SignedRecord]:
    return [signed(claim(f"label-{at}", at=at)) for at in range(begin, begin + count)]


def acks(end: End) -> list[Ack]:
    return [message for message in end.said if isinstance(message, Ack)]


@pytest.fixture
def wire() -> Wire:
    """An open link with nothing to do."""
    wire = Wire(terms=(Terms(), Terms()))
    wire.run()
    wire.run_for(1)
    return wire


def test_a_frame_is_taken_in_with_what_it_says_of_itself(wire: Wire) -> None:
    (it,) = records(1)
    wire.say(wire.dialler, encode_records(1, [it], hops=4))

    wire.deliver(wire.dialler, wire.acceptor)

    (take,) = wire.acceptor.takes
    assert (take.seq, take.domain, take.hops) == (1, None, 4)
    assert [(item.signature, item.body) for item in take.items] == [(it.signature, it.record.canonical)]


@pytest.mark.parametrize(
    ("said", "taken"), [({}, 0), ({"hops": 0}, 1), ({"hops": 1}, 1), ({"hops": 7}, 7)], ids=["none", "0", "1", "7"]
)
def test_news_has_hops_even_where_its_maker_counts_from_nothing(wire: Wire, said: dict[str, int], taken: int) -> None:
    (it,) = records(1)
    frame = {"type": "records", "seq": 1, "records": [{"signature": it.signature, "record": Raw(it.record.canonical)}]}
    wire.say(wire.dialler, msgspec.json.encode(frame | said).decode())

    wire.deliver(wire.dialler, wire.acceptor)

    assert [take.hops for take in wire.acceptor.takes] == [taken]


@pytest.mark.parametrize("seqs", [[2], [1, 1], [1, 3], [1, 2, 2], [1, 2, 1]], ids=str)
def test_frames_that_are_not_numbered_on_close_the_link(wire: Wire, seqs: list[int]) -> None:
    for seq in seqs:
        wire.say(wire.dialler, encode_records(seq, records(1)))

    wire.run()

    assert wire.codes[1] == "malformed"


def test_a_link_is_saturated_while_its_limit_of_takes_is_under_way() -> None:
    wire = Wire(terms=(Terms(), Terms()), limits=LinkLimits(takes_max=2))
    wire.run()
    for seq in (1, 2, 3):
        wire.say(wire.dialler, encode_records(seq, records(1, begin=seq)))
    while wire.dialler.sent and not wire.acceptor.link.is_saturated:
        wire.deliver(wire.dialler, wire.acceptor)

    saturated = (len(wire.acceptor.takes), wire.acceptor.link.is_saturated)
    wire.acceptor.finish_take(wire.acceptor.takes[1], wire.now)
    second_done = wire.acceptor.link.is_saturated
    wire.acceptor.finish_take(wire.acceptor.takes[0], wire.now)

    assert saturated == (2, True)
    assert second_done, "what is done and waits for its ack is held too"
    assert not wire.acceptor.link.is_saturated


def test_an_ack_names_what_was_refused_since_the_last_one(wire: Wire) -> None:
    one, two, three = records(3)
    wire.acceptor.refuses = lambda it: Code.STALE if it.record.timestamp > 1 else None
    for seq, it in enumerate((one, two, three), start=1):
        wire.say(wire.dialler, encode_records(seq, [it]))
    while wire.dialler.sent:
        wire.deliver(wire.dialler, wire.acceptor)
    first, second, third = wire.acceptor.takes

    wire.acceptor.finish_take(first, wire.now)
    wire.acceptor.finish_take(third, wire.now)
    wire.acceptor.finish_take(second, wire.now)

    assert acks(wire.acceptor) == [Ack(1), Ack(3, {two.record.id: "stale", three.record.id: "stale"})]


@pytest.mark.parametrize("code", [Code.MALFORMED, Code.TOO_LARGE, Code.BAD_SIGNATURE])
def test_an_invalid_record_closes_the_link_with_its_code(wire: Wire, code: Code) -> None:
    wire.acceptor.refuses = lambda it: code
    wire.say(wire.dialler, encode_records(1, records(1)))

    wire.run()

    assert wire.codes[1] == code
    assert acks(wire.acceptor) == []


def test_bytes_that_are_no_record_close_the_link(wire: Wire) -> None:
    wire.say(wire.dialler, encode_records(1, records(1)))
    wire.deliver(wire.dialler, wire.acceptor)

    orders = wire.acceptor.link.on_taken(
        1, [Outcome.refused("no signature", ProtocolError(Code.MALFORMED, "not a record"))], wire.now
    )
    wire.acceptor.carry_out(orders, wire.now)

    assert wire.codes[1] == "malformed"


def test_a_reserved_label_is_skipped_and_never_held_against_the_peer(wire: Wire) -> None:
    reserved = signed(claim("@later", at=5))
    wire.acceptor.refuses = lambda it: Code.MALFORMED if it.record.is_reserved else None
    wire.say(wire.dialler, encode_records(1, [reserved]))

    wire.deliver(wire.dialler, wire.acceptor)
    wire.acceptor.finish_take(wire.acceptor.takes[0], wire.now)

    assert acks(wire.acceptor) == [Ack(1, {reserved.record.id: "malformed"})]
    assert wire.acceptor.closed is None


@pytest.mark.parametrize(("count", "code"), [(50, None), (51, "rate_limited")])
def test_a_flood_of_refused_records_is_cut_off_one_past_the_limit(count: int, code: str | None) -> None:
    wire = Wire(terms=(Terms(push=True), Terms()), limits=LinkLimits(refused_per_minute_max=50))
    wire.acceptor.refuses = lambda it: Code.NOT_OWNER
    wire.run()

    for it in records(count):
        wire.dialler.write(it, wire.now)
    wire.run()

    assert wire.codes[1] == code


def test_refused_records_are_counted_by_the_minute() -> None:
    wire = Wire(terms=(Terms(push=True), Terms()), limits=LinkLimits(refused_per_minute_max=50))
    wire.acceptor.refuses = lambda it: Code.NOT_OWNER
    wire.run()

    for begin in (1, 101, 201):
        for it in records(50, begin):
            wire.dialler.write(it, wire.now)
        wire.run_for(61)

    assert wire.codes == (None, None)


def test_no_more_ids_are_wanted_at_once_than_the_limit() -> None:
    """A reconciliation of two sets that share nothing asks for its thousands bit by bit."""
    ours, theirs = records(3_000), records(3_000, begin=2_500)
    wire = Wire(ours, theirs, (Terms(pull=True), Terms()), LinkLimits(asked_ids_max=1_000))
    outstanding = 0

    while wire.step():
        wanted = {each for message in wire.dialler.said if isinstance(message, Want) for each in message.ids}
        outstanding = max(outstanding, len(wanted - wire.dialler.ids))

    assert wire.acceptor.ids <= wire.dialler.ids
    assert 0 < outstanding <= 1_000


def test_a_since_that_is_never_answered_ends_the_link_in_time() -> None:
    wire = Wire([], records(5), (Terms(pull=True), Terms()))
    while not any(isinstance(message, Since) for message in wire.dialler.said):
        assert wire.step()
    wire.acceptor.reads = False

    wire.run_for(59)
    early = wire.codes[0]
    wire.run_for(2)

    assert (early, wire.codes[0]) == (None, "timeout")


def test_a_slow_disk_of_ours_is_not_held_against_the_peer() -> None:
    wire = Wire([], records(5), (Terms(pull=True), Terms()), (LinkLimits(), LinkLimits(ack_s=1_000)))
    while not wire.dialler.takes:
        assert wire.step()
    (take,) = wire.dialler.takes
    wire.dialler.takes.clear()

    wire.run_for(200)
    wire.dialler.takes.append(take)
    wire.run()

    assert isinstance(take, Take)
    assert wire.codes == (None, None)
    assert wire.dialler.ids == wire.acceptor.ids


def test_a_want_that_is_never_answered_ends_the_link_in_time() -> None:
    """Whoever lists a record holds it, for records are never deleted."""
    ours, theirs = records(60), [*records(59), *records(1, begin=900)]
    wire = Wire(ours, theirs, (Terms(pull=True), Terms()), LinkLimits(short_pass_records=0))
    while not any(isinstance(message, Want) for message in wire.dialler.said):
        assert wire.step()
    wire.acceptor.reads = False

    wire.run_for(70)

    assert wire.codes[0] == "timeout"
