"""The input of an address past its share waits, and connections that wait take turns."""

import asyncio

from node.http_api.input_meter import INPUT_BURST_S, INPUT_SHARE_MAX, REQUEST_S, InputMeter

TIMEOUT_S = 30
"""Only ends a test that hangs."""

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def work(piece: bytes) -> None:
    """What takes a moment."""
    _ = [piece] * 100_000


async def test_the_input_of_an_address_past_its_share_waits_and_that_of_others_does_not() -> None:
    meter = InputMeter(share_max=1e-6)

    meter.measure(ONE, work, b"x")

    assert INPUT_SHARE_MAX * INPUT_BURST_S == 0.1
    assert (meter.is_over(ONE), InputMeter().is_over(ONE)) == (True, False)


async def test_requests_that_come_in_one_piece_count_although_their_bytes_are_few() -> None:
    meter, fitting = InputMeter(), round(INPUT_SHARE_MAX * INPUT_BURST_S / REQUEST_S)

    meter.charge(ONE, fitting - 100)
    meter.charge(OTHER, fitting + 100)

    assert (meter.is_over(ONE), meter.is_over(OTHER)) == (False, True)


async def test_connections_that_wait_take_turns_within_their_address() -> None:
    """Each of them waits again after its turn, as a connection does whose client sends without a pause."""
    meter, turns, end = InputMeter(), list[int](), asyncio.Event()

    def read_on(number: int) -> None:
        turns.append(number)
        if len(turns) < 6:
            meter.wait(ONE, lambda: read_on(number))
        else:
            end.set()

    for number in range(3):
        meter.wait(ONE, lambda number=number: read_on(number))  # type: ignore[misc]
    async with asyncio.timeout(TIMEOUT_S):
        await end.wait()

    assert turns == [0, 1, 2, 0, 1, 2]


async def test_a_connection_that_has_closed_waits_no_longer_and_one_past_its_share_waits_on() -> None:
    meter, turns, end = InputMeter(share_max=1e-6), list[str](), asyncio.Event()
    meter.measure(ONE, work, b"x")

    meter.wait(ONE, lambda: turns.append("past its share"))
    meter.wait(OTHER, lambda: turns.append("closed")).cancel()
    meter.wait(OTHER, end.set)
    async with asyncio.timeout(TIMEOUT_S):
        await end.wait()

    assert turns == []
