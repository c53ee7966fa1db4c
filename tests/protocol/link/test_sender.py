"""What goes out: at once while there is room, bounded when there is none, and whole in the end."""

import gc
import sys
from random import Random

import pytest

from protocol.errors import Code
from protocol.limits import RECORD_BYTES_MAX
from protocol.link.messages import FRAME_BYTES_MAX, Ack, CaughtUp, Have, Records, Want, encode, encode_records
from protocol.link.orders import Load, Send
from protocol.link.status import LinkState
from protocol.link.terms import LinkLimits, Terms
from protocol.records.record import SignedRecord
from tests.history import claim, signed
from tests.protocol.link.wire import Wire

PUSHING = (Terms(push=True), Terms())


def records(count: int, begin: int = 1, text: str = "") -> list[SignedRecord]:
    return [signed(claim(f"label-{at}", at=at, text=text)) for at in range(begin, begin + count)]


def frames(wire: Wire) -> list[Records]:
    return [message for message in wire.dialler.said if isinstance(message, Records)]


def deaf(limits: LinkLimits | None = None) -> Wire:
    """An open link whose acceptor reads nothing any more."""
    wire = Wire(terms=PUSHING, limits=limits)
    wire.run()
    wire.run_for(1)
    wire.acceptor.reads = False
    return wire


@pytest.mark.parametrize(
    "limits",
    [
        LinkLimits(in_flight_frames_max=5),
        LinkLimits(in_flight_records_max=5),
        LinkLimits(in_flight_bytes_max=5 * (len(records(1)[0].record.canonical) + 155)),
    ],
    ids=["frames", "records", "bytes"],
)
def test_no_more_is_in_flight_than_the_window_holds(limits: LinkLimits) -> None:
    wire = deaf(limits)

    for it in records(6):
        wire.dialler.write(it, wire.now)
    wire.run()

    status = wire.dialler.link.status()
    assert (len(frames(wire)), status.in_flight_frames, status.queued) == (5, 5, 1)


def test_what_waited_leaves_together_when_there_is_room() -> None:
    wire = deaf(LinkLimits(in_flight_frames_max=1))
    for it in records(201):
        wire.dialler.write(it, wire.now)
    wire.run()

    wire.acceptor.reads = True
    wire.run()

    assert [len(frame.records) for frame in frames(wire)] == [1, 128, 72]
    assert wire.acceptor.ids == wire.dialler.ids


def test_what_the_peer_sends_meanwhile_waits_no_longer_to_be_sent_to_it() -> None:
    wire = deaf(LinkLimits(in_flight_frames_max=1))
    first, second = records(2)
    for it in (first, second):
        wire.dialler.write(it, wire.now)

    wire.say(wire.acceptor, encode_records(1, [second]))
    wire.deliver(wire.acceptor, wire.dialler)
    (take,) = wire.dialler.takes
    wire.dialler.finish_take(take, wire.now)

    assert wire.dialler.link.status().queued == 0


@pytest.mark.parametrize(("count", "state"), [(10, LinkState.LIVE), (11, LinkState.BEHIND)])
def test_at_the_limit_of_the_line_it_is_dropped_and_the_link_is_behind(count: int, state: LinkState) -> None:
    wire = deaf(LinkLimits(in_flight_frames_max=1, queued_max=10))

    for it in records(1 + count):
        wire.dialler.write(it, wire.now)

    status = wire.dialler.link.status()
    assert (status.state, status.queued) == (state, 10 if state is LinkState.LIVE else 0)


@pytest.mark.parametrize("late", [False, True])
def test_a_peer_that_reads_again_is_brought_everything_that_was_dropped(late: bool) -> None:
    """The oldest that was dropped of each domain counts, for records may come with older timestamps."""
    wire = deaf(LinkLimits(in_flight_frames_max=2, queued_max=10))
    written = records(300)
    if late:
        Random(1).shuffle(written)
    for it in written:
        wire.dialler.write(it, wire.now)
        wire.run()
    behind = wire.dialler.link.status().state

    wire.acceptor.reads = True
    wire.run()

    assert behind is LinkState.BEHIND
    assert wire.acceptor.ids == wire.dialler.ids
    assert wire.dialler.link.status().state is LinkState.LIVE
    assert wire.acceptor.copies == 0
    assert wire.dialler.found == []


