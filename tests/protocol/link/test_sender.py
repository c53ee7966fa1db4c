"""The sending side: records leave at once while the window has room, wait in a queue with a limit while it has none,
and all of them arrive at the end.
"""

import gc
import sys
from random import Random

import msgspec
import pytest

from protocol.errors import Code
from protocol.limits import IDS_MAX, RECORD_BYTES_MAX
from protocol.link.messages import (
    FRAME_BYTES_MAX,
    ITEM_OVERHEAD_BYTES,
    RECORDS_MAX,
    Ack,
    CaughtUp,
    Have,
    Records,
    Want,
    encode,
    encode_records,
)
from protocol.link.orders import Load, Send
from protocol.link.status import LinkState
from protocol.link.terms import LinkLimits
from protocol.records.record import SignedRecord
from tests.protocol.link.wire import Wire
from tests.protocol.link.wire_records import BOTH, NEITHER, PUSHING, ids, record, records, said

ONE_FRAME = LinkLimits(in_flight_frames_max=1)
"""A window of one frame, so that the second record waits."""

QUEUED_MAX = 10
SHORT_QUEUE = LinkLimits(in_flight_frames_max=1, queued_max=QUEUED_MAX)

PAST_THE_QUEUE = 2 * QUEUED_MAX
"""So many records that a link with a short queue is behind."""

BEHIND_S = 100
WANTED_MAX = 3_000

LARGEST_TEXT = "x" * (RECORD_BYTES_MAX - len(record(at=1, text="").record.canonical) - 2)
"""Makes a record nearly as large as a record may be."""

LARGEST_IN_A_FRAME = 15


def sent_sizes(wire: Wire) -> list[int]:
    """How many records the dialler's frames had, frame by frame."""
    return [len(frame.records) for frame in said(wire.dialler, Records)]


def deaf(limits: LinkLimits | None = None) -> Wire:
    """An open link whose acceptor does not read any more."""
    wire = Wire(terms=PUSHING, limits=limits)
    wire.run()
    wire.run_for(1)
    wire.acceptor.reads = False
    return wire


def write(wire: Wire, written: list[SignedRecord]) -> None:
    """Let the dialler's clients write these records."""
    for it in written:
        wire.dialler.write(it, wire.now)


# --- The window.

ROOM_FOR_FIVE = 5


@pytest.mark.parametrize(
    "limits",
    [
        LinkLimits(in_flight_frames_max=ROOM_FOR_FIVE),
        LinkLimits(in_flight_records_max=ROOM_FOR_FIVE),
        LinkLimits(in_flight_bytes_max=ROOM_FOR_FIVE * (len(record(at=1).record.canonical) + ITEM_OVERHEAD_BYTES)),
    ],
    ids=["frames", "records", "bytes"],
)
def test_no_more_is_in_flight_than_the_window_holds(limits: LinkLimits) -> None:
    wire = deaf(limits)

    write(wire, records(ROOM_FOR_FIVE + 1))
    wire.run()

    status = wire.dialler.link.status()
    assert (sent_sizes(wire), status.in_flight_frames, status.queued) == ([1] * ROOM_FOR_FIVE, ROOM_FOR_FIVE, 1)


def test_queued_records_leave_together_when_there_is_room() -> None:
    queued, first_load = 200, 128
    wire = deaf(ONE_FRAME)
    write(wire, records(1 + queued))
    wire.run()

    wire.acceptor.reads = True
    wire.run()

    assert sent_sizes(wire) == [1, first_load, queued - first_load]
    assert wire.acceptor.ids == wire.dialler.ids


def test_a_queued_record_that_the_peer_sends_meanwhile_is_not_sent_to_it() -> None:
    wire = deaf(ONE_FRAME)
    first, second = records(2)
    write(wire, [first, second])

    wire.say(wire.acceptor, encode_records(1, [second]))
    wire.deliver(wire.acceptor, wire.dialler)
    (take,) = wire.dialler.takes
    wire.dialler.finish_take(take, wire.now)

    assert wire.dialler.link.status().queued == 0


# --- Behind.


@pytest.mark.parametrize(
    ("waiting", "state", "queued"),
    [(QUEUED_MAX, LinkState.LIVE, QUEUED_MAX), (QUEUED_MAX + 1, LinkState.BEHIND, 0)],
    ids=["full", "one more"],
)
def test_a_queue_past_its_limit_is_dropped_and_the_link_is_behind(waiting: int, state: LinkState, queued: int) -> None:
    wire = deaf(SHORT_QUEUE)

    write(wire, records(1 + waiting))

    status = wire.dialler.link.status()
    assert (status.state, status.queued) == (state, queued)


