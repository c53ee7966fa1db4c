"""The receiving side: frames come in order, at most as many at once as are read, and an invalid record ends
the link.
"""

import msgspec
import pytest
from msgspec import Raw

from protocol.errors import INVALID, Code, ProtocolError
from protocol.link.messages import Ack, CaughtUp, Since, Want, encode_records
from protocol.link.terms import LinkLimits
from protocol.records.outcome import Outcome
from tests.history import claim, signed
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import NEITHER, PULLING, PUSHING, record, records, said

ANSWER_S = 60
"""How long a peer may owe an answer, in seconds."""

REFUSED_MAX = 50
"""How many refused records a peer may send in a minute."""

ASKED_MAX = 1_000
"""How many ids a node may ask for at once."""


@pytest.fixture
def wire() -> Wire:
    """An open link with nothing to do."""
    wire = Wire(terms=NEITHER)
    wire.run()
    wire.run_for(1)
    return wire


# --- Frames.


def test_a_frame_is_taken_in_with_its_number_domain_and_hops(wire: Wire) -> None:
    it, seq, hops = record(at=1), 1, 4
    wire.say(wire.dialler, encode_records(seq, [it], hops=hops))

    wire.deliver(wire.dialler, wire.acceptor)

    (take,) = wire.acceptor.takes
    assert (take.seq, take.domain, take.hops) == (seq, None, hops)
    assert [(item.signature, item.body) for item in take.items] == [(it.signature, it.record.canonical)]


@pytest.mark.parametrize(
    ("said_hops", "taken_hops"),
    [({}, 0), ({"hops": 0}, 1), ({"hops": 1}, 1), ({"hops": 7}, 7)],
    ids=["none", "0", "1", "7"],
)
def test_live_records_have_crossed_one_link_even_if_their_sender_counts_from_zero(
    wire: Wire, said_hops: dict[str, int], taken_hops: int
) -> None:
    it = record(at=1)
    frame = {"type": "records", "seq": 1, "records": [{"signature": it.signature, "record": Raw(it.record.canonical)}]}
    wire.say(wire.dialler, msgspec.json.encode(frame | said_hops).decode())

    wire.deliver(wire.dialler, wire.acceptor)

    assert [take.hops for take in wire.acceptor.takes] == [taken_hops]


@pytest.mark.parametrize("numbers", [[2], [1, 1], [1, 3], [1, 2, 2], [1, 2, 1]], ids=str)
def test_a_frame_without_the_next_number_closes_the_link(wire: Wire, numbers: list[int]) -> None:
    for number in numbers:
        wire.say(wire.dialler, encode_records(number, [record(at=1)]))

    wire.run()

    assert wire.codes[1] == "malformed"


def test_a_link_is_saturated_until_a_take_has_ended_and_is_acknowledged() -> None:
    wire = Wire(terms=NEITHER, limits=LinkLimits(takes_max=2))
    wire.run()
    for seq in (1, 2, 3):
        wire.say(wire.dialler, encode_records(seq, [record(at=seq)]))
    acceptor = wire.acceptor
    while wire.dialler.sent and not acceptor.link.is_saturated:
        wire.deliver(wire.dialler, acceptor)
    first, second = acceptor.takes

    saturated = [acceptor.link.is_saturated]
    for take in (second, first):
        acceptor.finish_take(take, wire.now)
        saturated.append(acceptor.link.is_saturated)

    assert saturated == [True, True, False], "the second frame waits for the ack of the first"


def test_an_ack_names_the_records_that_were_refused_since_the_last_ack(wire: Wire) -> None:
    one, two, three = records(3)
    wire.acceptor.refuses = lambda it: None if it == one else Code.STALE
    for number, it in enumerate((one, two, three), start=1):
        wire.say(wire.dialler, encode_records(number, [it]))
    while wire.dialler.sent:
        wire.deliver(wire.dialler, wire.acceptor)
    first, second, third = wire.acceptor.takes

    for take in (first, third, second):
        wire.acceptor.finish_take(take, wire.now)

    assert said(wire.acceptor, Ack) == [Ack(1), Ack(3, {two.record.id: "stale", three.record.id: "stale"})]


# --- Refused records.


@pytest.mark.parametrize("code", sorted(INVALID))
def test_an_invalid_record_closes_the_link_with_its_code(wire: Wire, code: Code) -> None:
    wire.acceptor.refuses = lambda it: code
    wire.say(wire.dialler, encode_records(1, [record(at=1)]))

    wire.run()

    assert wire.codes[1] == code
    assert said(wire.acceptor, Ack) == []


def test_bytes_that_are_not_a_record_close_the_link(wire: Wire) -> None:
    wire.say(wire.dialler, encode_records(1, [record(at=1)]))
    wire.deliver(wire.dialler, wire.acceptor)
    outcome = Outcome.refused("no signature", ProtocolError(Code.MALFORMED, "not a record"))

    orders = wire.acceptor.link.on_taken(1, [outcome], wire.now)
    wire.acceptor.carry_out(orders, wire.now)

    assert wire.codes[1] == "malformed"


def test_a_reserved_label_is_refused_without_closing_the_link(wire: Wire) -> None:
    reserved = signed(claim("@later", at=5))
    wire.acceptor.refuses = lambda it: Code.MALFORMED if it.record.is_reserved else None
    wire.say(wire.dialler, encode_records(1, [reserved]))

    wire.deliver(wire.dialler, wire.acceptor)
    wire.acceptor.finish_take(wire.acceptor.takes[0], wire.now)

    assert said(wire.acceptor, Ack) == [Ack(1, {reserved.record.id: "malformed"})]
    assert wire.acceptor.closed is None