def test_a_peer_that_is_behind_is_not_cut_off_and_one_that_only_lacks_acks_is() -> None:
    behind = deaf(LinkLimits(in_flight_frames_max=1, queued_max=10))
    slow = deaf(LinkLimits(in_flight_frames_max=1, queued_max=10))
    for wire, count in ((behind, 20), (slow, 5)):
        wire.acceptor.limits = LinkLimits()
        for it in records(count):
            wire.dialler.write(it, wire.now)

    for wire in (behind, slow):
        wire.run_for(70)

    assert (behind.codes[0], slow.codes[0]) == (None, "timeout")


def far_behind(limits: LinkLimits) -> Wire:
    """A link whose acceptor answers pings, as far as anybody can see, and acks nothing."""
    wire = deaf(limits)
    wire.acceptor.limits = LinkLimits()
    for it in records(20):
        wire.dialler.write(it, wire.now)
    wire.run()
    return wire


@pytest.mark.parametrize(("seconds", "code"), [(99.0, None), (100.0, "timeout")])
def test_a_peer_that_is_behind_and_never_acks_is_cut_off_in_the_end(seconds: float, code: str | None) -> None:
    """It would hold what a link may hold, some megabytes, for as long as it likes."""
    wire = far_behind(LinkLimits(in_flight_frames_max=1, queued_max=10, behind_s=100))

    wire.run_for(seconds)

    assert wire.codes[0] == code


def test_a_peer_that_is_behind_and_acks_now_and_then_is_never_cut_off() -> None:
    wire = far_behind(LinkLimits(in_flight_frames_max=1, queued_max=10, behind_s=100, repair_s=10_000))
    states = []

    for acked in range(1, 6):
        wire.run_for(99)
        wire.dialler.carry_out(wire.dialler.link.on_frame(encode(Ack(acked, {})), wire.now), wire.now)
        for it in records(20, begin=100 * acked):
            wire.dialler.write(it, wire.now)
        wire.run()
        states.append(wire.dialler.link.status().state)

    assert wire.codes[0] is None
    assert states == [LinkState.BEHIND] * 5


def test_a_peer_that_is_behind_is_told_no_haves() -> None:
    wire = deaf(LinkLimits(in_flight_frames_max=1, queued_max=10))
    for it in records(20):
        wire.dialler.write(it, wire.now)

    orders = wire.dialler.link.tell(Have(("ab" * 32,)), wire.now)

    assert orders == []


def test_a_link_whose_peer_never_acks_holds_few_megabytes_whatever_is_written() -> None:
    """Bodies are in the frames that were handed out; what the link keeps of them is ids."""
    wire = deaf()
    link = wire.dialler.link
    written = [signed(claim(f"label-{at}", at=at)) for at in range(1, 401)]
    templates = [it.record for it in written]
    gc.collect()
    before = sys.getallocatedblocks()

    sent = 0
    for number in range(20_000):
        template = templates[number % len(templates)]
        fresh = type(template)(
            template.domain, template.label, template.signedby, 1 + number, None, None, f"{number:064x}", b"x" * 4_000
        )
        orders = link.push([SignedRecord("0" * 128, fresh)], 1, wire.now)
        sent += sum(len(order.text) for order in orders if isinstance(order, Send))
    gc.collect()

    assert sent < 2_097_152 + FRAME_BYTES_MAX
    assert sys.getallocatedblocks() - before < 8 * 10_000
    assert link.status().queued <= 10_000


def test_frames_of_the_largest_records_stay_below_the_limit() -> None:
    empty = len(claim("label-1", at=1, text="").canonical)
    large = records(40, text="x" * (RECORD_BYTES_MAX - empty - 2))
    wire = Wire(large, [], PUSHING)

    wire.run()

    assert wire.acceptor.ids == wire.dialler.ids
    assert max(len(encode(frame)) for frame in frames(wire)) <= FRAME_BYTES_MAX
    assert max(len(frame.records) for frame in frames(wire)) == 15


