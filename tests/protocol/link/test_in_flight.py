"""The window of a link: what was sent and is not acknowledged."""

import pytest

from protocol.errors import Code, ProtocolError
from protocol.link.in_flight import CATCH_UP_SHARE, InFlight, SentLine
from protocol.link.terms import LinkLimits


def line(number: int) -> SentLine:
    return SentLine(f"{number:064x}", "example", number)


FRAME_BYTES = 500
FRAME_RECORDS = 2


def window(frames: int, limits: LinkLimits | None = None) -> InFlight:
    """A window with this many frames of `FRAME_RECORDS` records each."""
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
    three_quarters = 3 * FRAMES_MAX // 4
    rooms = {
        frames: (window(frames, limits).has_room(CATCH_UP_SHARE), window(frames, limits).has_room())
        for frames in range(three_quarters - 1, FRAMES_MAX + 1)
    }

    assert rooms == {
        three_quarters - 1: (True, True),
        three_quarters: (False, True),
        three_quarters + 1: (False, True),
        FRAMES_MAX: (False, False),
    }


SENT = 5
ACKED = 2


def test_an_ack_takes_out_every_frame_up_to_its_number() -> None:
    in_flight = window(SENT)

    first = in_flight.take_acked(ACKED)
    rest = in_flight.take_acked(SENT)

    assert [frame.seq for frame in (*first, *rest)] == [1, 2, 3, 4, 5]
    assert len(first) == ACKED
    assert (in_flight.frames, in_flight.records, in_flight.acked, in_flight.seq) == (0, 0, SENT, SENT)


@pytest.mark.parametrize("seq", [0, ACKED - 1, ACKED, SENT + 1, 2**53])
def test_an_ack_of_a_frame_that_is_not_in_flight_is_refused(seq: int) -> None:
    in_flight = window(SENT)
    in_flight.take_acked(ACKED)

    with pytest.raises(ProtocolError) as caught:
        in_flight.take_acked(seq)

    assert caught.value.code is Code.MALFORMED
    assert in_flight.frames == SENT - ACKED