def refusing(refused_per_minute_max: int) -> Wire:
    """An open link whose acceptor refuses every record."""
    wire = Wire(terms=PUSHING, limits=LinkLimits(refused_per_minute_max=refused_per_minute_max))
    wire.acceptor.refuses = lambda it: Code.NOT_OWNER
    wire.run()
    return wire


@pytest.mark.parametrize(("count", "code"), [(REFUSED_MAX, None), (REFUSED_MAX + 1, "rate_limited")])
def test_a_flood_of_refused_records_is_cut_off_one_past_the_limit(count: int, code: str | None) -> None:
    wire = refusing(refused_per_minute_max=REFUSED_MAX)

    for it in records(count):
        wire.dialler.write(it, wire.now)
    wire.run()

    assert wire.codes[1] == code


@pytest.mark.parametrize("code", [Code.NOT_WELCOME, Code.QUOTA_EXCEEDED, Code.OVERLOADED])
def test_a_link_is_not_cut_off_for_what_its_peer_cannot_know(code: Code) -> None:
    """Only the node itself knows whom it does not want, how much it keeps of whom, and whether it has time."""
    wire = refusing(refused_per_minute_max=REFUSED_MAX)
    wire.acceptor.refuses = lambda _: code

    for it in records(2 * REFUSED_MAX):
        wire.dialler.write(it, wire.now)
    wire.run()

    assert wire.codes == (None, None)


def test_refused_records_are_counted_by_the_minute() -> None:
    wire, more_than_a_minute_s = refusing(refused_per_minute_max=REFUSED_MAX), 61

    for begin in (1, 101, 201):
        for it in records(REFUSED_MAX, begin=begin):
            wire.dialler.write(it, wire.now)
        wire.run_for(more_than_a_minute_s)

    assert wire.codes == (None, None)


# --- Domains without end.

FEW = LinkLimits(domains_max=3)
MANY_DOMAINS = [f"d{number}" for number in range(FEW.domains_max + 1)]


def test_a_peer_that_finishes_passes_of_made_up_domains_during_a_take_leaves_few_behind() -> None:
    wire = Wire(terms=NEITHER, limits=FEW)
    wire.run()
    wire.dialler.reads = False
    wire.say(wire.dialler, encode_records(1, [record(at=1)]))
    for domain in MANY_DOMAINS:
        wire.say(wire.dialler, CaughtUp(domain, 1, "ab" * 16))
    while wire.dialler.sent:
        wire.deliver(wire.dialler, wire.acceptor)

    receiver = wire.acceptor.link._session.receiver  # type: ignore[union-attr]
    waiting = len(receiver._passes._last_frames)
    wire.run()

    assert waiting == FEW.domains_max
    assert not receiver.has_passes
    assert wire.codes == (None, None)


def test_a_peer_that_sends_records_of_made_up_domains_leaves_few_behind() -> None:
    wire = Wire(terms=NEITHER, limits=FEW)
    wire.run()
    wire.dialler.reads = False
    wire.acceptor.refuses = lambda it: Code.UNKNOWN_DOMAIN
    for number, domain in enumerate(MANY_DOMAINS, start=1):
        wire.say(wire.dialler, encode_records(number, [record(at=1, domain=domain)]))

    wire.run()

    receiver = wire.acceptor.link._session.receiver  # type: ignore[union-attr]
    assert [receiver.is_stopped(domain) for domain in MANY_DOMAINS] == [True, True, True, False]
    assert wire.codes == (None, None)


# --- What this side asks for.


def test_no_more_ids_are_asked_for_at_once_than_the_limit() -> None:
    """A reconciliation of two sets that share little finds thousands of ids."""
    ours, theirs = records(3_000), records(3_000, begin=2_500)
    wire = Wire(ours, theirs, PULLING, LinkLimits(asked_ids_max=ASKED_MAX))
    outstanding = 0

    while wire.step():
        wanted = {each for message in said(wire.dialler, Want) for each in message.ids}
        outstanding = max(outstanding, len(wanted - wire.dialler.ids))

    assert wire.acceptor.ids <= wire.dialler.ids
    assert 0 < outstanding <= ASKED_MAX


def test_a_peer_that_never_answers_a_since_is_cut_off() -> None:
    wire = Wire([], records(5), PULLING, LinkLimits(answer_s=ANSWER_S))
    wire.step_until(lambda: said(wire.dialler, Since))
    wire.acceptor.reads = False

    wire.run_for(ANSWER_S - 1)
    code_within_the_time = wire.codes[0]
    wire.run_for(2)

    assert (code_within_the_time, wire.codes[0]) == (None, "timeout")


def test_a_peer_that_never_answers_a_want_is_cut_off() -> None:
    """A peer that lists a record holds it, because records are never deleted."""
    shared = records(59)
    wire = Wire(
        [*shared, record(at=60)],
        [*shared, record(at=900)],
        PULLING,
        LinkLimits(short_pass_records=0, answer_s=ANSWER_S),
    )
    wire.step_until(lambda: said(wire.dialler, Want))
    wire.acceptor.reads = False

    wire.run_for(ANSWER_S + 10)

    assert wire.codes[0] == "timeout"


def test_a_peer_is_not_cut_off_for_the_slow_disk_of_this_node() -> None:
    patient = LinkLimits(ack_s=1_000)
    wire = Wire([], records(5), PULLING, (LinkLimits(answer_s=ANSWER_S), patient))
    wire.step_until(lambda: wire.dialler.takes)
    (take,) = wire.dialler.takes
    wire.dialler.takes.clear()

    wire.run_for(3 * ANSWER_S)
    wire.dialler.takes.append(take)
    wire.run()

    assert wire.codes == (None, None)
    assert wire.dialler.ids == wire.acceptor.ids