def test_large_live_records_that_come_together_are_parted_into_frames() -> None:
    empty = len(claim("label-1", at=1, text="").canonical)
    large = records(20, text="x" * (RECORD_BYTES_MAX - empty - 2))
    wire = Wire(terms=PUSHING)
    wire.run()

    orders = wire.dialler.link.push(large, 1, wire.now)

    assert [len(order.text) <= FRAME_BYTES_MAX for order in orders if isinstance(order, Send)] == [True, True]


def test_one_load_is_under_way_at_a_time() -> None:
    wire = Wire(records(1_000), [], PUSHING)
    loads = 0

    while wire.step():
        loads = max(loads, len(wire.dialler.loads))

    assert loads == 1
    assert all(len(order.ids) <= 256 for order in wire.dialler.orders if isinstance(order, Load))


def test_what_is_wanted_and_not_held_is_left_out() -> None:
    wire = Wire(records(3), [], (Terms(), Terms()))
    wire.run()
    ids = [it.record.id for it in records(3)]
    wire.say(wire.acceptor, encode(Want(("0" * 64, ids[0], "1" * 64, ids[2], "2" * 64))))

    wire.run()

    assert wire.acceptor.ids == {ids[0], ids[2]}
    assert wire.dialler.link.status().in_flight_frames == 0


@pytest.mark.parametrize(("count", "code"), [(3_000, None), (3_001, "rate_limited")])
def test_a_flood_of_wants_is_cut_off_one_past_the_limit(count: int, code: str | None) -> None:
    wire = deaf(LinkLimits(wanted_max=3_000, in_flight_frames_max=1))
    wire.dialler.write(records(1)[0], wire.now)

    ids = [f"{number:064x}" for number in range(count)]
    for begin in range(0, count, 1_000):
        wire.say(wire.acceptor, encode(Want(tuple(ids[begin : begin + 1_000]))))
    wire.run()

    assert wire.codes[0] == code


def test_the_same_want_again_and_again_is_one() -> None:
    wire = deaf(LinkLimits(wanted_max=10, in_flight_frames_max=1))
    wire.dialler.write(records(1)[0], wire.now)

    for _ in range(100):
        wire.say(wire.acceptor, encode(Want(("ab" * 32,))))
    wire.run()

    assert wire.codes[0] is None


@pytest.mark.parametrize("refused", [{"ab" * 32: "stale"}], ids=["a record that was not sent"])
def test_an_ack_that_refuses_what_it_does_not_acknowledge_closes_the_link(refused: dict[str, str]) -> None:
    wire = deaf()
    wire.dialler.write(records(1)[0], wire.now)
    wire.say(wire.acceptor, encode(Ack(1, refused)))

    wire.run()

    assert wire.codes[0] == "malformed"


def test_an_ack_that_comes_twice_closes_the_link() -> None:
    wire = deaf()
    wire.dialler.write(records(1)[0], wire.now)
    wire.say(wire.acceptor, encode(Ack(1)))
    wire.say(wire.acceptor, encode(Ack(1)))

    wire.run()

    assert wire.codes[0] == "malformed"


def test_a_refusal_with_a_code_of_a_later_version_is_one_for_good() -> None:
    wire = deaf()
    it = records(1)[0]
    wire.dialler.write(it, wire.now)
    wire.say(wire.acceptor, encode(Ack(1, {it.record.id: "later_code"})))
    wire.run()

    orders = wire.dialler.link.push([it], 1, wire.now)

    assert (orders, wire.codes[0]) == ([], None)


def test_a_pass_that_brings_nothing_ends_at_once() -> None:
    wire = Wire(records(3), records(2, begin=50), (Terms(push=True, pull=True), Terms()))

    wire.run()

    assert any(isinstance(message, CaughtUp) for message in wire.acceptor.said)
    assert wire.dialler.ids == wire.acceptor.ids


def test_refusals_are_counted_on_both_sides() -> None:
    wire = Wire(records(10), [], PUSHING)
    wire.acceptor.refuses = lambda it: Code.TOO_OLD if it.record.timestamp > 6 else None

    wire.run()

    assert (wire.dialler.link.status().refused_by_them, wire.acceptor.link.status().refused_by_us) == (4, 4)
