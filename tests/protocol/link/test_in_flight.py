"""What was sent and is not acknowledged."""

import pytest

from protocol.errors import Code, ProtocolError
from protocol.link.in_flight import CATCH_UP_SHARE, InFlight, Line
from protocol.link.terms import LinkLimits


def line(number: int) -> Line:
    return Line(f"{number:064x}", "example", number)


def window(frames: int, limits: LinkLimits | None = None) -> InFlight:
    in_flight = InFlight(limits or LinkLimits())
    for number in range(frames):
        in_flight.add((line(number), line(number + 1_000)), 500, None)
    return in_flight


@pytest.mark.parametrize(
    "limits",
    [LinkLimits(in_flight_frames_max=8), LinkLimits(in_flight_records_max=16), LinkLimits(in_flight_bytes_max=4_000)],
    ids=["frames", "records", "bytes"],
)
def test_there_is_room_up_to_each_limit_and_for_a_catch_up_less(limits: LinkLimits) -> None:
    rooms = [
        (window(frames, limits).has_room(CATCH_UP_SHARE), window(frames, limits).has_room()) for frames in (5, 6, 8)
    ]

    assert rooms == [(True, True), (False, True), (False, False)]


def test_an_ack_takes_everything_up_to_it() -> None:
    in_flight = window(5)

    first = in_flight.take_acked(3)
    rest = in_flight.take_acked(5)

    assert [frame.seq for frame in first] == [1, 2, 3]
    assert [frame.seq for frame in rest] == [4, 5]
    assert (in_flight.frames, in_flight.records, in_flight.acked, in_flight.seq) == (0, 0, 5, 5)


@pytest.mark.parametrize("seq", [0, 1, 2, 6, 2**53])
def test_an_ack_of_what_does_not_wait_for_one_is_refused(seq: int) -> None:
    in_flight = window(5)
    in_flight.take_acked(2)

    with pytest.raises(ProtocolError) as caught:
        in_flight.take_acked(seq)

    assert caught.value.code is Code.MALFORMED
    assert in_flight.frames == 3