@pytest.mark.parametrize("is_shuffled", [False, True], ids=["in order", "shuffled"])
def test_a_peer_that_reads_again_is_sent_every_dropped_record(is_shuffled: bool) -> None:
    """Passes begin at the oldest dropped timestamp of each domain, because records may come with older timestamps."""
    wire = deaf(LinkLimits(in_flight_frames_max=2, queued_max=QUEUED_MAX))
    written = records(300)
    if is_shuffled:
        Random(1).shuffle(written)
    for it in written:
        wire.dialler.write(it, wire.now)
        wire.run()
    state_while_deaf = wire.dialler.link.status().state

    wire.acceptor.reads = True
    wire.run()

    assert state_while_deaf is LinkState.BEHIND
    assert wire.acceptor.ids == wire.dialler.ids
    assert wire.dialler.link.status().state is LinkState.LIVE
    assert wire.acceptor.copies == 0
    assert wire.dialler.found == []


@pytest.mark.parametrize(
    ("written", "code"), [(PAST_THE_QUEUE, None), (QUEUED_MAX // 2, "timeout")], ids=["behind", "not behind"]
)
def test_a_peer_that_owes_an_ack_is_cut_off_sooner_if_it_is_not_behind(written: int, code: str | None) -> None:
    ack_s = 60
    wire = deaf(LinkLimits(in_flight_frames_max=1, queued_max=QUEUED_MAX, ack_s=ack_s))
    write(wire, records(written))

    wire.run_for(ack_s + 10)

    assert wire.codes[0] == code


def far_behind(limits: LinkLimits) -> Wire:
    """A link that is behind, and whose acceptor acknowledges nothing."""
    wire = deaf(limits)
    write(wire, records(PAST_THE_QUEUE))
    wire.run()
    return wire


@pytest.mark.parametrize(("seconds", "code"), [(BEHIND_S - 1.0, None), (float(BEHIND_S), "timeout")])
def test_a_peer_that_is_behind_and_never_acks_is_cut_off_at_last(seconds: float, code: str | None) -> None:
    """Otherwise the peer could occupy the megabytes that a link may hold for as long as it likes."""
    wire = far_behind(LinkLimits(in_flight_frames_max=1, queued_max=QUEUED_MAX, behind_s=BEHIND_S))

    wire.run_for(seconds)

    assert wire.codes[0] == code


def test_a_peer_that_is_behind_and_acks_from_time_to_time_is_not_cut_off() -> None:
    limits = LinkLimits(in_flight_frames_max=1, queued_max=QUEUED_MAX, behind_s=BEHIND_S, repair_s=10_000)
    wire, acks = far_behind(limits), 5
    states = []

    for acked in range(1, 1 + acks):
        wire.run_for(BEHIND_S - 1)
        wire.hear(wire.dialler, Ack(acked))
        write(wire, records(PAST_THE_QUEUE, begin=100 * acked))
        wire.run()
        states.append(wire.dialler.link.status().state)

    assert wire.codes[0] is None
    assert states == [LinkState.BEHIND] * acks


def test_a_peer_that_is_behind_is_sent_no_have() -> None:
    wire = deaf(SHORT_QUEUE)
    write(wire, records(PAST_THE_QUEUE))

    orders = wire.dialler.link.tell(Have(("ab" * 32,)), wire.now)

    assert orders == []


def test_a_link_whose_peer_never_acks_holds_few_megabytes_whatever_is_written() -> None:
    """The bodies are in the frames that were handed out. Of the other records the link keeps the ids."""
    limits = LinkLimits()
    wire = deaf(limits)
    link = wire.dialler.link
    templates = [it.record for it in records(400)]
    blocks_a_queued_record = 8
    gc.collect()
    blocks_before = sys.getallocatedblocks()

    sent = 0
    for number in range(2 * limits.queued_max):
        template = templates[number % len(templates)]
        fresh = msgspec.structs.replace(template, timestamp=1 + number, id=f"{number:064x}", canonical=b"x" * 4_000)
        orders = link.push([SignedRecord("0" * 128, fresh)], 1, wire.now)
        sent += sum(len(order.text) for order in orders if isinstance(order, Send))
    gc.collect()

    assert sent < limits.in_flight_bytes_max + FRAME_BYTES_MAX
    assert sys.getallocatedblocks() - blocks_before < blocks_a_queued_record * limits.queued_max
    assert link.status().queued <= limits.queued_max


# --- Frames and loads.


def test_frames_of_the_largest_records_stay_below_the_limit() -> None:
    wire = Wire(records(40, text=LARGEST_TEXT), [], PUSHING)

    wire.run()

    assert wire.acceptor.ids == wire.dialler.ids
    assert max(len(encode(frame)) for frame in said(wire.dialler, Records)) <= FRAME_BYTES_MAX
    assert max(sent_sizes(wire)) == LARGEST_IN_A_FRAME


def test_large_live_records_that_come_together_are_divided_into_frames() -> None:
    wire, more = Wire(terms=PUSHING), 5
    wire.run()

    orders = wire.push(wire.dialler, records(LARGEST_IN_A_FRAME + more, text=LARGEST_TEXT))

    assert [len(order.text) <= FRAME_BYTES_MAX for order in orders if isinstance(order, Send)] == [True, True]
    assert sent_sizes(wire) == [LARGEST_IN_A_FRAME, more]


def test_one_load_is_under_way_at_a_time() -> None:
    wire = Wire(records(1_000), [], PUSHING)
    loads = 0

    while wire.step():
        loads = max(loads, len(wire.dialler.loads))

    assert loads == 1
    assert all(len(order.ids) <= RECORDS_MAX for order in wire.dialler.orders if isinstance(order, Load))


# --- Records that the peer asked for.


def test_a_wanted_record_that_is_not_held_is_left_out() -> None:
    held = records(3)
    wire = Wire(held, [], NEITHER)
    wire.run()
    nowhere = [digit * 64 for digit in "012"]
    wire.say(wire.acceptor, Want((nowhere[0], held[0].record.id, nowhere[1], held[2].record.id, nowhere[2])))

    wire.run()

    assert wire.acceptor.ids == ids([held[0], held[2]])
    assert wire.dialler.link.status().in_flight_frames == 0


@pytest.mark.parametrize(("count", "code"), [(WANTED_MAX, None), (WANTED_MAX + 1, "rate_limited")])
def test_a_flood_of_wants_is_cut_off_one_past_the_limit(count: int, code: str | None) -> None:
    wire = deaf(LinkLimits(wanted_max=WANTED_MAX, in_flight_frames_max=1))
    write(wire, [record(at=1)])

    wanted = [f"{number:064x}" for number in range(count)]
    for begin in range(0, count, IDS_MAX):
        wire.say(wire.acceptor, Want(tuple(wanted[begin : begin + IDS_MAX])))
    wire.run()

    assert wire.codes[0] == code


def test_a_want_that_is_repeated_counts_once() -> None:
    wanted_max = 10
    wire = deaf(LinkLimits(wanted_max=wanted_max, in_flight_frames_max=1))
    write(wire, [record(at=1)])

    for _ in range(10 * wanted_max):
        wire.say(wire.acceptor, Want(("ab" * 32,)))
    wire.run()

    assert wire.codes[0] is None


# --- Acknowledgements and refusals.


@pytest.mark.parametrize(
    "acks",
    [[Ack(1, {"ab" * 32: "stale"})], [Ack(1), Ack(1)]],
    ids=["refuses a record that was not sent", "comes twice"],
)
def test_an_ack_that_no_sent_record_waits_for_closes_the_link(acks: list[Ack]) -> None:
    wire = deaf()
    write(wire, [record(at=1)])
    for ack in acks:
        wire.say(wire.acceptor, ack)

    wire.run()

    assert wire.codes[0] == "malformed"


def test_a_refusal_with_the_code_of_a_later_version_is_for_good() -> None:
    wire = deaf()
    it = record(at=1)
    write(wire, [it])
    wire.say(wire.acceptor, Ack(1, {it.record.id: "later_code"}))
    wire.run()

    orders = wire.push(wire.dialler, [it])

    assert (orders, wire.codes[0]) == ([], None)


def test_a_pass_with_nothing_to_send_ends_at_once() -> None:
    wire = Wire(records(3), records(2, begin=50), BOTH)

    wire.run()

    assert said(wire.acceptor, CaughtUp) != []
    assert wire.dialler.ids == wire.acceptor.ids


def test_refusals_are_counted_by_code_on_both_sides() -> None:
    old, new = records(8, begin=1), records(2, begin=9)
    wire = Wire([*old, *new], [], PUSHING)
    wire.acceptor.refuses = lambda it: Code.TOO_NEW if it in new else Code.TOO_OLD

    wire.run()

    refusals = {Code.TOO_OLD: len(old), Code.TOO_NEW: len(new)}
    assert wire.dialler.link.status().refusals_by_them == wire.acceptor.link.status().refusals_by_us == refusals
