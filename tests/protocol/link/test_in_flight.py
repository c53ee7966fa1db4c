"""The window of a link: what was sent and is not acknowledged."""

import pytest

from protocol.errors import Code, ProtocolError
from protocol.link.in_flight import CATCH_UP_SHARE, InFlight, Line
from protocol.link.terms import LinkLimits


def line(number: int) -> Line:
    return Line(f"{number:064x}", "example", number)


FRAME_BYTES = 500
FRAME_RECORDS = 2


def window(frames: int, limits: LinkLimits | None = None) -> InFlight:
    """A window with so many frames of two records each."""
    in_flight = InFlight(limits or LinkLimits())
    for number in range(frames):
        in_flight.add((line(number), line(number + 1_000)), FRAME_BYTES, None)
    return in_flight


FRAMES_MAX = 8


@pytest.mark.parametrize(
    "limits",
    [
        LinkLimits(in_flight_frames_max=FRAMES_MAX),
        LinkLimits(in_flight_records_max=FRAMES_MAX * FRAME_RECORDS),
        LinkLimits(in_flight_bytes_max=FRAMES_MAX * FRAME_BYTES),
    ],
    ids=["frames", "records", "bytes"],
)
def test_a_catch_up_may_fill_three_quarters_of_the_window_and_live_records_all_of_it(limits: LinkLimits) -> None:
    rooms = {
        frames: (window(frames, limits).has_room(CATCH_UP_SHARE), window(frames, limits).has_room())
        for frames in (5, 6, 7, FRAMES_MAX)
    }

    assert rooms == {5: (True, True), 6: (False, True), 7: (False, True), FRAMES_MAX: (False, False)}


def test_an_ack_takes_out_every_frame_up_to_its_number() -> None:
    in_flight = window(5)

    first = in_flight.take_acked(3)
    rest = in_flight.take_acked(5)

    assert [frame.seq for frame in first] == [1, 2, 3]
    assert [frame.seq for frame in rest] == [4, 5]
    assert (in_flight.frames, in_flight.records, in_flight.acked, in_flight.seq) == (0, 0, 5, 5)


@pytest.mark.parametrize("seq", [0, 1, 2, 6, 2**53])
def test_an_ack_of_a_frame_that_waits_for_none_is_refused(seq: int) -> None:
    in_flight = window(5)
    in_flight.take_acked(2)

    with pytest.raises(ProtocolError) as caught:
        in_flight.take_acked(seq)

    assert caught.value.code is Code.MALFORMED
    assert in_flight.frames == 3
